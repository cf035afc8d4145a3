"""An engine that ends after any single operation, while its containers go on: nothing is judged, the next run goes on.

The same model of an engine as in test_platform_release_killed.py; here the run lives on, and hears no answer any more.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from ansible.module_utils.erni import release_recover
from ansible.module_utils.erni.engine import EngineAwayError
from ansible.module_utils.erni.release_history import open_transition, quarantined, stack
from ansible.module_utils.erni.release_record import read_journal
from ansible.module_utils.erni.release_run import ROLLBACK
from release_model import CANONICAL, Host, model_host, release_of, wish
from test_platform_release_killed import REPLACE_OPERATIONS, RETURN_OPERATIONS, SWITCH, deploy, require_convergence

OLDER_WISH, OLD_WISH, NEW_WISH = wish("WARNING"), wish("INFO"), wish("DEBUG")
OLDER, OLD, NEW = (release_of(given) for given in (OLDER_WISH, OLD_WISH, NEW_WISH))
# Whoever is asked last: what follows only tidies up, and a failure there is told and no more.
LAST_THAT_COUNTS = REPLACE_OPERATIONS - 1


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """OLD serves in green, OLDER waits in blue."""
    host = model_host(tmp_path, monkeypatch)
    host.bring(OLDER_WISH)
    host.bring(OLD_WISH)
    return host


def cut_off(host: Host, operation: int, verb: str = "deploy") -> str:
    """What a run says whose engine ends after that many operations; then the engine is back."""
    host.engine.operations, host.engine.last = 0, operation
    with pytest.raises(EngineAwayError) as told:
        host.bring(NEW_WISH if verb == "deploy" else OLD_WISH, verb)
    host.engine.last, host.engine.away = -1, False
    return str(told.value)


@pytest.mark.parametrize("operation", range(1, LAST_THAT_COUNTS))
def test_a_run_whose_engine_ends_says_so_and_the_next_one_brings_the_release(host: Host, operation: int) -> None:
    assert "does not answer any more" in cut_off(host, operation)
    host.engine.check_that_something_serves()
    host.bring(NEW_WISH)
    require_convergence(host, NEW, deploy)


@pytest.mark.parametrize("operation", range(1, LAST_THAT_COUNTS))
def test_a_release_is_not_judged_by_an_engine_that_ends(host: Host, operation: int) -> None:
    cut_off(host, operation)
    entries = read_journal(host.site.root)
    assert open_transition(entries), "the journal is left open, for the next run"
    assert quarantined(entries) == set()
    assert host.engine.live.slot() == ("blue" if "switching" in host.phases() else "green"), "nothing is switched back"


@pytest.mark.parametrize("operation", range(1, RETURN_OPERATIONS - 7))
def test_a_rollback_whose_engine_ends_costs_neither_of_its_two_releases(host: Host, operation: int) -> None:
    cut_off(host, operation, ROLLBACK)
    release_recover.recover(host.site, CANONICAL, open_transition(read_journal(host.site.root)))
    serves = stack(read_journal(host.site.root))[-1]
    assert host.serving() == {(host.engine.live.slot(), serves)}
    assert {release for _, release, _ in host.releases().values()} == {OLD, OLDER}


@pytest.mark.parametrize("again", range(1, 12))
@pytest.mark.parametrize("operation", [SWITCH - 6, SWITCH, SWITCH + 5])
def test_an_engine_that_ends_again_while_a_run_recovers_costs_nothing_either(
    host: Host, operation: int, again: int
) -> None:
    cut_off(host, operation)
    host.engine.operations, host.engine.last = 0, again
    with suppress(EngineAwayError):  # it may have been over by then
        host.bring(NEW_WISH)
    host.engine.last, host.engine.away = -1, False
    host.bring(NEW_WISH)
    require_convergence(host, NEW, deploy)


def test_an_engine_that_ends_while_a_release_is_taken_back_leaves_that_to_the_next_run(host: Host) -> None:
    host.engine.broken.add(NEW)
    cut_off(host, SWITCH + 5)
    assert open_transition(read_journal(host.site.root))
    release_recover.recover(host.site, CANONICAL, open_transition(read_journal(host.site.root)))
    assert host.phases()[-1] == "reverted"
    assert host.serving() == {("green", OLD)}
    assert NEW not in {release for _, release, _ in host.releases().values()}
