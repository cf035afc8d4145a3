"""The filters that templates and defaults use."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from ansible.errors import AnsibleFilterError
from platform_builders import ROOT


def load() -> dict[str, Callable[..., Any]]:
    spec = importlib.util.spec_from_file_location("erni_filters", ROOT / "plugins" / "filter" / "erni.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    filters: dict[str, Callable[..., Any]] = module.FilterModule().filters()
    return filters


FILTERS = load()


@pytest.mark.parametrize(
    ("subnet", "number", "address"),
    [("172.30.10.0/24", 20, "172.30.10.20"), ("172.30.10.0/24", 0, "172.30.10.0"), ("10.0.0.0/16", 256, "10.0.1.0")],
)
def test_an_address_is_counted_from_the_start_of_its_subnet(subnet: str, number: int, address: str) -> None:
    assert FILTERS["erni_address"](subnet, number) == address


@pytest.mark.parametrize(("subnet", "number"), [("172.30.10.0/24", 256), ("172.30.10.1/24", 1), ("nonsense", 1)])
def test_an_address_that_does_not_exist_is_refused_with_the_subnet_named(subnet: str, number: int) -> None:
    with pytest.raises(AnsibleFilterError, match=rf"'{subnet}' has no address number {number}"):
        FILTERS["erni_address"](subnet, number)


def test_addresses_follow_one_another() -> None:
    assert FILTERS["erni_addresses"]("10.0.0.0/24", 20, 3) == ["10.0.0.20", "10.0.0.21", "10.0.0.22"]
    assert FILTERS["erni_addresses"]("10.0.0.0/24", 20, 0) == []
    with pytest.raises(AnsibleFilterError):
        FILTERS["erni_addresses"]("10.0.0.0/24", 255, 2)


@pytest.mark.parametrize(
    ("subnet", "half"),
    [("172.30.10.0/24", "172.30.10.128/25"), ("10.0.0.0/8", "10.128.0.0/9"), ("10.0.0.0/31", "10.0.0.1/32")],
)
def test_the_engine_assigns_from_the_upper_half_so_that_fixed_addresses_are_never_taken(subnet: str, half: str) -> None:
    assert FILTERS["erni_upper_half"](subnet) == half


@pytest.mark.parametrize("subnet", ["10.0.0.0/32", "10.0.0.1/24", "nonsense"])
def test_what_cannot_be_halved_is_refused(subnet: str) -> None:
    with pytest.raises(AnsibleFilterError, match="is no subnet that can be halved"):
        FILTERS["erni_upper_half"](subnet)


@pytest.mark.parametrize("password", ["simple", "a@b", "a:b/c?d#e", "100%", "a b+c", "grüezi", "[x]"])
def test_any_password_survives_in_a_url(password: str) -> None:
    url = urlsplit(f"redis://user:{FILTERS['erni_url_quote'](password)}@host:6379/0")
    assert url.hostname == "host"
    assert url.port == 6379
    assert unquote(url.password or "") == password


def test_a_release_on_several_hosts_has_one_id_and_on_one_host_its_own() -> None:
    assert FILTERS["erni_combined_release"](["a", "a"]) == "a"
    assert FILTERS["erni_combined_release"](["a", "b"]) == FILTERS["erni_combined_release"](["b", "a"])
    assert len(FILTERS["erni_combined_release"](["a", "b"])) == 12


def test_a_number_of_replicas_that_has_no_room_is_refused_in_a_sentence() -> None:
    blocks = {
        slot: FILTERS["erni_addresses"]("10.0.0.0/24", first, 10) for slot, first in (("blue", 20), ("green", 30))
    }
    addresses = FILTERS["erni_host_addresses"](blocks, 1, 4)
    assert addresses == [{"blue": "10.0.0.21", "green": "10.0.0.31"}, {"blue": "10.0.0.25", "green": "10.0.0.35"}]
    service = {"name": "backend", "networks": []}
    assert list(FILTERS["erni_replicas"](service, "2", addresses)) == ["backend", "backend-2"]  # as -e gives it
    with pytest.raises(AnsibleFilterError, match="Set backend_replicas to a number from 1 to 2"):
        FILTERS["erni_replicas"](service, 3, addresses)


def test_the_slot_that_does_not_serve_is_the_other_one() -> None:
    assert FILTERS["erni_other_slot"]("blue") == "green"
