"""Killed after any single operation, the next run finishes or undoes; and at no moment does nothing serve.

The engine is a small model of it (``release_model``), which checks at each operation that something serves.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import release_recover
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.release_history import open_transition, quarantined, stack
from ansible.module_utils.erni.release_record import read_journal
from ansible.module_utils.erni.release_run import DEPLOY, ROLLBACK, UP
from release_model import CANONICAL, Host, Killed, model_host, release_of, settled, wish

OLDER_WISH, OLD_WISH, NEW_WISH = wish("WARNING"), wish("INFO"), wish("DEBUG")
OLDER, OLD, NEW = (release_of(given) for given in (OLDER_WISH, OLD_WISH, NEW_WISH))
FIRST_OPERATIONS, REPLACE_OPERATIONS, RETURN_OPERATIONS = 11, 30, 21  # of a run that is left alone
SWITCH = 19  # an operation of a deploy by which requests go to its release


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return model_host(tmp_path, monkeypatch)


@pytest.fixture
def host(bare: Host) -> Host:
    """OLD serves in green, OLDER waits in blue, and either has come there by a deploy."""
    bare.bring(OLDER_WISH)
    bare.bring(OLD_WISH)
    bare.engine.operations = 0
    bare.engine.asked.clear()
    return bare


def recover(host: Host) -> list[str]:
    return release_recover.recover(host.site, CANONICAL, open_transition(read_journal(host.site.root)))


def deploy(host: Host) -> Any:
    return host.bring(NEW_WISH)


def roll_back(host: Host) -> Any:
    """To OLDER. A rollback that was finished by a recovery is over: another one would go back further."""
    if stack(read_journal(host.site.root))[-1] == OLDER:
        return host.bring(OLD_WISH, UP)
    return host.bring(OLD_WISH, ROLLBACK)


def require_convergence(host: Host, release: str, again: Callable[[Host], Any]) -> None:
    """The release serves, nothing of an interruption is left, the journal says so, and there is nothing more to do."""
    host.engine.check_that_something_serves()
    slot = host.engine.live.slot()
    assert host.serving() == {(slot, release)}
    assert host.engine.live.release(slot) == release
    assert not [name for name in host.engine.by_name if name.endswith("-displaced")]
    entries = read_journal(host.site.root)
    assert open_transition(entries) == []
    assert stack(entries)[-1] == release
    before = host.engine.operations
    assert again(host).plan.sentences == []
    assert host.engine.operations == before, "a run that has nothing to do touches nothing"


# Runs that are left alone: what follows kills after each of their operations.


def test_a_first_start_that_is_left_alone_serves_without_a_switch(bare: Host) -> None:
    bare.bring(NEW_WISH)
    assert bare.releases() == {f"erni-{name}": ("blue", NEW, "running") for name in ("backend", "frontend")}
    assert bare.phases() == ["begun", "prepared", "candidate", "gated", "done"]
    assert bare.engine.operations == FIRST_OPERATIONS


def test_a_deploy_that_is_left_alone_ends_with_the_new_release_serving_and_the_old_one_warm(host: Host) -> None:
    host.bring(NEW_WISH)
    assert host.releases() == settled(NEW, "blue", OLD, "green")
    assert host.phases() == [
        *("begun", "prepared", "displaced", "candidate", "gated", "switching", "switched", "proven", "baked", "done"),
    ]
    assert host.engine.operations == REPLACE_OPERATIONS


def test_a_rollback_that_is_left_alone_switches_to_what_waits_and_starts_nothing(host: Host) -> None:
    host.bring(OLD_WISH, ROLLBACK)
    assert host.releases() == settled(OLDER, "blue", OLD, "green")
    assert host.phases() == [
        *("begun", "prepared", "candidate", "gated", "switching", "switched", "proven", "baked", "done"),
    ]
    assert host.engine.operations < RETURN_OPERATIONS, "that many are those of one that is stopped"


# The first start.


@pytest.mark.parametrize("fatal", range(1, FIRST_OPERATIONS + 1))
def test_a_first_start_that_was_killed_is_taken_up_again(bare: Host, fatal: int) -> None:
    bare.killed(fatal, NEW_WISH)
    bare.bring(NEW_WISH)
    require_convergence(bare, NEW, deploy)


@pytest.mark.parametrize("fatal", range(1, FIRST_OPERATIONS))
def test_a_first_start_that_was_killed_has_an_end_once_it_is_recovered_from(bare: Host, fatal: int) -> None:
    bare.killed(fatal, NEW_WISH)
    recover(bare)
    assert bare.phases()[-1] == "failed"
    assert recover(bare) == []


@pytest.mark.parametrize("fatal", range(1, FIRST_OPERATIONS + 1))
def test_after_a_killed_first_start_another_release_may_be_the_first(bare: Host, fatal: int) -> None:
    bare.killed(fatal, OLD_WISH)
    bare.bring(NEW_WISH)
    require_convergence(bare, NEW, deploy)


@pytest.mark.parametrize("again", range(1, FIRST_OPERATIONS, 2))
@pytest.mark.parametrize("fatal", range(1, FIRST_OPERATIONS + 1, 2))
def test_a_first_start_that_is_killed_twice_is_taken_up_the_third_time(bare: Host, fatal: int, again: int) -> None:
    bare.killed(fatal, NEW_WISH)
    bare.engine.operations, bare.engine.fatal = 0, again
    try:
        bare.bring(NEW_WISH)
    except Killed:
        bare.engine.fatal = -1
        bare.bring(NEW_WISH)
    bare.engine.fatal = -1
    require_convergence(bare, NEW, deploy)


# A deploy.


@pytest.mark.parametrize("fatal", range(1, REPLACE_OPERATIONS + 1))
def test_killed_after_any_operation_the_next_run_brings_the_release(host: Host, fatal: int) -> None:
    host.killed(fatal, NEW_WISH)
    host.bring(NEW_WISH)
    require_convergence(host, NEW, deploy)


@pytest.mark.parametrize("fatal", range(1, REPLACE_OPERATIONS + 1))
def test_killed_after_any_operation_recovery_alone_leaves_one_generation_serving(host: Host, fatal: int) -> None:
    host.killed(fatal, NEW_WISH)
    recover(host)
    host.engine.check_that_something_serves()
    switched = host.engine.live.slot() == "blue"
    if switched:
        assert host.releases() == settled(NEW, "blue", OLD, "green")
    else:
        assert host.releases() == settled(OLD, "green", OLDER, "blue"), "what waited runs as it did before"
    assert stack(read_journal(host.site.root)) == ([OLDER, OLD, NEW] if switched else [OLDER, OLD])
    assert recover(host) == [], "what is recovered from is over"


@pytest.mark.parametrize("fatal", [14, SWITCH])
@pytest.mark.parametrize("name", ["erni-backend-blue-image", "erni-backend-green-image", "erni-frontend-image"])
def test_what_was_made_only_to_be_read_from_goes_whatever_becomes_of_the_transition(
    host: Host, fatal: int, name: str
) -> None:
    host.killed(fatal, NEW_WISH)
    host.engine.by_name[name] = {"State": "created", "Labels": {}, "passed": False, "environment": {}}
    recover(host)
    assert name not in host.engine.by_name


def test_containers_that_a_reboot_has_stopped_after_the_switch_are_started(host: Host) -> None:
    host.killed(SWITCH, NEW_WISH)
    assert host.engine.live.slot() == "blue"
    host.engine.has_served = False  # until they are
    for container in host.engine.by_name.values():
        container["State"] = "exited"
    recover(host)
    assert host.serving() == {("blue", NEW)}
    host.engine.check_that_something_serves()
    assert host.engine.has_served


@pytest.mark.parametrize("again", range(1, REPLACE_OPERATIONS, 3))
@pytest.mark.parametrize("fatal", range(1, REPLACE_OPERATIONS + 1, 2))
def test_killed_again_while_it_recovers_it_recovers_the_third_time(host: Host, fatal: int, again: int) -> None:
    host.killed(fatal, NEW_WISH)
    host.engine.operations, host.engine.fatal = 0, again
    try:
        host.bring(NEW_WISH)
    except Killed:
        host.engine.fatal = -1
        host.bring(NEW_WISH)
    host.engine.fatal = -1
    require_convergence(host, NEW, deploy)


# A rollback to a release that waits.


@pytest.fixture(params=["warm", "stopped"])
def waiting(host: Host, request: pytest.FixtureRequest) -> Host:
    if request.param == "stopped":
        for name in CANONICAL.values():
            host.engine.stop(f"{name}-blue")
    return host


def killed_or_done(host: Host, fatal: int) -> None:
    """A stopped release takes more operations to go back to than a warm one."""
    host.engine.operations, host.engine.fatal = 0, fatal
    with suppress(Killed):
        roll_back(host)
    host.engine.fatal = -1


@pytest.mark.parametrize("fatal", range(1, RETURN_OPERATIONS + 1))
def test_a_rollback_that_was_killed_is_finished_and_goes_back_no_further(waiting: Host, fatal: int) -> None:
    killed_or_done(waiting, fatal)
    recover(waiting)
    roll_back(waiting)
    require_convergence(waiting, OLDER, roll_back)
    assert stack(read_journal(waiting.site.root)) == [OLDER]


@pytest.mark.parametrize("fatal", range(1, RETURN_OPERATIONS + 1))
def test_a_rollback_that_was_killed_costs_neither_of_its_two_releases(waiting: Host, fatal: int) -> None:
    killed_or_done(waiting, fatal)
    recover(waiting)
    assert recover(waiting) == []
    serves = stack(read_journal(waiting.site.root))[-1]
    assert waiting.serving() == {(waiting.engine.live.slot(), serves)}
    assert {release for _, release, _ in waiting.releases().values()} == {OLD, OLDER}
    assert len(waiting.engine.by_name) == 2 * len(CANONICAL)


@pytest.mark.parametrize("fatal", range(1, REPLACE_OPERATIONS - 1))  # its record is there already
def test_what_waits_by_a_former_secret_is_not_taken_for_the_candidate_of_its_own_release(
    host: Host, fatal: int
) -> None:
    before = {name: host.engine.by_name[name] for name in host.engine.by_name if name.endswith("-blue")}
    host.killed(fatal, wish("INFO", "successor"), ROLLBACK)
    recover(host)
    if host.engine.live.slot() == "green":
        assert host.releases() == settled(OLD, "green", OLDER, "blue")
        assert {name: host.engine.by_name[name] for name in before} == before
    else:
        assert host.releases() == settled(OLDER, "blue", OLD, "green")
        assert host.engine.by_name["erni-backend"]["environment"]["DB_PASSWORD"] == "successor"


@pytest.mark.parametrize("fatal", range(1, RETURN_OPERATIONS + 1))
def test_after_a_rollback_that_was_killed_a_deploy_is_the_next_run_as_well_as_any(waiting: Host, fatal: int) -> None:
    killed_or_done(waiting, fatal)
    waiting.bring(NEW_WISH)
    require_convergence(waiting, NEW, deploy)


# A release that does not come up, or does not prove itself.


@pytest.mark.parametrize("fatal", range(1, 26))
def test_a_candidate_that_is_not_ready_goes_and_what_made_room_for_it_runs_again(host: Host, fatal: int) -> None:
    host.engine.never_ready, host.engine.fatal = {NEW}, fatal
    with pytest.raises((Killed, PlatformError)):
        host.bring(NEW_WISH)
    host.engine.fatal = -1
    recover(host)
    assert host.releases() == settled(OLD, "green", OLDER, "blue")
    assert stack(read_journal(host.site.root)) == [OLDER, OLD]
    assert quarantined(read_journal(host.site.root)) == set()


def test_a_release_that_was_stopped_and_does_not_come_up_again_stays_stopped(waiting: Host) -> None:
    before = waiting.releases()
    waiting.engine.never_ready = {OLDER}
    for name in CANONICAL.values():
        waiting.engine.by_name[f"{name}-blue"]["passed"] = False
    with pytest.raises(PlatformError, match=f"Release {OLD} serves as before; nothing else was touched"):
        waiting.bring(OLD_WISH, ROLLBACK)
    assert waiting.releases() == before
    assert waiting.phases()[-1] == "failed"


def test_a_release_that_does_not_answer_after_the_switch_is_taken_back(host: Host) -> None:
    host.engine.broken = {NEW}
    with pytest.raises(PlatformError, match=f"Release {OLD} serves again; {NEW} is quarantined"):
        host.bring(NEW_WISH)
    assert host.releases() == settled(OLD, "green", OLDER, "blue")
    assert host.phases()[-1] == "reverted"


@pytest.mark.parametrize("fatal", range(1, 40))
def test_a_release_that_does_not_answer_never_stays_wherever_its_run_is_killed(host: Host, fatal: int) -> None:
    host.engine.broken, host.engine.fatal = {NEW}, fatal
    with pytest.raises((Killed, PlatformError)):
        host.bring(NEW_WISH)
    host.engine.fatal = -1
    recover(host)
    host.engine.check_that_something_serves()
    assert host.serving() == {("green", OLD)}
    assert not [name for name in host.engine.by_name if name.endswith("-displaced")]
    assert quarantined(read_journal(host.site.root)) == ({NEW} if "blue" in host.engine.asked else set())


def test_a_release_that_was_gone_back_to_in_vain_stays_stopped(host: Host) -> None:
    host.engine.broken = {OLDER}
    with pytest.raises(PlatformError, match=f"Release {OLD} serves again; {OLDER} is quarantined"):
        host.bring(OLD_WISH, ROLLBACK)
    assert host.releases() == settled(OLD, "green", OLDER, "blue", "exited")


@pytest.mark.parametrize("fatal", range(1, 25))
def test_a_release_that_was_gone_back_to_in_vain_never_stays_wherever_its_run_is_killed(host: Host, fatal: int) -> None:
    host.engine.broken, host.engine.fatal = {OLDER}, fatal
    with pytest.raises((Killed, PlatformError)):
        host.bring(OLD_WISH, ROLLBACK)
    host.engine.fatal = -1
    recover(host)
    assert host.serving() == {("green", OLD)}
    assert stack(read_journal(host.site.root)) == [OLDER, OLD]


@pytest.mark.parametrize(("verb", "given", "fresh"), [(DEPLOY, NEW_WISH, NEW), (ROLLBACK, OLD_WISH, OLDER)])
def test_a_revert_is_never_reverted(host: Host, verb: str, given: Any, fresh: str) -> None:
    host.engine.broken = {fresh, OLD}
    with pytest.raises(PlatformError, match=r"going back to release .* failed as well"):
        host.bring(given, verb)
    assert host.phases()[-1] == "stuck"
    assert set(host.engine.by_name) >= set(CANONICAL.values()), "nothing that might serve is removed"
    recover(host)
    assert not [name for name in host.engine.by_name if name.endswith("-displaced")]


def test_where_neither_release_answers_after_an_interruption_a_sentence_says_so_and_both_stay(host: Host) -> None:
    host.killed(SWITCH, NEW_WISH)
    host.engine.broken = {NEW, OLD}
    with pytest.raises(PlatformError, match=f"Neither release {NEW} nor {OLD} answers after an interrupted switch"):
        recover(host)
    assert host.phases()[-1] == "stuck"
    assert {release for _, release, _ in host.releases().values()} >= {OLD, NEW}
    host.engine.broken = set()
    host.bring(OLD_WISH, UP)
    require_convergence(host, OLD, lambda host: host.bring(OLD_WISH, UP))
