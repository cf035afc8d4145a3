"""The proxy's part in a release on several hosts: whom it reaches, what it is told, and how it goes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import release_switch
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.live_folder import LiveFolder
from ansible.module_utils.erni.release_switch import Switch, carry_out, plan_switch
from platform_builders import ROOT
from test_platform_module_contracts import load

OLD, NEW = "ba9876543210", "0123456789ab"
ADDRESSES = {
    "backend": {"blue": [f"10.0.0.{n}" for n in range(20, 30)], "green": [f"10.0.0.{n}" for n in range(30, 40)]},
    "frontend": {"blue": [f"10.0.0.{n}" for n in range(40, 50)], "green": [f"10.0.0.{n}" for n in range(50, 60)]},
}
REPLICAS = {"backend": [1, 2], "frontend": [1]}


@pytest.mark.parametrize(
    ("live", "named", "told", "kinds"),
    [
        ("blue", "", {}, ["name", "switch"]),
        ("blue", NEW, {"backend": [1, 2]}, ["switch"]),
        ("green", NEW, {"backend": [1, 2]}, []),
        ("green", NEW, {}, ["name"]),
        ("green", NEW, {"backend": [2, 2]}, ["name"]),
        ("green", OLD, {"backend": [1, 2]}, ["name"]),
    ],
)
def test_the_proxy_is_told_what_it_does_not_know(
    live: str, named: str, told: Mapping[str, Sequence[int]], kinds: list[str]
) -> None:
    assert plan_switch("green", NEW, REPLICAS, live, named, told).kinds == kinds


@pytest.fixture
def live(tmp_path: Path) -> LiveFolder:
    """Blue serves the old release, of which each host has one replica."""
    made = LiveFolder(str(tmp_path))
    made.name_release("blue", OLD)
    return made


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that the proxy has tried."""
    tried: list[str] = []

    def reachable(_: Any, __: Any, address: str, ___: Any) -> tuple[bool, str]:
        tried.append(address)
        return True, ""

    monkeypatch.setattr(release_switch, "reachable", reachable)
    monkeypatch.setattr(release_switch, "prove", lambda *_: None)
    return tried


def switch_to(live: LiveFolder, slot: str, release: str) -> Switch:
    given = {
        "live_folder": live.path,
        "slot": slot,
        "release": release,
        "replicas": REPLICAS,
        "addresses": ADDRESSES,
        "upstreams": {name: {"port": 80, "path": "/"} for name in ADDRESSES},
        "container": "erni-nginx",
        "hostname": "localhost",
        "paths": {},
    }
    made: Switch = load(ROOT / "library" / "release_switch.py").switch_of(given, None)
    return made


def carried_out(switch: Switch) -> None:
    now = switch.live
    plan = plan_switch(
        switch.slot, switch.release, switch.replicas, now.slot(), now.release(switch.slot), now.replicas(switch.slot)
    )
    carry_out(switch, plan, list)


def test_every_replica_is_reached_before_it_is_asked(live: LiveFolder, reached: list[str]) -> None:
    carried_out(switch_to(live, "green", NEW))
    assert reached == ["10.0.0.30", "10.0.0.31", "10.0.0.33", "10.0.0.50"]
    assert (live.slot(), live.release("green"), live.replicas("green")) == ("green", NEW, {"backend": [1, 2]})


def test_on_the_way_back_the_slot_has_the_replicas_that_it_had(live: LiveFolder, reached: list[str]) -> None:
    carried_out(switch_to(live, "green", NEW))
    reached.clear()
    carried_out(switch_to(live, "blue", ""))
    assert reached == ["10.0.0.20", "10.0.0.21", "10.0.0.40"]
    assert (live.slot(), live.release("blue"), live.replicas("blue")) == ("blue", OLD, {})
    carried_out(switch_to(live, "green", ""))
    assert live.replicas("green") == {"backend": [1, 2]}


def test_a_replica_that_is_not_reached_costs_nothing(
    live: LiveFolder, reached: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        release_switch, "reachable", lambda _, __, address, ___: (address != "10.0.0.33", "No route to host")
    )
    with pytest.raises(PlatformError, match=r"backend in slot green at 10\.0\.0\.33 cannot be reached"):
        carried_out(switch_to(live, "green", NEW))
    assert (live.slot(), live.release("green"), reached) == ("blue", "", [])
