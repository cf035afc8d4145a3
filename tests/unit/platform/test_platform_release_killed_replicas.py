"""Killed after any single operation between releases with different numbers of replicas, the next run finishes or
undoes; and at no moment does nginx ask a replica that does not run.

The engine is a small model of it (``release_model``), which checks at each operation whom nginx would ask.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import release_recover
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.release_choice import Wish
from ansible.module_utils.erni.release_history import open_transition, stack
from ansible.module_utils.erni.release_record import read_journal
from ansible.module_utils.erni.release_run import DEPLOY, ROLLBACK, UP
from ansible.module_utils.erni.release_world import canonical_names
from release_model import SERVICES, Host, Killed, model_host, release_of, wish

OPERATIONS = range(1, 46)  # more than any of these runs takes


@dataclass(frozen=True)
class Story:
    """Which releases there have been, by their number of backends: ``older`` waits in blue, ``old`` serves from green,
    ``new`` is to come."""

    older: int
    old: int
    new: int

    def wish(self, which: str) -> Wish:
        return wish({"older": "WARNING", "old": "INFO", "new": "DEBUG"}[which], backends=getattr(self, which))

    def release(self, which: str) -> str:
        return release_of(self.wish(which))

    def placed(self, which: str, slot: str, *, serving: bool) -> dict[str, tuple[str, str]]:
        """Slot and release of the release's containers, by name."""
        suffix = "" if serving else f"-{slot}"
        return {f"erni-{name}{suffix}": (slot, self.release(which)) for name in self.wish(which).services}


STORIES = [Story(3, 1, 2), Story(1, 2, 1)]


@pytest.fixture(params=STORIES, ids=str)
def story(request: pytest.FixtureRequest) -> Story:
    given: Story = request.param
    return given


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, story: Story) -> Host:
    made = model_host(tmp_path, monkeypatch)
    for which in ("older", "old"):
        made.bring(story.wish(which))
    return made


def killed_or_done(host: Host, fatal: int, run: Callable[[Host], Any]) -> bool:
    host.engine.operations, host.engine.fatal = 0, fatal
    killed = True
    with suppress(Killed):
        run(host)
        killed = False
    host.engine.fatal = -1
    return killed


def recover(host: Host) -> None:
    interrupted = open_transition(read_journal(host.site.root))
    release_recover.recover(host.site, canonical_names("erni", SERVICES), interrupted)


def require_agreement(host: Host, story: Story, serving: tuple[str, str], waiting: tuple[str, str]) -> None:
    """Containers, nginx and a further run say the same; each of the two is a release with its slot."""
    live = host.engine.live
    there = {name: found[:2] for name, found in host.releases().items()}
    assert there == story.placed(*serving, serving=True) | story.placed(*waiting, serving=False)
    for which, slot in (serving, waiting):
        number = getattr(story, which)
        assert (live.release(slot), live.replicas(slot)) == (
            story.release(which),
            {"backend": [number]} if number > 1 else {},
        )
    before = host.engine.operations
    assert host.bring(story.wish(serving[0]), UP).plan.sentences == []
    assert host.engine.operations == before, "a run that has nothing to do touches nothing"


def test_the_operations_that_are_killed_are_all_there_are(host: Host, story: Story) -> None:
    assert not killed_or_done(host, OPERATIONS[-1], lambda host: host.bring(story.wish("new")))
    require_agreement(host, story, ("new", "blue"), ("old", "green"))


@pytest.mark.parametrize("fatal", OPERATIONS)
def test_a_first_start_that_was_killed_is_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fatal: int
) -> None:
    host, given = model_host(tmp_path, monkeypatch), wish("INFO", backends=3)
    killed_or_done(host, fatal, lambda host: host.bring(given))
    host.bring(given)
    assert {name: found[0] for name, found in host.releases().items()} == dict.fromkeys(
        ("erni-backend", "erni-backend-2", "erni-backend-3", "erni-frontend"), "blue"
    )
    assert host.engine.live.replicas("blue") == {"backend": [3]}


@pytest.mark.parametrize("fatal", OPERATIONS)
def test_a_deploy_that_was_killed_is_brought_to_its_end_by_the_next(host: Host, story: Story, fatal: int) -> None:
    killed_or_done(host, fatal, lambda host: host.bring(story.wish("new")))
    host.bring(story.wish("new"))
    require_agreement(host, story, ("new", "blue"), ("old", "green"))


@pytest.mark.parametrize("fatal", OPERATIONS)
def test_recovery_alone_leaves_one_of_the_two_with_all_its_replicas(host: Host, story: Story, fatal: int) -> None:
    killed_or_done(host, fatal, lambda host: host.bring(story.wish("new")))
    recover(host)
    if host.engine.live.slot() == "blue":
        require_agreement(host, story, ("new", "blue"), ("old", "green"))
    else:
        require_agreement(host, story, ("old", "green"), ("older", "blue"))


@pytest.mark.parametrize("fatal", OPERATIONS)
def test_a_rollback_that_was_killed_is_finished(host: Host, story: Story, fatal: int) -> None:
    # Its mappings are in the record, which tells how many replicas there are.
    nameless = Wish({service: {} for service in SERVICES}, story.wish("old").secrets, {})

    def back(host: Host) -> None:
        if stack(read_journal(host.site.root))[-1] != story.release("older"):
            host.bring(nameless, ROLLBACK)

    killed_or_done(host, fatal, back)
    recover(host)
    back(host)
    require_agreement(host, story, ("older", "blue"), ("old", "green"))


@pytest.mark.parametrize("fault", ["never_ready", "broken"])
@pytest.mark.parametrize("fatal", OPERATIONS)
def test_a_release_that_does_not_stay_leaves_nothing(host: Host, story: Story, fatal: int, fault: str) -> None:
    setattr(host.engine, fault, {story.release("new")})
    with suppress(PlatformError):
        killed_or_done(host, fatal, lambda host: host.bring(story.wish("new"), DEPLOY))
    host.engine.fatal = -1
    recover(host)
    require_agreement(host, story, ("old", "green"), ("older", "blue"))


@pytest.mark.parametrize("told", [{}, {"backend": [2]}, {"backend": [4]}])
def test_nginx_is_told_again_how_many_replicas_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: dict[str, list[int]]
) -> None:
    host, given = model_host(tmp_path, monkeypatch), wish("INFO", backends=3)
    host.bring(given)
    host.engine.has_served = False  # nginx asks the fourth, whom there is not
    host.engine.live.name_release("blue", release_of(given), told)
    outcome = host.bring(given, UP)
    assert outcome.plan.sentences == [f"nginx is told how many replicas release {release_of(given)} has"]
    assert host.engine.live.replicas("blue") == {"backend": [3]}
    assert not host.bring(given, UP).plan.changed
