"""Networks: created when missing, made anew when different, otherwise left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.erni.network_apply import apply_networks, observe_networks
from ansible.module_utils.erni.network_plan import Network, network_from_params, observed_network, plan_networks

EDGE = Network("erni-edge", "bridge", "172.30.10.0/24", "172.30.10.128/25", internal=False)
DATA = Network("erni-data", "bridge", "172.30.11.0/24", "", internal=True)


def answer(network: Network) -> dict[str, Any]:
    """``GET /networks/{id}`` of a network that was created as wanted."""
    pool = {"Subnet": network.subnet} | ({"IPRange": network.dynamic_range} if network.dynamic_range else {})
    return {
        "Driver": network.driver,
        "Internal": network.internal,
        "IPAM": {"Driver": "default", "Config": [pool]},
        "Options": {"encrypted": ""} if network.encrypted else None,
    }


def test_networks_that_are_right_are_left_alone() -> None:
    plan = plan_networks([EDGE, DATA], {n.name: observed_network(answer(n)) for n in (EDGE, DATA)})
    assert (plan.actions, plan.differences) == ([], [])


def test_a_missing_network_is_created_and_the_other_is_not_touched() -> None:
    plan = plan_networks([EDGE, DATA], {"erni-edge": EDGE.properties()})
    assert plan.sentences == ["network erni-data is created"]
    assert {difference.current for difference in plan.differences} == {None}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"driver": "overlay"}, "driver"),
        ({"subnet": "10.0.0.0/24"}, "subnet"),
        ({"dynamic_range": ""}, "dynamic_range"),
        ({"internal": True}, "internal"),
        ({"encrypted": True}, "encrypted"),
        ({"internal": True, "subnet": "10.0.0.0/24"}, "internal, subnet"),
    ],
)
def test_a_network_that_differs_is_made_anew_and_the_reason_is_told(changes: dict[str, Any], what: str) -> None:
    plan = plan_networks([replace(EDGE, **changes)], {EDGE.name: EDGE.properties()})
    assert plan.sentences == [f"network erni-edge is made anew: its {what} changed"]


def test_networks_of_others_are_not_ours_to_judge() -> None:
    assert not plan_networks([EDGE], {EDGE.name: EDGE.properties(), "theirs": DATA.properties()}).changed


@pytest.mark.parametrize("config", [None, []])
def test_a_network_without_an_address_pool_can_be_read(config: list[Any] | None) -> None:
    seen = observed_network({"Driver": "null", "Internal": False, "IPAM": {"Config": config}, "Options": {}})
    assert seen == {"driver": "null", "subnet": "", "dynamic_range": "", "internal": False, "encrypted": False}


def test_a_network_is_built_from_the_modules_option() -> None:
    params = {
        "name": "n",
        "driver": "overlay",
        "subnet": "s",
        "dynamic_range": "d",
        "internal": True,
        "encrypted": True,
    }
    assert network_from_params(params) == Network("n", "overlay", "s", "d", internal=True, encrypted=True)


class Engine:
    """Remembers what it was told."""

    def __init__(self, existing: dict[str, dict[str, Any]]) -> None:
        self.existing, self.told = existing, list[tuple[Any, ...]]()

    def networks(self) -> list[dict[str, Any]]:
        return [{"Name": name, "Id": f"id-{name}"} for name in self.existing]

    def inspect_network(self, name: str) -> dict[str, Any]:
        return self.existing[name.removeprefix("id-")] | {"Containers": {"c1": {}, "c2": {}}}

    def disconnect_container_from_network(self, container: str, network: str, *, force: bool) -> None:
        self.told.append(("disconnect", container, network, force))

    def remove_network(self, name: str) -> None:
        self.told.append(("remove", name))

    def create_network(self, name: str, **options: Any) -> None:
        told = ("ipam", "internal", "options", "labels")
        self.told.append(("create", name, *(options[option] for option in told)))


def test_only_the_platforms_networks_are_inspected() -> None:
    engine = Engine({"erni-edge": answer(EDGE), "bridge": answer(DATA)})
    assert observe_networks(engine, ["erni-edge", "erni-data"]) == {"erni-edge": EDGE.properties()}


def test_before_a_network_is_made_anew_its_containers_leave_it() -> None:
    engine = Engine({"erni-edge": answer(DATA)})
    plan = plan_networks([EDGE], observe_networks(engine, ["erni-edge"]))
    apply_networks(engine, plan, [EDGE], {"ch.erni.platform": "erni"})
    pool = {"Subnet": "172.30.10.0/24", "IPRange": "172.30.10.128/25"}
    assert engine.told == [
        ("disconnect", "c1", "erni-edge", True),
        ("disconnect", "c2", "erni-edge", True),
        ("remove", "erni-edge"),
        ("create", "erni-edge", {"Driver": "default", "Config": [pool]}, False, None, {"ch.erni.platform": "erni"}),
    ]


def test_an_encrypted_overlay_is_asked_for_and_recognised() -> None:
    overlay = replace(EDGE, driver="overlay", encrypted=True)
    engine = Engine({})
    apply_networks(engine, plan_networks([overlay], {}), [overlay], {})
    assert engine.told[0][4] == {"encrypted": ""}
    assert observed_network(answer(overlay)) == overlay.properties()
