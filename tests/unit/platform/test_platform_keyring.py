"""The values of a secret while it is replaced: each step, what is refused, and what an interrupted one goes on with."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from ansible.module_utils.erni import keyring as rotation
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.keyring import Current, Keyring

NOW = datetime(2026, 1, 7, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)
LOGINS = ("app_a", "app_b")
FRESH = {"db_password": "second db", "secret_key": "second key"}
RING = Keyring({"db_password": "first db", "secret_key": "first key", "redis_password": "first redis"})


def begun(ring: Keyring = RING) -> Keyring:
    return rotation.begin(ring, FRESH, LOGINS, NOW)


def promoted(ring: Keyring | None = None) -> Keyring:
    return rotation.promote(ring or begun(), LOGINS[0], NOW, grace=3600)


def proven() -> Keyring:
    return rotation.prove(promoted())


def test_a_successor_is_stored_beside_what_is_in_use() -> None:
    ring = begun()
    assert ring.values == RING.values
    assert {name: (entry.value, entry.login) for name, entry in ring.pending.items()} == {
        "db_password": ("second db", "app_b"),
        "secret_key": ("second key", ""),
    }
    assert ring.unfinished == ["db_password", "secret_key"]


def test_promotion_keeps_the_former_value_for_as_long_as_it_is_to_hold() -> None:
    ring = promoted()
    assert ring.values == {**RING.values, **FRESH}
    assert ring.pending == {}
    assert ring.now["db_password"] == Current("2026-01-07T12:00:00Z", 2, "app_b", proven=False)
    previous = ring.previous["db_password"]
    assert (previous.value, previous.version, previous.login) == ("first db", 1, "app_a")
    assert previous.until == "2026-01-07T13:00:00Z"
    assert ring.previous["secret_key"].login == ""
    assert "redis_password" not in ring.previous


def test_logins_take_turns() -> None:
    ring = rotation.revoke(proven(), LATER, force=False)
    third = promoted(rotation.begin(ring, {"db_password": "third db"}, LOGINS, LATER))
    assert third.now["db_password"].login == "app_a"
    assert third.previous["db_password"].login == "app_b"
    assert third.now["db_password"].version == 3


@pytest.mark.parametrize("ring", [begun(), promoted()], ids=["pending", "promoted"])
def test_a_rotation_that_was_interrupted_is_gone_on_with_and_not_begun_anew(ring: Keyring) -> None:
    again = rotation.begin(ring, {"db_password": "another", "redis_password": "second redis"}, LOGINS, LATER)
    assert again.pending.get("db_password") == ring.pending.get("db_password")
    assert again.pending["redis_password"].value == "second redis"
    assert again.values["db_password"] == ring.values["db_password"]


def test_promoting_and_proving_twice_changes_nothing() -> None:
    assert promoted(promoted()) == promoted()
    assert rotation.prove(proven()) == proven()


def test_a_value_that_still_holds_is_not_ended_by_the_next_rotation() -> None:
    with pytest.raises(PlatformError, match=r"db_password before the last rotation still hold.*revoke-previous"):
        rotation.begin(proven(), {"db_password": "third db"}, LOGINS, LATER)


@pytest.mark.parametrize(
    ("moment", "force", "left"),
    [
        (NOW, False, ["db_password", "secret_key"]),
        (NOW + timedelta(seconds=3599), False, ["db_password", "secret_key"]),
        (NOW + timedelta(seconds=3600), False, []),
        (NOW, True, []),
    ],
)
def test_previous_values_are_revoked_once_their_time_is_over(moment: datetime, force: bool, left: list[str]) -> None:
    assert sorted(rotation.revoke(proven(), moment, force=force).previous) == left


@pytest.mark.parametrize("force", [False, True])
def test_what_is_the_way_back_is_not_revoked(force: bool) -> None:
    with pytest.raises(PlatformError, match="have not been proven to serve"):
        rotation.revoke(promoted(), LATER, force=force)


def test_an_emergency_ends_what_it_can_and_goes_on_with_what_was_interrupted() -> None:
    ring = rotation.begin(proven(), {"redis_password": "second redis"}, LOGINS, NOW)
    ring = rotation.promote(ring, LOGINS[0], NOW, grace=3600)
    assert list(rotation.revoke(ring, NOW, force=True, patient=True).previous) == ["redis_password"]


def test_one_login_alone_cannot_take_turns() -> None:
    with pytest.raises(PlatformError, match="postgres_logins names 1"):
        rotation.begin(RING, FRESH, LOGINS[:1], NOW)


@pytest.mark.parametrize("ring", [RING, begun(), promoted(), proven()])
def test_it_is_read_as_it_was_written(ring: Keyring) -> None:
    assert Keyring.load(ring.values, json.loads(json.dumps(ring.dump()))) == ring


def test_a_vault_that_was_never_rotated_is_an_empty_one() -> None:
    assert Keyring.load(RING.values, {}) == RING


@pytest.mark.parametrize("ring", [begun(), promoted()])
def test_no_value_is_in_what_a_traceback_would_show(ring: Keyring) -> None:
    assert not [value for value in (*RING.values.values(), *FRESH.values()) if value in repr(ring)]


def test_what_is_due_is_what_nobody_has_to_be_asked_about() -> None:
    assert rotation.due(proven(), NOW) == []
    assert rotation.due(proven(), LATER) == ["db_password", "secret_key"]


def test_a_secret_that_has_just_been_made_has_an_age() -> None:
    ring = rotation.created(RING, ["db_password"], NOW)
    assert ring.now == {"db_password": Current("2026-01-07T12:00:00Z")}
    assert rotation.begin(ring, FRESH, LOGINS, NOW).pending["db_password"].login == "app_b"
    assert promoted(rotation.begin(ring, FRESH, LOGINS, NOW)).previous["db_password"].login == "app_a"
    assert replace(ring, now={}) == RING
