"""The releases of a host as an operator sees them: the way back to each, and where the sources disagree."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.erni.release_record import JournalEntry, Manifest
from ansible.module_utils.erni.release_report import (
    Observed,
    ReleaseRow,
    as_json,
    as_text,
    canonically_live,
    disagreements,
    fading,
    rows,
)
from ansible.module_utils.erni.release_world import Instance, World

A, B, C = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"
SERVICES = ("backend", "frontend")
CANONICAL = {service: f"erni-{service}" for service in SERVICES}


def manifest(release: str, **changes: Any) -> Manifest:
    made = Manifest(
        id=release,
        created="2026-01-01T00:00:00Z",
        operator="ada",
        environment="local",
        source="inventory",
        images={service: f"erni/{service}:{release}" for service in SERVICES},
        image_ids={service: f"sha256:{service}-{release}" for service in SERVICES},
        services={},
        secrets={},
        config_digest="",
    )
    return replace(made, **changes)


def entry(day: int, verb: str, phase: str, release: str) -> JournalEntry:
    return JournalEntry(f"2026-02-{day:02}T10:20:30.400Z", f"t{day}", verb, phase, release, operator="grace")


def pair(slot: str, release: str, *, running: bool = True, live: bool = False) -> tuple[Instance, ...]:
    suffix = "" if live else f"-{slot}"
    return tuple(Instance(f"erni-{service}{suffix}", service, slot, release, running) for service in SERVICES)


def observed(**changes: Any) -> Observed:
    """B serves from green, A waits in blue, and all sources agree; or with some facts changed."""
    manifests = {release: manifest(release) for release in (A, B)}
    images = {m.images[service]: m.image_ids[service] for m in manifests.values() for service in SERVICES}
    world = World("green", (*pair("blue", A), *pair("green", B, live=True)))
    entries = [entry(1, "deploy", "done", A), entry(2, "deploy", "done", B)]
    return replace(Observed(world, {"blue": A, "green": B}, SERVICES, images, manifests, entries), **changes)


def states(seen: Observed) -> dict[str, str]:
    return {row.release: row.state for row in rows(seen, keep=5)}


def test_where_all_sources_agree_nothing_is_said() -> None:
    assert states(observed()) == {B: "serves", A: "warm"}
    assert disagreements(observed(), CANONICAL) == []


@pytest.mark.parametrize(
    ("blue", "state"),
    [
        (pair("blue", A), "warm"),
        (pair("blue", A, running=False), "stopped"),
        ((pair("blue", A)[0], replace(pair("blue", A)[1], running=False)), "stopped"),
        (pair("blue", A)[:1], "image only"),
        ((), "image only"),
        (tuple(replace(i, displaced=True) for i in pair("blue", A, running=False)), "image only"),
        (pair("blue", C), "image only"),
    ],
)
def test_the_way_back_is_told_by_what_there_is_of_a_release(blue: tuple[Instance, ...], state: str) -> None:
    assert states(observed(world=World("green", (*blue, *pair("green", B, live=True)))))[A] == state


REPLICATED = manifest(B, services={"backend": {}, "backend-2": {}, "frontend": {}})


@pytest.mark.parametrize(
    ("second", "sentences"),
    [
        ([Instance("erni-backend-2", "backend-2", "green", B, running=True)], []),
        ([], ["Slot green is the one that is asked, and no backend-2 runs in it."]),
    ],
)
def test_a_replica_that_is_missing_where_it_should_serve_is_told(second: list[Instance], sentences: list[str]) -> None:
    seen = observed(world=World("green", (*pair("blue", A), *pair("green", B, live=True), *second)))
    assert disagreements(replace(seen, manifests=seen.manifests | {B: REPLICATED}), CANONICAL) == sentences


@pytest.mark.parametrize(("second", "state"), [(True, "warm"), (False, "stopped"), (None, "image only")])
def test_the_way_back_to_a_release_is_one_to_all_its_replicas(second: bool | None, state: str) -> None:
    there = [Instance("erni-backend-2-green", "backend-2", "green", B, second)] if second is not None else []
    seen = observed(world=World("blue", (*pair("blue", A, live=True), *pair("green", B), *there)))
    assert states(replace(seen, manifests=seen.manifests | {B: REPLICATED}))[B] == state


@pytest.mark.parametrize("reference", [f"erni/backend:{A}", f"erni/frontend:{A}"])
def test_a_release_without_one_of_its_images_is_gone(reference: str) -> None:
    seen = observed(world=World("green", pair("green", B, live=True)))
    assert states(replace(seen, present=seen.present | {reference: ""}))[A] == "gone"


def test_only_the_images_of_services_that_belong_to_the_host_are_needed() -> None:
    seen = observed(world=World("green", pair("green", B, live=True)[:1]), services=("backend",))
    assert states(replace(seen, present=seen.present | {f"erni/frontend:{A}": ""}))[A] == "image only"


def test_a_release_that_only_the_journal_remembers_is_gone_and_so_many_of_them_are_shown() -> None:
    entries = [*(entry(day, "deploy", "done", f"{day:012}") for day in range(1, 9)), *observed().entries]
    seen = observed(entries=entries)
    assert states(seen)["000000000008"] == "gone"
    assert [row.release for row in rows(seen, keep=2) if row.state == "gone"] == ["000000000008", "000000000007"]


@pytest.mark.parametrize(
    ("phase", "serving", "state"), [("reverted", B, "quarantined"), ("stuck", B, "quarantined"), ("stuck", A, "serves")]
)
def test_a_release_in_quarantine_is_called_so_unless_it_serves(phase: str, serving: str, state: str) -> None:
    world = World("green", (*pair("blue", A), *pair("green", B, live=True)))
    live = replace(world, live="green" if serving == B else "blue")
    assert states(observed(world=live, entries=[*observed().entries, entry(3, "rollback", phase, A)]))[A] == state


def test_a_stopped_platform_shows_what_would_serve_as_stopped() -> None:
    world = World("green", (*pair("blue", A, running=False), *pair("green", B, running=False, live=True)))
    assert states(observed(world=world)) == {A: "stopped", B: "stopped"}


@pytest.mark.parametrize(
    ("entries", "release", "when", "operator", "outcome"),
    [
        ([], A, "2026-01-01T00:00:00Z", "ada", ""),
        ([entry(1, "deploy", "done", A)], A, "2026-02-01T10:20:30.400Z", "grace", "deploy done"),
        ([entry(1, "deploy", "done", A), entry(2, "rollback", "done", A)], A, "2026-02-02", "grace", "rollback done"),
        ([entry(1, "deploy", "failed", C)], C, "2026-02-01", "grace", "deploy failed"),
        ([entry(1, "deploy", "switched", A)], A, "2026-02-01", "grace", "deploy interrupted"),
        ([entry(1, "deploy", "switched", A), entry(2, "deploy", "done", B)], A, "2026-01-01", "ada", ""),
    ],
)
def test_a_release_is_told_by_the_last_transition_to_it(
    entries: list[JournalEntry], release: str, when: str, operator: str, outcome: str
) -> None:
    (row,) = [row for row in rows(observed(entries=entries), keep=5) if row.release == release]
    assert row.when.startswith(when)
    assert (row.operator, row.outcome) == (operator, outcome)


def test_the_newest_release_comes_first() -> None:
    entries = [*observed().entries, entry(3, "rollback", "done", A)]
    assert [row.release for row in rows(observed(entries=entries), keep=5)] == [A, B]


def said(**changes: Any) -> list[str]:
    return disagreements(observed(**changes), CANONICAL)


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        (
            {"world": World("green", (*pair("blue", A), *pair("green", B, live=True)[:1]))},
            ["Slot green is the one that is asked, and no frontend runs in it."],
        ),
        (
            {"world": World("green", pair("green", B, live=True, running=False))},
            [f"Slot green is the one that is asked, and no {service} runs in it." for service in SERVICES],
        ),
        (
            {"named": {"blue": A, "green": C}},
            [f"nginx calls slot green release {C}, and its containers are of {B}."],
        ),
        (
            {"world": World("green", (*pair("green", B, live=True), *pair("blue", A)[:1], *pair("blue", C)[1:])),
             "manifests": {r: manifest(r) for r in (A, B, C)}, "named": {}},
            [f"Slot blue holds containers of more than one release: {A}, {C}."],
        ),
        (
            {"world": World("green", (*pair("blue", A, live=True), *pair("green", B)))},
            ["erni-backend should have the name erni-backend-blue.",
             "erni-backend-green should have the name erni-backend.",
             "erni-frontend should have the name erni-frontend-blue.",
             "erni-frontend-green should have the name erni-frontend."],
        ),
        (
            {"entries": [entry(2, "deploy", "done", B), entry(3, "deploy", "done", A)]},
            [f"Release {B} serves, and by the journal it should be {A}."],
        ),
        (
            {"entries": [entry(1, "deploy", "done", A), entry(3, "deploy", "switched", B)]},
            [f"The deploy of release {B} was interrupted after its phase 'switched' (2026-02-03T10:20:30.400Z)."],
        ),
        (
            {"entries": [*observed().entries, replace(entry(3, "deploy", "stuck", C), detail="no answer")]},
            ["The last deploy could not be taken back: no answer."],
        ),
        (
            {"manifests": {B: manifest(B)}},
            [f"Release {A} has containers and no record, so nothing leads back to it once they are gone."],
        ),
        (
            {"present": observed().present | {f"erni/backend:{A}": "sha256:rebuilt"}},
            [f"erni/backend:{A} is another image now than the one that release {A} was recorded with."],
        ),
        ({"damaged": ["The record of release x is damaged."]}, ["The record of release x is damaged."]),
        (
            {"world": World("green"), "entries": []},
            [f"nginx calls what serves release {B}, which has no container."],
        ),
        ({"world": World("blue"), "entries": [], "named": {}, "manifests": {}}, []),
    ],
)  # fmt: skip
def test_each_disagreement_is_a_sentence(changes: dict[str, Any], sentences: list[str]) -> None:
    assert said(**changes) == sentences


def test_without_a_proxy_what_has_the_canonical_name_serves() -> None:
    world = World("blue", (*pair("blue", A), *pair("green", B, live=True)))
    assert canonically_live(world, CANONICAL).live == "green"
    assert canonically_live(World("blue"), CANONICAL).live == "blue"


def test_it_is_said_which_releases_retention_lets_go_of() -> None:
    manifests = {release: manifest(release) for release in (A, B, C)}
    entries = [entry(1, "deploy", "done", C), *(replace(e, time=e.time) for e in observed().entries)]
    assert fading(observed(manifests=manifests, entries=entries), keep=2) == [C]
    assert fading(observed(manifests=manifests, entries=entries), keep=3) == []


ROW = ReleaseRow(
    A, "2026-02-01T10:20:30.400Z", "grace", f"git:{'0a1b2c3d' * 5}", "7", "deploy done", "serves"
)  # fmt: skip


def test_a_table_has_a_row_for_each_release_and_aligned_columns() -> None:
    header, first, second = as_text([ROW, ReleaseRow(B, "", "", "", "", "", "gone")], [], []).splitlines()
    assert header.split() == ["RELEASE", "STATE", "WHEN", "BY", "SOURCE", "SCHEMA", "OUTCOME"]
    assert [cell.strip() for cell in first.split("  ") if cell] == [
        A, "serves", "2026-02-01 10:20:30", "grace", "git:0a1b2c3d0a1b", "7", "deploy done",
    ]  # fmt: skip
    starts = [header.index(column) for column in ("STATE", "WHEN", "BY", "OUTCOME")]
    assert [second[start:].split()[0] for start in starts] == ["gone", "-", "-", "-"]


def test_under_the_table_stands_what_an_operator_should_know() -> None:
    lines = as_text([ROW], ["One thing."], [B, C]).splitlines()
    assert lines[2:] == [
        "",
        f"The next deploy that succeeds lets go of {B}, {C} (release_keep).",
        "",
        "One thing.",
        "What serves counts; the next make up, deploy or rollback puts the rest right.",
    ]


def test_no_release_is_told_as_a_sentence() -> None:
    assert as_text([], [], []) == "There is no release on this host yet; make up brings the first."


def test_json_names_the_host_and_carries_everything() -> None:
    report = json.loads(as_json("h1", [ROW], ["One thing."], [C]))
    assert (report["host"], report["disagreements"], report["fading"]) == ("h1", ["One thing."], [C])
    assert ReleaseRow(**report["releases"][0]) == ROW
