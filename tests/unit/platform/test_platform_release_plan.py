"""How a release comes to serve: what is done in place, what is switched back to, what starts beside."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.erni.planning import Difference, Plan
from ansible.module_utils.erni.release_plan import (
    FIRST,
    HEAL,
    IN_PLACE,
    NOTHING,
    REPLACE,
    RETURN,
    plan_release,
    waits_too_long,
)
from ansible.module_utils.erni.release_record import JournalEntry
from ansible.module_utils.erni.release_world import (
    Instance,
    Renaming,
    World,
    displacements,
    instances,
    renamings,
)

OLD, NEW = "0" * 12, "1" * 12
CANONICAL = {"backend": "erni-backend", "frontend": "erni-frontend"}


def at(slot: str, release: str, *, live: str = "blue", running: bool = True) -> tuple[Instance, ...]:
    return tuple(
        Instance(name if slot == live else f"{name}-{slot}", service, slot, release, running)
        for service, name in CANONICAL.items()
    )


def plans(**kinds: str) -> dict[str, Plan]:
    made = {service: Plan() for service in CANONICAL}
    for service, kind in kinds.items():
        made[service].add(kind, service, f"{service}: {kind}")
    return made


SERVING = World("blue", at("blue", OLD))
WITH_WARM = World("blue", at("blue", OLD) + at("green", NEW))


@pytest.mark.parametrize(
    ("world", "release", "live", "idle", "mode", "slot"),
    [
        pytest.param(World("blue"), NEW, plans(), {}, FIRST, "blue", id="nothing serves"),
        pytest.param(World("green"), NEW, plans(), {}, FIRST, "green", id="nothing serves, and green would"),
        pytest.param(SERVING, OLD, plans(), {}, NOTHING, "blue", id="it serves already"),
        pytest.param(SERVING, OLD, plans(backend="start"), {}, HEAL, "blue", id="a container was stopped"),
        pytest.param(SERVING, OLD, plans(frontend="create"), {}, HEAL, "blue", id="a container was removed"),
        pytest.param(SERVING, OLD, plans(backend="update"), {}, HEAL, "blue", id="a limit was changed by hand"),
        pytest.param(SERVING, OLD, plans(backend="replace"), {}, REPLACE, "green", id="a setting was changed by hand"),
        pytest.param(SERVING, NEW, {}, {}, REPLACE, "green", id="another release"),
        pytest.param(
            World("green", at("green", OLD, live="green")), NEW, {}, {}, REPLACE, "blue", id="from green to blue"
        ),
        pytest.param(WITH_WARM, NEW, {}, plans(), RETURN, "green", id="it waits, warm"),
        pytest.param(
            WITH_WARM, NEW, {}, plans(backend="start", frontend="start"), RETURN, "green", id="it waits, stopped"
        ),
        pytest.param(WITH_WARM, NEW, {}, plans(backend="create"), REPLACE, "green", id="half of it waits"),
        pytest.param(WITH_WARM, NEW, {}, plans(backend="replace"), REPLACE, "green", id="it waits with old secrets"),
        pytest.param(WITH_WARM, OLD, plans(), plans(), NOTHING, "blue", id="what waits is nobody's business"),
    ],
)
def test_the_way_of_a_release(
    world: World, release: str, live: dict[str, Plan], idle: dict[str, Plan], mode: str, slot: str
) -> None:
    plan = plan_release(release, world, live, idle, [])
    assert (plan.mode, plan.slot) == (mode, slot)
    assert plan.switches is (mode in (RETURN, REPLACE))
    assert plan.plan.changed is (mode != NOTHING)


def test_nothing_that_takes_a_request_from_what_serves_is_done_in_place() -> None:
    assert "replace" not in IN_PLACE
    assert "restore_replaced" not in IN_PLACE


def test_services_of_two_releases_in_the_live_slot_are_brought_together_beside_them() -> None:
    mixed = World("blue", (at("blue", OLD)[0], at("blue", NEW)[1]))
    assert plan_release(NEW, mixed, {}, {}, []).mode == REPLACE


def test_a_plan_tells_what_is_cleared_what_starts_and_what_switches_in_that_order() -> None:
    world = World("blue", at("blue", OLD) + at("green", "2" * 12))
    changed = [Difference("backend LOG_LEVEL", "INFO", "DEBUG")]
    plan = plan_release(NEW, world, {}, {}, changed).plan
    assert plan.kinds == ["displace", "candidate", "switch"]
    assert plan.differences == changed
    assert plan.sentences[1] == f"release {NEW} starts in slot green, beside {OLD}, which serves"


def test_a_volume_that_replicas_share_is_told_once() -> None:
    shared = Plan()
    shared.add("create_volume", "erni-backend-logs", "volume erni-backend-logs is created")
    plan = plan_release("a", World("blue"), {"backend": shared, "backend-2": shared}, {}, [])
    assert plan.plan.kinds == ["create_volume", "serve"]


def test_where_containers_differ_from_their_release_the_plan_names_what_differs() -> None:
    live = plans(backend="replace")
    live["backend"].differences = [Difference("read_only", False, True)]
    plan = plan_release(OLD, SERVING, live, {}, []).plan
    assert plan.sentences[0] == f"the containers of release {OLD} differ from it: read_only"


# What is there, by the engine's list.


def listed(name: str, state: str = "running", **labels: str) -> dict[str, Any]:
    named = {f"ch.erni.{key}": value for key, value in labels.items()}
    return {"Names": [f"/{name}"], "State": state, "Labels": named}


def test_containers_are_known_by_their_labels() -> None:
    found = instances(
        [
            listed("erni-backend", service="backend", slot="green", release=NEW),
            listed("erni-backend-blue", "exited", service="backend", slot="blue", release=OLD),
            listed("erni-backend-blue-displaced", "exited", service="backend", slot="blue", release="2" * 12),
            listed("erni-postgres", service="postgres"),
            listed("erni-backend-image", service="backend"),
            listed("theirs", service="backend", slot="green", release=NEW),
        ],
        CANONICAL,
    )
    assert found == (
        Instance("erni-backend", "backend", "green", NEW, True),
        Instance("erni-backend-blue", "backend", "blue", OLD, False),
        Instance("erni-backend-blue-displaced", "backend", "blue", "2" * 12, False, displaced=True),
    )


def test_a_container_from_before_there_were_slots_is_the_one_that_serves() -> None:
    (old,) = instances([listed("erni-backend", service="backend", release=OLD)], CANONICAL)
    assert World("blue", (old,)).at("backend", "blue") == old


def test_a_container_made_by_hand_holds_its_name_and_belongs_to_no_release() -> None:
    (stranger,) = instances([listed("erni-frontend-blue")], CANONICAL)
    assert stranger == Instance("erni-frontend-blue", "frontend", "", "", True)
    assert World("green", (stranger,)).releases_in("blue") == set()


def test_what_was_made_by_hand_is_removed_and_its_place_filled_without_a_switch() -> None:
    stranger = Instance("erni-frontend", "frontend", "", "", True)
    world = World("blue", (at("blue", OLD)[0], stranger))
    plan = plan_release(OLD, world, plans(frontend="create"), {}, [])
    assert (plan.mode, plan.plan.kinds) == (HEAL, ["remove", "create"])
    beside = World("blue", (*at("blue", OLD), replace(stranger, name="erni-frontend-green")))
    assert plan_release(OLD, beside, plans(), {}, []).mode == HEAL


# Names.


@pytest.mark.parametrize(
    ("live", "names", "expected"),
    [
        pytest.param("blue", {"blue": "erni-backend", "green": "erni-backend-green"}, [], id="all is well"),
        pytest.param(
            "green",
            {"blue": "erni-backend", "green": "erni-backend-green"},
            [("erni-backend", "erni-backend-blue"), ("erni-backend-green", "erni-backend")],
            id="after a switch",
        ),
        pytest.param(
            "green",
            {"blue": "erni-backend-blue", "green": "erni-backend-green"},
            [("erni-backend-green", "erni-backend")],
            id="killed between the two",
        ),
        pytest.param(
            "green",
            {"blue": "erni-backend"},
            [("erni-backend", "erni-backend-blue")],
            id="what serves was removed: its name is not given to another",
        ),
    ],
)
def test_what_serves_gets_the_canonical_name(live: str, names: dict[str, str], expected: list[tuple[str, str]]) -> None:
    found = tuple(Instance(name, "backend", slot, OLD, True) for slot, name in names.items())
    assert renamings(World(live, found), {"backend": "erni-backend"}) == [Renaming(*pair) for pair in expected]


def test_a_name_is_free_before_it_is_given() -> None:
    taken = {i.name for i in WITH_WARM.instances}
    for renaming in renamings(World("green", WITH_WARM.instances), CANONICAL):
        taken.remove(renaming.current)
        assert renaming.wanted not in taken
        taken.add(renaming.wanted)


def test_occupants_are_set_aside_and_what_is_set_aside_already_is_not_an_occupant() -> None:
    aside = Instance("erni-backend-green-displaced", "backend", "green", OLD, False, displaced=True)
    world = World("blue", (*WITH_WARM.instances, aside))
    assert displacements(world, CANONICAL, "green") == [
        Renaming("erni-backend-green", "erni-backend-green-displaced"),
        Renaming("erni-frontend-green", "erni-frontend-green-displaced"),
    ]


# What has waited for long enough.

NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC).timestamp()


def passed(seconds: float, *, phase: str = "done", slot: str = "green") -> JournalEntry:
    """A line of a transition from blue, so many seconds before noon."""
    moment = dt.datetime.fromtimestamp(NOON - seconds, dt.UTC).isoformat(timespec="milliseconds")
    return JournalEntry(moment.replace("+00:00", "Z"), "t1", "deploy", phase, NEW, slot, OLD, "blue")


def waiting(**changes: Any) -> World:
    serving = Instance("erni-backend", "backend", "green", NEW, running=True)
    return World("green", (serving, replace(Instance("erni-backend-blue", "backend", "blue", OLD, True), **changes)))


@pytest.mark.parametrize(
    ("world", "entries", "over"),
    [
        (waiting(), [passed(901)], True),
        (waiting(), [passed(899)], False),
        (waiting(), [passed(901), passed(10)], False),
        (waiting(), [passed(901), passed(10, slot="blue")], True),  # found serving: no switch
        (waiting(), [passed(901), passed(10, phase="failed")], True),
        (waiting(), [], True),  # nobody knows since when
        (waiting(running=False), [passed(901)], False),
        (waiting(displaced=True), [passed(901)], False),
        (World("green"), [passed(901)], False),
        (World("green", waiting().instances[:1]), [passed(901)], False),  # only what serves
    ],
)
def test_a_release_waits_as_long_as_it_may_since_the_last_switch(
    world: World, entries: list[JournalEntry], over: bool
) -> None:
    assert waits_too_long(world, entries, 900, NOON) is over
