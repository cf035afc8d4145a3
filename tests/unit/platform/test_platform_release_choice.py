"""Which release a run brings: what was asked for, what serves with today's settings, or what was recorded once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.release_choice import Wish, as_recorded, for_deploy, for_up, is_gone_back_from
from ansible.module_utils.erni.release_content import content_of
from ansible.module_utils.erni.release_record import JournalEntry, Manifest

PASSWORD = "correct horse battery staple"
OF_THE_INVENTORY, BY_NAME = "erni/backend:0123456789ab", "registry.example.org/backend@sha256:1"


def wish(
    image: str = OF_THE_INVENTORY, password: str = PASSWORD, accepted: tuple[str, ...] = (), **changes: Any
) -> Wish:
    backend = {
        "name": "backend",
        "image": image,
        "environment": {"LOG_LEVEL": changes.pop("level", "INFO")},
        "health": {"command": ["true"]},
        "limits": {"memory": "1g", "cpus": 1.0, "pids": 10},
    }
    secrets = {"backend": {"DB_PASSWORD": password}}
    return Wish({"backend": backend}, secrets, {"backend": {"DB_PASSWORD": list(accepted)}}, **changes)


def recorded(of: Wish, **changes: Any) -> Manifest:
    """The manifest of a release that was made of that wish."""
    content = content_of(of.services, of.secrets, {})
    manifest = Manifest(
        id=content.id,
        created="2026-01-02T03:04:05Z",
        operator="ada",
        environment="staging",
        source=of.source,
        images=content.images,
        image_ids={},
        services=content.services,
        secrets=content.fingerprints,
        config_digest=content.config_digest,
    )
    return replace(manifest, **changes)


def journal(*stories: tuple[str, str, str]) -> list[JournalEntry]:
    """Verb, release and end of each transition."""
    return [
        JournalEntry("", f"t{number}", verb, phase, release, detail=f"why {release} {phase}")
        for number, (verb, release, end) in enumerate(stories)
        for phase in ("begun", end)
    ]


SERVING = recorded(wish())
FORMER = recorded(wish(level="DEBUG"))
NAMED = recorded(wish(BY_NAME, source="images"))
DEPLOYED = ("deploy", SERVING.id, "done")


# A deploy.


def test_a_deploy_brings_what_it_is_given() -> None:
    choice = for_deploy(wish(BY_NAME, source="images"), journal(DEPLOYED))
    assert (choice.id, choice.source, choice.content.images) == (NAMED.id, "images", {"backend": BY_NAME})
    assert choice.content.secrets == {"backend": {"DB_PASSWORD": PASSWORD}}
    assert choice.notes == ()


@pytest.mark.parametrize("end", ["reverted", "stuck"])
def test_a_release_that_was_taken_back_is_deployed_again_only_for_a_reason(end: str) -> None:
    entries = journal(("deploy", FORMER.id, "done"), ("deploy", SERVING.id, end))
    with pytest.raises(PlatformError) as refused:
        for_deploy(wish(), entries)
    assert f"Release {SERVING.id} is quarantined: it was taken back once: why {SERVING.id} {end}" in str(refused.value)
    assert "REASON=" in str(refused.value)
    assert for_deploy(wish(reason="its database was down"), entries).id == SERVING.id


@pytest.mark.parametrize(
    "story",
    [
        pytest.param([("deploy", SERVING.id, "failed")], id="it failed before its switch"),
        pytest.param([("deploy", SERVING.id, "reverted"), DEPLOYED], id="it has served well since"),
        pytest.param([("deploy", FORMER.id, "reverted")], id="another was"),
    ],
)
def test_a_release_that_is_in_no_quarantine_needs_no_reason(story: list[tuple[str, str, str]]) -> None:
    assert for_deploy(wish(), journal(*story)).id == SERVING.id


# Up.


@pytest.mark.parametrize("changes", [{"level": "DEBUG"}, {"password": "another one"}, {"image": "erni/backend:2"}])
def test_up_follows_the_inventory_in_settings_secrets_and_images(changes: dict[str, Any]) -> None:
    choice = for_up(wish(**changes), journal(DEPLOYED), SERVING)
    assert choice.id == recorded(wish(**changes)).id
    assert choice.id != SERVING.id
    assert choice.notes == ()


def test_up_finds_the_release_that_serves_where_nothing_has_changed() -> None:
    assert for_up(wish(), journal(DEPLOYED), SERVING).id == SERVING.id


@pytest.mark.parametrize("source", ["images", "git:0a1b2c3"])
def test_up_keeps_the_images_of_a_release_that_was_deployed_by_name_and_gives_it_todays_settings(source: str) -> None:
    active = replace(NAMED, source=source)
    entries = journal(DEPLOYED, ("deploy", NAMED.id, "done"))
    assert for_up(wish(), entries, active).id == NAMED.id
    choice = for_up(wish("erni/backend:2", level="DEBUG"), entries, active)
    assert (choice.content.images, choice.source) == ({"backend": BY_NAME}, source)
    assert choice.content.services["backend"]["environment"] == {"LOG_LEVEL": "DEBUG"}


def test_up_on_a_host_on_which_nothing_serves_brings_what_the_inventory_says() -> None:
    choice = for_up(wish(), [], None)
    assert (choice.id, choice.source) == (SERVING.id, "inventory")


def test_up_does_not_bring_a_quarantined_release_to_a_host_on_which_nothing_serves() -> None:
    with pytest.raises(PlatformError, match="is quarantined"):
        for_up(wish(), journal(("deploy", SERVING.id, "reverted")), None)


def test_up_does_not_undo_a_rollback() -> None:
    entries = journal(("deploy", FORMER.id, "done"), DEPLOYED, ("rollback", FORMER.id, "done"))
    choice = for_up(wish(), entries, FORMER)
    assert (choice.id, choice.content.services) == (FORMER.id, FORMER.services)
    assert choice.notes == (
        f"What the inventory says is release {SERVING.id}, which was gone back from: make deploy brings it again.",
    )


def test_up_does_not_bring_back_by_the_way_what_a_bake_has_taken_back() -> None:
    entries = journal(("deploy", FORMER.id, "done"), ("deploy", SERVING.id, "reverted"))
    assert for_up(wish(), entries, FORMER).id == FORMER.id


def test_up_holds_after_a_rollback_until_there_is_something_new() -> None:
    entries = journal(("deploy", FORMER.id, "done"), DEPLOYED, ("rollback", FORMER.id, "done"))
    assert for_up(wish(), entries, FORMER).id == FORMER.id
    new = wish("erni/backend:2")
    assert for_up(new, entries, FORMER).id == recorded(new).id


def test_up_has_nothing_to_hold_back_where_the_inventory_was_gone_back_with() -> None:
    entries = journal(("deploy", FORMER.id, "done"), DEPLOYED, ("rollback", FORMER.id, "done"))
    choice = for_up(wish(level="DEBUG"), entries, FORMER)
    assert (choice.id, choice.notes) == (FORMER.id, ())


def test_where_up_holds_a_replaced_secret_of_the_release_that_serves_is_its_successor_and_said() -> None:
    gone_back_from = recorded(wish(password="successor"))
    entries = journal(
        ("deploy", FORMER.id, "done"), ("deploy", gone_back_from.id, "done"), ("rollback", FORMER.id, "done")
    )
    choice = for_up(wish(password="successor"), entries, FORMER)
    assert choice.id == FORMER.id
    assert choice.content.secrets == {"backend": {"DB_PASSWORD": "successor"}}
    assert choice.notes[0] == f"DB_PASSWORD has been replaced since release {FORMER.id}: its successor is used"
    assert gone_back_from.id in choice.notes[1]


# What was recorded.


@pytest.mark.parametrize(
    ("accepted", "password", "notes"),
    [
        ((PASSWORD,), PASSWORD, ()),
        ((), "successor", (f"DB_PASSWORD has been replaced since release {NAMED.id}: its successor is used",)),
    ],
)
def test_a_recorded_release_comes_back_as_it_was_with_its_secrets_as_far_as_they_hold(
    accepted: tuple[str, ...], password: str, notes: tuple[str, ...]
) -> None:
    manifest = replace(NAMED, schema={"before": "6", "after": "7"})
    choice = as_recorded(manifest, wish("erni/backend:2", "successor", accepted, level="DEBUG"))
    assert (choice.id, choice.source, choice.schema, choice.notes) == (NAMED.id, "images", "7", notes)
    assert choice.content.services == NAMED.services
    assert choice.content.secrets == {"backend": {"DB_PASSWORD": password}}


def test_a_recorded_release_whose_secret_is_no_longer_given_is_refused() -> None:
    with pytest.raises(PlatformError, match="needs the secret DB_PASSWORD of backend"):
        as_recorded(NAMED, replace(wish(), secrets={"backend": {}}))


# What was gone back from.

A, B, C = "a" * 12, "b" * 12, "c" * 12


@pytest.mark.parametrize(
    ("story", "gone_back_from"),
    [
        ([], ""),
        ([("deploy", A, "done")], ""),
        ([("deploy", A, "done"), ("deploy", B, "done")], ""),
        ([("deploy", A, "done"), ("deploy", B, "failed")], ""),
        ([("deploy", A, "done"), ("deploy", B, "begun")], ""),
        ([("deploy", A, "done"), ("deploy", B, "reverted")], "b"),
        ([("deploy", A, "done"), ("deploy", B, "reverted"), ("deploy", B, "done")], ""),
        ([("deploy", A, "done"), ("deploy", B, "done"), ("rollback", A, "done")], "ab"),
        # what is tried, and fails, after a rollback chooses nothing
        ([("deploy", A, "done"), ("deploy", B, "done"), ("rollback", A, "done"), ("up", C, "failed")], "ab"),
        ([("deploy", A, "done"), ("deploy", B, "done"), ("rollback", A, "done"), ("deploy", C, "done")], "b"),
        ([("deploy", A, "done"), ("deploy", B, "done"), ("rollback", A, "done"), ("deploy", B, "done")], ""),
        # a rollback that was finished by a recovery is one
        ([("deploy", A, "done"), ("deploy", B, "done"), ("rollback", A, "switched"), ("recover", A, "done")], "ab"),
    ],
)
def test_a_release_is_gone_back_from_when_another_was_chosen_in_its_place_since(
    story: list[tuple[str, str, str]], gone_back_from: str
) -> None:
    entries = journal(*story)
    assert "".join(r[0] for r in (A, B, C) if is_gone_back_from(r, entries)) == gone_back_from
