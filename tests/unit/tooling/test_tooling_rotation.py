"""The steps of a rotation: which playbooks, in which order, with which options."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible.module_utils.erni import keyring
from ansible.module_utils.erni.keyring import Keyring

from erni_cli import rotation, vault
from erni_cli.environment import Environment
from erni_cli.errors import PlatformError
from erni_cli.options import Options

DEMO = Environment("demo", Path("/inventories/demo"), Path("/inventories/demo/.vault_password"))
WANTED = Options(secrets="db_password", file="/somewhere", reason="why", force=True)
ROTATION = ["up", "shared/rotation_tried", "up", "shared/rotation_proven"]
RING = Keyring({"secret_key": "first"})


@pytest.fixture(autouse=True)
def _ring(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotation that has just ended."""
    now = datetime.now(UTC)
    begun = keyring.begin(RING, {"secret_key": "second"}, (), now)
    ring = keyring.prove(keyring.promote(begun, "", now, grace=3600))
    monkeypatch.setattr(vault, "read_keyring", lambda _: ring)


@pytest.mark.parametrize(
    ("verb", "books"),
    [
        ("rotate", ["rotate", *ROTATION]),
        ("rotate-emergency", ["rotate-emergency", *ROTATION, "revoke-previous", "up", "shared/rotation_forgotten"]),
        ("revoke-previous", ["up", "revoke-previous", "up", "shared/rotation_forgotten"]),
    ],
)
def test_a_verb_is_these_playbooks(verb: str, books: list[str]) -> None:
    steps = list(rotation.steps(verb, DEMO, WANTED))
    assert [step.book for step in steps] == books
    assert {step.verb for step in steps if step.book.startswith("shared/")} <= {"rotate", "revoke-previous"}


@pytest.mark.parametrize(
    ("names", "books", "renews"),
    [
        (None, ["rotate", *ROTATION], True),
        ("all", ["rotate", *ROTATION], True),
        ("db_password", ["rotate", *ROTATION], False),
        ("CERTIFICATE", ["rotate", "up", "shared/rotation_proven"], True),
        ("db_password,certificate", ["rotate", *ROTATION], True),
        ("backup_identity", ["rotate", "shared/rotation_tried", "shared/rotation_proven"], False),
        ("registry_password,certificate", ["rotate", "up", "shared/rotation_tried", "shared/rotation_proven"], True),
    ],
)
def test_servers_are_told_of_what_they_use_and_another_release_is_brought_for_what_it_uses(
    names: str | None, books: list[str], renews: bool
) -> None:
    steps = list(rotation.steps("rotate", DEMO, replace(WANTED, secrets=names)))
    assert [step.book for step in steps] == books
    renewing = [step.book for step in steps if step.variables.get("nginx_certificate_renewed")]
    assert renewing == (["up", "shared/rotation_proven"] if renews else [])


@pytest.mark.parametrize("names", ["certificate", "backup_identity"])
def test_what_was_interrupted_is_gone_on_with_whatever_is_named(monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    begun = keyring.begin(RING, {"secret_key": "second"}, (), datetime.now(UTC))
    monkeypatch.setattr(vault, "read_keyring", lambda _: begun)
    steps = list(rotation.steps("rotate", DEMO, replace(WANTED, secrets=names)))
    assert [step.book for step in steps] == ["rotate", *ROTATION]


def test_in_an_emergency_what_was_interrupted_ends_first(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = keyring.begin(RING, {"secret_key": "second"}, (), datetime.now(UTC))
    monkeypatch.setattr(vault, "read_keyring", lambda _: begun)
    steps = list(rotation.steps("rotate-emergency", DEMO, WANTED))
    assert [step.book for step in steps][:6] == ["rotate", *ROTATION, "rotate-emergency"]
    assert steps[0].options.secrets == "secret_key"


@pytest.mark.parametrize("grace", [-1, 3600])
def test_where_no_previous_values_time_is_over_the_platform_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, grace: int
) -> None:
    begun = keyring.begin(RING, {"secret_key": "second"}, (), datetime.now(UTC) - timedelta(seconds=1))
    ring = keyring.prove(keyring.promote(begun, "", datetime.now(UTC), grace))
    monkeypatch.setattr(vault, "read_keyring", lambda _: ring)
    books = [step.book for step in rotation.steps("revoke-previous", DEMO, replace(WANTED, force=False))]
    ends = ["up", "revoke-previous", "up", "shared/rotation_forgotten"]
    assert books == (ends if grace < 0 else ["revoke-previous"])


def test_a_revocation_that_was_killed_before_servers_knew_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault, "read_keyring", lambda _: replace(RING, revoked=("secret_key",)))
    books = [step.book for step in rotation.steps("revoke-previous", DEMO, replace(WANTED, force=False))]
    assert books == ["up", "revoke-previous", "up", "shared/rotation_forgotten"]


@pytest.mark.parametrize("verb", ["rotate", "rotate-emergency", "revoke-previous"])
def test_a_check_ends_with_what_it_can_predict(verb: str) -> None:
    assert [step.book for step in rotation.steps(verb, DEMO, replace(WANTED, check=True))] == [verb]


def test_what_is_rotated_is_told_once_and_an_emergency_forces_the_revocation() -> None:
    steps = list(rotation.steps("rotate-emergency", DEMO, replace(WANTED, force=False)))
    assert [step.options.secrets for step in steps] == ["db_password"] + [None] * 7
    assert [step.book for step in steps if step.options.force] == ["revoke-previous"]
    assert all(step.options.reason == "why" for step in steps)


def test_a_replaced_vault_password_is_recorded_beside_the_other_rotations(tmp_path: Path) -> None:
    demo = replace(DEMO, folder=tmp_path)
    rotation.record_vault_password(demo, "ada", "every 90 days")
    rotation.record_vault_password(demo, "ada", "")
    first, _ = [json.loads(line) for line in (tmp_path / "rotations.jsonl").read_text().splitlines()]
    assert datetime.now(UTC) - keyring.parsed(first.pop("when")) < timedelta(minutes=1)
    assert first == {
        "environment": "demo",
        "operator": "ada",
        "reason": "every 90 days",
        "actions": ["replace vault_password"],
    }


def test_an_emergency_has_to_be_explained() -> None:
    with pytest.raises(PlatformError, match="does not say what has happened"):
        next(rotation.steps("rotate-emergency", DEMO, replace(WANTED, reason=None)))
