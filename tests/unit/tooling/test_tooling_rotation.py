"""The steps of a rotation: which playbooks, in which order, with which options."""

from __future__ import annotations

from dataclasses import replace

import pytest

from erni_cli import rotation
from erni_cli.errors import PlatformError
from erni_cli.options import Options

WANTED = Options(secrets="db_password", file="/somewhere", reason="why", force=True)
ROTATION = ["up", "shared/rotation_tried", "up", "shared/rotation_proven"]


@pytest.mark.parametrize(
    ("verb", "books"),
    [
        ("rotate", ["rotate", *ROTATION]),
        ("rotate-emergency", ["rotate-emergency", *ROTATION, "revoke-previous", "up"]),
        ("revoke-previous", ["up", "revoke-previous", "up"]),
    ],
)
def test_a_verb_is_these_playbooks(verb: str, books: list[str]) -> None:
    steps = list(rotation.steps(verb, WANTED))
    assert [step.book for step in steps] == books
    assert {step.verb for step in steps} == {verb.replace("-emergency", ""), verb, "up", *books} - {
        "shared/rotation_tried",
        "shared/rotation_proven",
    }


@pytest.mark.parametrize("verb", ["rotate", "rotate-emergency", "revoke-previous"])
def test_a_check_ends_with_what_it_can_predict(verb: str) -> None:
    assert [step.book for step in rotation.steps(verb, replace(WANTED, check=True))] == [verb]


def test_what_is_rotated_is_told_once_and_an_emergency_forces_the_revocation() -> None:
    steps = list(rotation.steps("rotate-emergency", replace(WANTED, force=False)))
    assert [step.options.secrets for step in steps] == ["db_password"] + [None] * 6
    assert [step.book for step in steps if step.options.force] == ["revoke-previous"]
    assert all(step.options.reason == "why" for step in steps)


def test_an_emergency_has_to_be_explained() -> None:
    with pytest.raises(PlatformError, match="does not say what has happened"):
        next(rotation.steps("rotate-emergency", replace(WANTED, reason=None)))
