"""The steps of a recovery: which playbooks, in which order, with which options, and what the last one is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from erni_cli import recovery
from erni_cli.environment import Environment
from erni_cli.options import Options
from erni_cli.steps import Step

SET = "20260101T000000Z-0001"
WANTED = Options(env="staging", source_environment="production", identity="/safe/key", location="/mnt/sets")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.setattr(recovery, "ROOT", tmp_path)
    return Environment("staging", tmp_path, tmp_path / "password")


def run_steps(environment: Environment, wanted: Options, *, done: bool = False, release: str = "") -> list[Step]:
    """All of them, the first one having found what it is said to have found."""
    seen = []
    for step in recovery.steps(environment, wanted):
        seen.append(step)
        if step.book == "recover":
            told = {"done": done, "set": SET, "release": release}
            Path(str(step.variables["erni_recovery_file"])).write_text(json.dumps(told))
    return seen


@pytest.mark.parametrize(
    ("release", "books"),
    [
        ("", ["recover", "up", "restore", "shared/recovered"]),
        ("v1.0.0", ["recover", "up", "deploy", "restore", "shared/recovered"]),
    ],
)
def test_the_release_comes_before_its_data(environment: Environment, release: str, books: list[str]) -> None:
    assert [step.book for step in run_steps(environment, WANTED, release=release)] == books


def test_each_step_gets_what_it_needs_and_nothing_that_another_would_take_for_its_own(
    environment: Environment,
) -> None:
    first, up, deploy, restore, last = run_steps(environment, WANTED, release="v1.0.0")
    assert first.options == WANTED
    assert (up.options.set, up.options.source_environment) == (None, None)
    assert (deploy.options.release, deploy.options.reason) == ("v1.0.0", f"recovery from set {SET}")
    assert up.variables == {"erni_recovering": True}
    assert deploy.variables == {"release_backup": False, "erni_recovering": True}
    assert (restore.options.set, restore.options.source_environment) == (SET, "production")
    assert restore.variables == {"erni_recovering": True}
    assert [one["name"] for one in json.loads(str(last.variables["erni_recovery_steps"]))] == [
        "the set is here, and whole",
        "the platform serves, empty",
        "the set's release serves",
        "its data serve, compared and verified",
    ]
    assert (last.verb, up.verb) == ("recover", "up")


def test_what_was_recovered_before_is_left_alone(environment: Environment) -> None:
    assert [step.book for step in run_steps(environment, WANTED, done=True)] == ["recover"]


def test_a_check_ends_where_bare_hosts_can_tell_nothing_more(environment: Environment) -> None:
    assert [step.book for step in recovery.steps(environment, Options(check=True))] == ["recover"]


def test_what_an_earlier_run_has_found_is_not_taken_for_this_one(environment: Environment) -> None:
    run_steps(environment, WANTED)
    with pytest.raises(FileNotFoundError):
        list(recovery.steps(environment, WANTED))
