"""Replicas: what they are called, where they answer, and that one alone changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.erni.engine import container_config
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.release_content import content_of, differences
from ansible.module_utils.erni.release_world import World, canonical_names, displacements, instances, renamings
from ansible.module_utils.erni.replicas import (
    MOST,
    answering,
    count,
    fitting,
    group_name,
    host_addresses,
    read_group,
    replica,
    replicated,
    server_groups,
    service_of,
    serving_replicas,
    several,
)
from ansible.module_utils.erni.settings_preflight import check_replicas
from ansible.module_utils.erni.slots import SLOTS, in_slot, names_beside, slots_by_address

BLOCKS = {"blue": [f"10.0.0.{n}" for n in range(20, 30)], "green": [f"10.0.0.{n}" for n in range(30, 40)]}
BACKEND: dict[str, Any] = {
    "name": "backend",
    "image": "erni/backend:0123456789ab",
    "environment": {"LOG_LEVEL": "INFO"},
    "health": {"command": ["true"]},
    "limits": {"memory": "1g", "cpus": 1.0, "pids": 10},
    "networks": [
        {"name": "edge", "addresses": {"blue": "10.0.0.20", "green": "10.0.0.30"}, "aliases": ["backend-{slot}"]},
        {"name": "data", "aliases": ["backend"]},
    ],
}
SECRETS = {"backend": {"DB_PASSWORD": "correct horse battery staple"}}


def backends(number: int) -> dict[str, dict[str, Any]]:
    return replicated(BACKEND, number, host_addresses(BLOCKS, 0, 1))


# Mappings.


def test_one_replica_is_the_service_as_it_is_without_and_the_same_release() -> None:
    assert backends(1) == {"backend": BACKEND}
    assert content_of(backends(1), SECRETS, {}).id == content_of({"backend": BACKEND}, SECRETS, {}).id
    assert content_of(backends(2), SECRETS, {}).id != content_of(backends(1), SECRETS, {}).id


def test_replicas_differ_in_name_and_address_and_in_nothing_else() -> None:
    specs = content_of(backends(3), SECRETS, {}).specs("erni")
    placed = [in_slot(spec, "green", "0123456789ab", serving=True) for spec in specs.values()]
    assert [spec.container for spec in placed] == ["erni-backend", "erni-backend-2", "erni-backend-3"]
    assert [spec.networks[0].address for spec in placed] == ["10.0.0.30", "10.0.0.31", "10.0.0.32"]
    assert all("backend-green" in spec.networks[0].aliases for spec in placed), "one name leads to all of them"
    assert {spec.networks[1].address for spec in placed} == {""}
    assert {(spec.image, tuple(spec.secret_environment.items())) for spec in placed} == {
        (BACKEND["image"], tuple(SECRETS["backend"].items()))
    }


def test_a_replicas_host_name_is_among_its_aliases_as_the_engine_would_add_it() -> None:
    specs = content_of(backends(2), SECRETS, {}).specs("erni")
    second = specs["backend-2"]
    assert [n.aliases for n in second.networks] == [("backend-{slot}", "backend-2"), ("backend", "backend-2")]
    assert container_config(second)["Hostname"] == "backend-2"
    assert [n.aliases for n in specs["backend"].networks] == [("backend-{slot}",), ("backend",)], "as without replicas"


@pytest.mark.parametrize("number", [0, -1, 11])
def test_a_number_that_has_no_room_is_refused_in_a_sentence(number: int) -> None:
    with pytest.raises(PlatformError, match=rf"backend cannot have {number} replicas on a host: there is room for 10"):
        backends(number)
    (finding,) = check_replicas("backend", number, fitting(BLOCKS, 1), 1)
    assert finding.what == f"backend_replicas is {number}"
    assert finding.remedy == "Set it to a number from 1 to 10."


@pytest.mark.parametrize(("hosts", "fits"), [(1, 10), (2, 5), (3, 3), (4, 2), (6, 1), (10, 1), (11, 0)])
def test_what_fits_is_shared_by_the_hosts(hosts: int, fits: int) -> None:
    assert fitting(BLOCKS, hosts) == fits
    assert [bool(check_replicas("backend", n, fits, hosts)) for n in (1, max(fits, 1), fits + 1)] == [
        *[not fits] * 2,
        True,
    ]


def test_all_replicas_are_made_of_one_image_and_an_operator_reads_of_a_change_once() -> None:
    before, after = content_of(backends(1), SECRETS, {}), content_of(backends(3), {"backend": {"DB_PASSWORD": "x"}}, {})
    assert after.images == {"backend": BACKEND["image"]}
    found = {d.name: d.shown() for d in differences(after, before.services, before.fingerprints)}
    assert found == {
        "backend DB_PASSWORD": ("(secret) before", "(secret) after"),
        "backend labels": ({}, {"replicas": "3"}),
    }
    pinned = content_of(backends(2), SECRETS, {"backend": "sha256:1"})
    assert {service["image"] for service in pinned.services.values()} == {"sha256:1"}


# Addresses.


@pytest.mark.parametrize(
    ("numbers", "addresses"),
    [
        ([1], [20]),
        ([3], [20, 21, 22]),
        ([1, 1], [20, 21]),
        ([2, 2], [20, 21, 22, 23]),
        ([2, 1], [20, 21, 22]),
        ([1, 2], [20, 21, 23]),
        ([3, 1, 2], [20, 21, 22, 23, 25, 26]),
        ([], []),
    ],
)
def test_each_host_has_its_own_addresses_and_the_first_ones_never_move(
    numbers: list[int], addresses: list[int]
) -> None:
    assert answering(BLOCKS["blue"], numbers) == [f"10.0.0.{n}" for n in addresses]


@pytest.mark.parametrize("hosts", [1, 2, 3, 4])
def test_what_a_host_gives_its_replicas_is_what_the_proxy_asks(hosts: int) -> None:
    for slot in SLOTS:
        given = [each[slot] for host in range(hosts) for each in host_addresses(BLOCKS, host, hosts)]
        assert sorted(answering(BLOCKS[slot], [fitting(BLOCKS, hosts)] * hosts)) == sorted(given)
        assert len(set(given)) == len(given)


def test_the_slot_of_every_address_is_known() -> None:
    slots = slots_by_address({"backend": BLOCKS})
    assert (len(slots), slots["10.0.0.29"], slots["10.0.0.30"]) == (20, "blue", "green")


# Groups of servers.


@pytest.mark.parametrize(
    ("numbers", "name"), [([1], "backend"), ([1, 1], "backend"), ([3], "backend_3"), ([2, 1], "backend_2_1")]
)
def test_a_groups_name_tells_how_many_there_are(numbers: list[int], name: str) -> None:
    assert group_name("backend", numbers) == name
    assert read_group(name) == (("backend", numbers) if "_" in name else None)
    assert several({"backend": numbers, "frontend": [1]}) == ({"backend": numbers} if "_" in name else {})


@pytest.mark.parametrize("hosts", [1, 2, 3, 4, 5, 10])
def test_there_is_a_group_for_every_way_of_spreading_and_the_first_is_one_each(hosts: int) -> None:
    groups = server_groups(BLOCKS, "backend", hosts)
    assert groups[0] == {"name": "backend", "servers": {slot: block[:hosts] for slot, block in BLOCKS.items()}}
    assert len({group["name"] for group in groups}) == len(groups) == fitting(BLOCKS, hosts) ** hosts
    assert all(set(group["servers"]["blue"]) <= set(BLOCKS["blue"]) for group in groups)


# Containers.


def container(name: str, slot: str = "blue", release: str = "a", state: str = "running") -> dict[str, Any]:
    labels = {"ch.erni.slot": slot, "ch.erni.release": release, "ch.erni.replicas": "2"}
    return {"Names": [f"/erni-{name}"], "Labels": labels, "State": state}


CANONICAL = canonical_names("erni", ["backend", "backend-2"])


def test_no_name_of_one_container_is_that_of_another() -> None:
    names = [name for canonical in CANONICAL.values() for name in (canonical, *names_beside(canonical))]
    assert len(CANONICAL) == MOST
    assert len(set(names)) == len(names) == 5 * MOST


@pytest.mark.parametrize(
    ("name", "service"),
    [("backend", "backend"), ("backend-2", "backend"), ("backend-10", "backend"), ("backend-green", "backend-green")],
)
def test_a_replicas_name_tells_its_service(name: str, service: str) -> None:
    assert service_of(name) == service


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["backend"], {"backend": 1}),
        (["frontend", "backend-2", "backend"], {"backend": 2, "frontend": 1}),
        (["backend", "backend-3"], {"backend": 1}),  # whoever asked the third would ask where nobody is
        (["backend-2"], {"backend": 0}),
        ([replica("backend", n) for n in range(1, 11)], {"backend": 10}),
    ],
)
def test_replicas_are_counted_from_the_first_on(names: list[str], numbers: dict[str, int]) -> None:
    assert count(names) == numbers


def test_replicas_are_found_whether_they_serve_wait_or_were_set_aside() -> None:
    listed = ["backend", "backend-2", "backend-green", "backend-2-green-displaced", "backend-x", "backendish"]
    found = instances([container(name, "green" if "green" in name else "blue") for name in listed], CANONICAL)
    assert [(i.name, i.service, i.displaced) for i in found] == [
        ("erni-backend", "backend", False),
        ("erni-backend-2", "backend-2", False),
        ("erni-backend-2-green-displaced", "backend-2", True),
        ("erni-backend-green", "backend", False),
    ]


def test_after_a_switch_to_fewer_replicas_each_has_the_name_of_its_slot() -> None:
    listed = [container(n) for n in ("backend", "backend-2")] + [container("backend-green", "green", "b")]
    world = World("green", instances(listed, CANONICAL))
    assert [(r.current, r.wanted) for r in renamings(world, CANONICAL)] == [
        ("erni-backend", "erni-backend-blue"),
        ("erni-backend-green", "erni-backend"),
        ("erni-backend-2", "erni-backend-2-blue"),
    ]
    assert [r.wanted for r in displacements(world, CANONICAL, "blue")] == [
        "erni-backend-blue-displaced",
        "erni-backend-2-blue-displaced",
    ]


def test_what_serves_or_should_is_told_by_the_containers_themselves() -> None:
    listed = [container("backend"), container("backend-3-green"), {"Names": ["/other"], "Labels": None}]
    assert serving_replicas(listed, "erni", "backend") == ["backend", "backend-2"], "its label says that there are two"
    assert serving_replicas(listed, "erni", "postgres") == ["postgres"]
