"""A run of the module: it looks, chooses, plans, carries out and tells; in check mode it only looks."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.erni import release_candidates, release_run
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.release_apply import Rules
from ansible.module_utils.erni.release_history import stack
from ansible.module_utils.erni.release_record import JournalEntry, append_entry, read_journal, read_manifests
from ansible.module_utils.erni.release_run import ROLLBACK, UP
from release_model import PASSWORD, SERVICES, Host, model_host, release_of, settled, wish

OLD_WISH, NEW_WISH = wish("INFO"), wish("DEBUG")
OLD, NEW = release_of(OLD_WISH), release_of(NEW_WISH)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return model_host(tmp_path, monkeypatch)


@pytest.fixture
def host(bare: Host) -> Host:
    """OLD serves in blue; nothing is in green."""
    bare.bring(OLD_WISH)
    bare.engine.operations = 0
    return bare


@pytest.fixture
def switched(host: Host) -> Host:
    """NEW serves in green, OLD waits in blue."""
    host.bring(NEW_WISH)
    host.engine.operations = 0
    return host


def everything(host: Host) -> dict[str, Any]:
    """All that a run could touch: every path with its content and time, and what the engine has."""
    root = Path(host.site.root).parent
    files = {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in root.rglob("*")
    }
    return {"files": files, "containers": host.releases(), "operations": host.engine.operations}


# Check mode.


@pytest.mark.parametrize(
    ("verb", "given", "kinds"),
    [
        ("deploy", wish("ERROR"), ["displace", "candidate", "switch"]),
        ("deploy", OLD_WISH, ["switch"]),
        (ROLLBACK, NEW_WISH, ["switch"]),
        (UP, NEW_WISH, []),
    ],
)
def test_check_mode_tells_the_plan_and_touches_nothing(switched: Host, verb: str, given: Any, kinds: list[str]) -> None:
    before = everything(switched)
    outcome = switched.bring(given, verb, check=True)
    assert outcome.plan.kinds == kinds
    assert everything(switched) == before
    assert switched.bring(given, verb).plan.sentences == outcome.plan.sentences, "a real run does just that"


def test_check_mode_on_a_host_without_anything_makes_no_folder(bare: Host) -> None:
    before = everything(bare)
    outcome = bare.bring(OLD_WISH, check=True)
    assert (outcome.plan.kinds, outcome.slot) == (["create", "create", "serve"], "blue")
    assert everything(bare) == before
    assert not Path(bare.site.root).exists()


@pytest.mark.parametrize("operation", [1, 8, 14, 17])
def test_check_mode_leaves_what_was_interrupted_and_says_what_a_run_begins_with(host: Host, operation: int) -> None:
    host.killed(operation, NEW_WISH)
    before = everything(host)
    outcome = host.bring(NEW_WISH, check=True)
    assert everything(host) == before
    assert f"first an interrupted transition to release {NEW} is finished or undone" in outcome.report


def test_check_mode_shows_what_a_release_changes_by_name_and_no_secret(host: Host) -> None:
    plan = host.bring(wish("DEBUG", "another one"), check=True).plan
    after = plan.diff("release")["after"]
    assert after == {
        "backend DB_PASSWORD": "(secret) after", "backend LOG_LEVEL": "DEBUG", "frontend LOG_LEVEL": "DEBUG"
    }  # fmt: skip
    assert PASSWORD not in str(plan)


def test_check_mode_does_not_even_set_names_right(switched: Host) -> None:
    for name in SERVICES:  # as somebody may have done by hand
        switched.engine.by_name[f"erni-{name}-green"] = switched.engine.by_name.pop(f"erni-{name}")
    before = everything(switched)
    switched.bring(NEW_WISH, UP, check=True)
    assert everything(switched) == before
    outcome = switched.bring(NEW_WISH, UP)
    assert outcome.plan.sentences == [f"erni-{n}-green is named erni-{n}: its slot decides" for n in SERVICES]
    assert switched.releases() == settled(NEW, "green", OLD, "blue")


# What is told.


def test_a_deploy_tells_what_serves_what_waits_and_how_long_it_took(host: Host) -> None:
    outcome = host.bring(NEW_WISH)
    assert (outcome.release, outcome.slot) == (NEW, "green")
    assert outcome.report[0] == f"Release {NEW} serves from slot green. Release {OLD} waits in slot blue."
    assert outcome.report[1].startswith("It took: prepared ")
    assert outcome.report[1].endswith(" s.")
    assert outcome.plan.sentences[0] == f"release {NEW} starts in slot green, beside {OLD}, which serves"


def test_a_first_start_tells_of_nothing_that_waits(bare: Host) -> None:
    assert bare.bring(OLD_WISH).report[0] == f"Release {OLD} serves from slot blue."


def test_a_rollback_tells_where_it_went_and_which_secret_has_a_successor(switched: Host) -> None:
    outcome = switched.bring(wish("DEBUG", "successor"), ROLLBACK)
    assert (outcome.release, outcome.slot) == (OLD, "blue")
    assert outcome.report[0] == f"Release {OLD} serves from slot blue. Release {NEW} waits in slot green."
    assert outcome.report[-1] == f"DB_PASSWORD has been replaced since release {OLD}: its successor is used"
    environment = switched.engine.by_name["erni-backend"]["environment"]
    assert environment == {"LOG_LEVEL": "INFO", "DB_PASSWORD": "successor"}


@pytest.mark.parametrize(
    ("verb", "told"), [("deploy", [f"Release {OLD} serves already; nothing was changed."]), (UP, [])]
)
def test_the_same_release_again_changes_nothing(host: Host, verb: str, told: list[str]) -> None:
    before = everything(host)
    outcome = host.bring(OLD_WISH, verb)
    assert (outcome.plan.changed, outcome.report) == (False, told)
    assert everything(host) == before


def test_what_a_recovery_has_done_is_among_the_actions(host: Host) -> None:
    host.killed(19, NEW_WISH)
    outcome = host.bring(NEW_WISH)
    assert outcome.plan.kinds == ["recover"] * len(outcome.plan.kinds)
    assert outcome.plan.sentences[-1] == f"the interrupted switch to release {NEW} is finished: it serves"


def test_a_record_that_is_damaged_is_told_and_stops_nothing(host: Host) -> None:
    Path(host.site.root, OLD, "manifest.json").write_text("{")
    outcome = host.bring(NEW_WISH)
    assert any(f"The record of release {OLD} is damaged" in sentence for sentence in outcome.report)
    assert host.serving() == {("green", NEW)}


# The record and the journal.


def test_a_release_is_recorded_before_its_candidate_starts_and_without_its_secrets(host: Host) -> None:
    host.engine.never_ready = {NEW}
    with pytest.raises(PlatformError, match="did not pass its gate"):
        host.bring(wish("DEBUG", reason="the fix for the evening"))
    manifest = read_manifests(host.site.root)[0][NEW]
    assert (manifest.operator, manifest.environment, manifest.source) == ("ada", "local", "inventory")
    assert manifest.reason == "the fix for the evening"
    assert manifest.image_ids == {name: f"sha256:of erni/{name}:0123456789ab" for name in SERVICES}
    assert PASSWORD not in Path(host.site.root, NEW, "manifest.json").read_text()
    assert read_journal(host.site.root)[-1].reason == "the fix for the evening"


def test_a_candidate_that_is_not_ready_costs_nothing_and_leaves_its_last_words(host: Host) -> None:
    host.engine.never_ready = {NEW}
    with pytest.raises(PlatformError) as failed:
        host.bring(NEW_WISH)
    assert host.releases() == {f"erni-{name}": ("blue", OLD, "running") for name in SERVICES}
    assert f"Release {OLD} serves as before; nothing else was touched." in str(failed.value)
    (kept,) = Path(host.site.root, NEW).glob("*-backend.log")
    assert str(kept) in str(failed.value)
    assert kept.read_text() == "the last words of erni-backend-green, whose password is (secret)\n"


def test_what_waits_under_the_same_id_with_a_former_secret_is_no_candidate(switched: Host) -> None:
    """A rollback that is refused before anything starts does not cost what it would have gone back to."""
    switched.engine.images_gone = True
    with pytest.raises(PlatformError, match="is not on this host"):
        switched.bring(wish("DEBUG", "successor"), ROLLBACK)
    assert switched.releases() == settled(NEW, "green", OLD, "blue")


def test_a_disk_that_is_full_does_not_keep_a_failed_candidate_here(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    host.engine.never_ready = {NEW}
    monkeypatch.setattr(release_candidates, "write_atomically", full)
    with pytest.raises(PlatformError, match="did not pass its gate"):
        host.bring(NEW_WISH)
    assert host.releases() == {f"erni-{name}": ("blue", OLD, "running") for name in SERVICES}


# Where truths disagree, what serves is the first of them.


def test_what_serves_is_the_top_of_the_journal_again_where_that_says_otherwise(switched: Host) -> None:
    line = JournalEntry("2026-01-02T03:04:05.678Z", "f" * 12, "deploy", "done", "e" * 12, "green", OLD, "blue")
    append_entry(switched.site.root, line)
    switched.bring(NEW_WISH, UP)
    assert stack(read_journal(switched.site.root))[-1] == NEW
    assert read_journal(switched.site.root)[-1].detail == "found serving"


def test_a_release_that_serves_without_a_record_gets_one(host: Host) -> None:
    Path(host.site.root, OLD, "manifest.json").unlink()
    Path(host.site.root, OLD).rmdir()
    host.bring(OLD_WISH)
    assert read_manifests(host.site.root)[0][OLD].images == {name: f"erni/{name}:0123456789ab" for name in SERVICES}


@pytest.mark.parametrize("name", ["", NEW])
def test_nginx_is_told_again_which_release_serves(host: Host, name: str) -> None:
    host.engine.live.name_release("blue", name)
    outcome = host.bring(OLD_WISH, UP)
    assert outcome.plan.sentences == [f"nginx is told that slot blue is release {OLD}"]
    assert host.engine.live.release("blue") == OLD
    assert not host.bring(OLD_WISH, UP).plan.changed


def test_a_container_that_stopped_is_started_in_place_without_a_switch(host: Host) -> None:
    host.engine.has_served = False  # for it does not, just now
    host.engine.by_name["erni-frontend"]["State"] = "exited"
    outcome = host.bring(OLD_WISH, UP)
    assert outcome.plan.sentences == ["erni-frontend is started"]
    assert host.releases() == {f"erni-{name}": ("blue", OLD, "running") for name in SERVICES}
    assert stack(read_journal(host.site.root)) == [OLD]


def test_containers_names_and_what_waits_are_set_right_in_one_run(switched: Host) -> None:
    switched.rules = replace(switched.rules, warm_seconds=0)
    switched.engine.has_served = False
    switched.engine.by_name["erni-backend"]["State"] = "exited"
    switched.engine.live.name_release("green", "")
    assert switched.bring(NEW_WISH, UP).plan.kinds == ["start", "name", "retire"]
    assert switched.releases() == settled(NEW, "green", OLD, "blue", "exited")
    assert not switched.bring(NEW_WISH, UP).plan.changed


# What has waited for long enough.


@pytest.mark.parametrize("verb", ["deploy", UP])
def test_a_release_that_has_waited_for_long_enough_is_stopped_by_the_next_run(
    switched: Host, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    later = SimpleNamespace(time=lambda: dt.datetime.now(dt.UTC).timestamp() + 901)
    assert not switched.bring(NEW_WISH, verb).plan.changed
    monkeypatch.setattr(release_run, "time", later)
    outcome = switched.bring(NEW_WISH, verb)
    sentence = f"release {OLD}, which has waited in slot blue for long enough, is stopped"
    assert outcome.plan.sentences == [sentence]
    assert switched.releases() == settled(NEW, "green", OLD, "blue", "exited")
    assert not switched.bring(NEW_WISH, verb).plan.changed
    switched.bring(NEW_WISH, ROLLBACK)
    assert switched.serving() == {("blue", OLD)}, "it is stopped, not gone"


def test_where_nothing_is_to_stay_warm_the_former_release_is_stopped_at_once(host: Host) -> None:
    host.rules = Rules(drain_seconds=1, warm_seconds=0)
    host.bring(NEW_WISH)
    assert host.releases() == settled(NEW, "green", OLD, "blue", "exited")
    assert host.phases()[-2:] == ["drained", "done"]


# What nobody goes back to.


def test_after_a_transition_releases_that_nobody_goes_back_to_are_forgotten(host: Host) -> None:
    host.rules = replace(host.rules, keep=2)
    host.bring(NEW_WISH)
    assert set(read_manifests(host.site.root)[0]) == {OLD, NEW}
    third = wish("ERROR")
    outcome = host.bring(third)
    assert f"the record of release {OLD} is removed" in outcome.report
    assert set(read_manifests(host.site.root)[0]) == {NEW, release_of(third)}


def refusing(*_: Any, **__: Any) -> None:
    raise OSError("the engine is away")


@pytest.mark.parametrize("step", ["observe_holdings", "apply_retention"])
def test_a_transition_that_is_over_is_not_failed_by_what_could_not_be_tidied(
    host: Host, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(release_run, step, refusing)
    outcome = host.bring(NEW_WISH)
    assert outcome.report[-1] == "What is no longer needed could not be removed: the engine is away"
    assert (host.serving(), host.phases()[-1]) == ({("green", NEW)}, "done")


def test_an_engine_that_goes_away_once_a_release_serves_does_not_fail_the_run(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_run, "tag_release", lambda *_: monkeypatch.setattr(host.engine, "containers", refusing))
    assert host.bring(NEW_WISH).report[-1].endswith("could not be removed: the engine is away")
    assert host.phases()[-1] == "done"


def test_nothing_is_forgotten_where_nothing_was_changed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.rules = replace(host.rules, keep=0)
    monkeypatch.setattr(release_run, "apply_retention", refusing)
    assert host.bring(OLD_WISH).report == [f"Release {OLD} serves already; nothing was changed."]


def test_a_tag_that_could_not_be_moved_is_told_and_no_more(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_run, "tag_release", refusing)
    assert "The images could not be tagged: the engine is away" in host.bring(NEW_WISH).report
    assert host.phases()[-1] == "done"


# What is given.


def test_a_service_must_come_with_the_place_where_it_answers(host: Host) -> None:
    services = {**NEW_WISH.services, "worker": {**NEW_WISH.services["backend"], "name": "worker"}}
    before = everything(host)
    with pytest.raises(PlatformError, match="Where worker answers is not given"):
        host.bring(replace(NEW_WISH, services=services))
    assert everything(host) == before
