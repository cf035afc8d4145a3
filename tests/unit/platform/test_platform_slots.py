"""Slots: the same service at two places, and names that say which one serves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible.module_utils.erni.service_spec import NetworkAttachment, ServiceSpec
from ansible.module_utils.erni.slots import address_in, displaced_name, idle_name, in_slot, names_beside, other
from platform_builders import service

ADDRESSES = {"blue": "172.30.10.20", "green": "172.30.10.30"}
SPEC: ServiceSpec = service(
    environment={"BACKEND_URL": "http://backend-{slot}:8000", "RELEASE": "{release}", "BRACES": "{other}"},
    networks=(
        NetworkAttachment("erni-edge", "", ("web", "web-{slot}"), ADDRESSES),
        NetworkAttachment("d", "10.0.0.9", ()),
    ),
)


def test_each_slot_is_the_others_other() -> None:
    assert (other("blue"), other("green")) == ("green", "blue")


@pytest.mark.parametrize(("slot", "serving", "name"), [("blue", True, "erni-web"), ("green", False, "erni-web-green")])
def test_what_serves_has_the_canonical_name_and_what_waits_that_of_its_slot(
    slot: str, serving: bool, name: str
) -> None:
    assert in_slot(SPEC, slot, "0123456789ab", serving=serving).container == name


def test_a_slot_fills_in_its_address_its_aliases_and_its_settings() -> None:
    placed = in_slot(SPEC, "green", "0123456789ab", serving=False)
    assert [(n.address, n.aliases) for n in placed.networks] == [
        ("172.30.10.30", ("web", "web-green")),
        ("10.0.0.9", ()),
    ]
    assert placed.environment == {
        "BACKEND_URL": "http://backend-green:8000",
        "RELEASE": "0123456789ab",
        "BRACES": "{other}",
    }
    assert placed.labels["ch.erni.slot"] == "green"
    assert placed.labels["ch.erni.release"] == "0123456789ab"


def test_the_two_places_differ_in_nothing_else() -> None:
    blue, green = (in_slot(SPEC, slot, "0123456789ab", serving=False) for slot in ("blue", "green"))
    same = {"container": "", "environment": {}, "networks": (), "labels": {}}
    assert replace(blue, **same) == replace(green, **same)


def test_the_proxy_finds_a_service_by_its_slots_address() -> None:
    assert address_in(SPEC, "green") == "172.30.10.30"


def test_names_tell_what_waits_from_what_was_set_aside() -> None:
    assert idle_name("erni-web", "blue") == "erni-web-blue"
    assert displaced_name("erni-web", "blue") == "erni-web-blue-displaced"


def test_whoever_stops_a_service_finds_all_its_containers_by_name_and_no_other_services() -> None:
    assert sorted(names_beside("erni-web")) == [
        "erni-web-blue",
        "erni-web-blue-displaced",
        "erni-web-green",
        "erni-web-green-displaced",
    ]
    placed = {in_slot(SPEC, slot, "0123456789ab", serving=False).container for slot in ("blue", "green")}
    assert placed < set(names_beside(SPEC.container))
