"""What happens around a transition, in the order of what may still say no, and what does not happen around others."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import release_moments
from ansible.module_utils.erni.bake import BakeRules
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.release_moments import Surroundings
from ansible.module_utils.erni.release_record import read_journal, read_manifests
from ansible.module_utils.erni.release_run import ROLLBACK, UP
from ansible.module_utils.erni.schema_apply import Migrated
from release_model import PASSWORD, SLOT_OF, Host, model_host, release_of, wish

OLD_WISH, NEW_WISH = wish("INFO"), wish("DEBUG")
OLD, NEW = release_of(OLD_WISH), release_of(NEW_WISH)
MOMENTS = ("pre_deploy", "post_switch", "post_deploy", "on_failure")
DATABASE = {
    "socket_folder": "/run/postgresql", "name": "erni_agents", "admin_password": "x", "command": ["migrate"],
    "lock_wait": 60, "lock_timeout": 5, "statement_timeout": 300, "timeout": 600, "version_query": "select 7",
}  # fmt: skip


class Story:
    """What happened, one line each, in a file that hooks write to as well."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def tell(self, line: str) -> None:
        with self.path.open("a") as story:
            story.write(f"{line}\n")

    def hook(self, name: str) -> str:
        return f'echo "{name} $ERNI_VERB $ERNI_RELEASE" >> {self.path}'

    @property
    def lines(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []

    @property
    def order(self) -> list[str]:
        return [line.split()[0] for line in self.lines]


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path / "story")


class Schema:
    """A database whose schema has a version that a migration moves on."""

    def __init__(self, story: Story) -> None:
        self.story, self.version, self.fails, self.ran = story, "7", False, True

    def migrate(self, _client: Any, _connected: Any, spec: Any, wanted: Any) -> Migrated:
        assert wanted.command == ("migrate",)
        self.story.tell(f"migration from {spec.container} {wanted.image_id.removeprefix('sha256:')}")
        if self.fails:
            raise PlatformError("The migration failed", "it says no")
        before, self.version = self.version, "8" if self.ran else self.version
        return Migrated(before, self.version, self.ran)


@pytest.fixture
def schema(story: Story, monkeypatch: pytest.MonkeyPatch) -> Schema:
    made = Schema(story)
    monkeypatch.setattr(release_moments, "migrate", made.migrate)
    monkeypatch.setattr(release_moments, "schema_version", lambda _, query: made.version if query else "")
    monkeypatch.setattr(release_moments, "connection", lambda *_: nullcontext())
    return made


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, story: Story, schema: Schema) -> Host:  # noqa: ARG001 (in place)
    """OLD serves; all that can happen around a transition is set up and tells of itself."""
    made = model_host(tmp_path, monkeypatch)
    made.bring(OLD_WISH)
    made.surroundings = Surroundings(
        hooks={moment: story.hook(moment) for moment in MOMENTS},
        hook_timeout=20,
        backup={"command": f"{story.hook('backup')}; echo 2026-01-02T03:04:05Z", "required": True, "timeout": 20},
        database=DATABASE,
        bake_seconds=0,
        bake_rules=BakeRules(),
    )
    started = made.engine.create

    def create(spec: Any) -> None:
        story.tell(f"candidate {spec.container}")
        started(spec)

    monkeypatch.setattr(made.engine, "create", create)
    return made


def around(host: Host, **changes: Any) -> None:
    host.surroundings = replace(host.surroundings, **changes)


def test_a_deploy_takes_its_backup_before_its_migration_and_both_before_its_candidate(host: Host, story: Story) -> None:
    host.bring(NEW_WISH)
    assert story.order == ["pre_deploy", "backup", "migration", "candidate", "candidate", "post_switch", "post_deploy"]


def test_a_hook_is_told_of_the_transition(host: Host, story: Story) -> None:
    host.bring(NEW_WISH)
    assert story.lines[0] == f"pre_deploy deploy {NEW}"


def test_a_migration_runs_from_the_new_image_under_a_name_that_serves_nobody(host: Host, story: Story) -> None:
    host.bring(NEW_WISH)
    assert "migration from erni-backend-green of erni/backend:0123456789ab" in story.lines


def test_the_backup_and_the_schema_before_and_after_are_in_the_releases_record(host: Host) -> None:
    outcome = host.bring(NEW_WISH)
    manifest = read_manifests(host.site.root)[0][NEW]
    assert (manifest.backup, manifest.schema) == ("2026-01-02T03:04:05Z", {"before": "7", "after": "8"})
    assert "The schema went from 7 to 8." in outcome.report


def test_a_migration_that_had_run_already_is_not_told(host: Host, schema: Schema) -> None:
    schema.ran = False
    assert not any("The schema went" in sentence for sentence in host.bring(NEW_WISH).report)


# What says no.


def test_without_a_backup_that_the_environment_wants_nothing_else_begins(host: Host, story: Story) -> None:
    around(host, backup={"command": [], "required": True})
    with pytest.raises(PlatformError, match=r"deployed to only after a backup.* Release .* serves as before"):
        host.bring(NEW_WISH)
    assert story.order == ["on_failure"]


def test_a_reason_stands_in_for_the_backup_and_is_kept(host: Host, story: Story) -> None:
    around(host, backup={"command": [], "required": True})
    host.bring(wish("DEBUG", reason="the disk is new"))
    assert story.order[:2] == ["pre_deploy", "migration"]
    assert read_journal(host.site.root)[-1].reason == "the disk is new"


def test_a_set_that_was_made_before_is_the_backup_and_no_command_runs(host: Host, story: Story) -> None:
    around(host, backup={"name": "20260102T120000Z-00ff", "command": [], "required": True})
    host.bring(NEW_WISH)
    assert "backup" not in story.order
    assert read_manifests(host.site.root)[0][NEW].backup == "20260102T120000Z-00ff"


@pytest.mark.parametrize(
    ("changes", "said", "order"),
    [
        ({"hooks": {"pre_deploy": "exit 3"}}, "The hook pre_deploy failed", []),
        ({"backup": {"command": "exit 3"}}, "The hook backup failed", ["pre_deploy", "on_failure"]),
        ({"backup": {"command": "true"}}, "named no backup", ["pre_deploy", "on_failure"]),
    ],
)
def test_whoever_says_no_before_the_candidate_stops_all_that_would_follow(
    host: Host, story: Story, changes: dict[str, Any], said: str, order: list[str]
) -> None:
    around(host, **changes)
    with pytest.raises(PlatformError, match=said):
        host.bring(NEW_WISH)
    assert story.order == order
    assert host.phases() == ["begun", "failed"]
    assert NEW not in read_manifests(host.site.root)[0]


def test_a_failing_migration_starts_no_candidate(host: Host, story: Story, schema: Schema) -> None:
    schema.fails = True
    with pytest.raises(PlatformError, match=f"The migration failed: it says no. Release {OLD} serves as before"):
        host.bring(NEW_WISH)
    assert story.order == ["pre_deploy", "backup", "migration", "on_failure"]
    assert host.serving() == {("blue", OLD)}


# What does not happen.


def test_up_asks_no_hook_and_takes_no_backup_before_it_but_migrates(host: Host, story: Story) -> None:
    host.bring(NEW_WISH, UP)
    assert story.order[:3] == ["migration", "candidate", "candidate"]
    assert "backup" not in story.order
    assert "pre_deploy" not in story.order


@pytest.mark.parametrize("verb", ["deploy", UP])
def test_around_a_release_that_serves_already_nothing_happens(host: Host, story: Story, verb: str) -> None:
    host.bring(OLD_WISH, verb)
    assert story.lines == []


def test_in_check_mode_nothing_happens(host: Host, story: Story) -> None:
    host.bring(NEW_WISH, check=True)
    assert story.lines == []


def test_without_a_database_on_this_host_there_is_no_migration(host: Host, story: Story) -> None:
    around(host, database={})
    host.bring(NEW_WISH)
    assert "migration" not in story.order
    assert read_manifests(host.site.root)[0][NEW].schema == {"before": "", "after": ""}


# A rollback.


THIRD_WISH = wish("ERROR")


@pytest.fixture
def third(host: Host, schema: Schema) -> Host:
    """THIRD serves; one could go back to NEW, which was made for schema 8, but the schema has moved on to 9."""
    host.bring(NEW_WISH)
    around(host, database={})
    host.bring(THIRD_WISH)
    around(host, database={**DATABASE, "command": []})
    schema.version = "9"
    return host


def test_a_rollback_takes_no_backup_asks_no_hook_before_it_and_changes_no_schema(
    third: Host, story: Story, schema: Schema
) -> None:
    schema.version = "8"
    story.path.unlink()
    third.bring(THIRD_WISH, ROLLBACK)
    assert story.order == ["post_switch", "post_deploy"]
    assert third.serving() == {("green", NEW)}


def test_a_rollback_is_refused_where_the_release_does_not_know_the_schema(third: Host) -> None:
    before = third.releases()
    with pytest.raises(PlatformError) as refused:
        third.bring(THIRD_WISH, ROLLBACK)
    assert f"Release {NEW} does not fit the schema: The schema is now '9'" in str(refused.value)
    assert "RESTORE_DB=1" in str(refused.value)
    assert third.releases() == before
    assert third.phases() == ["begun", "failed"]


@pytest.mark.parametrize("supported", [["9"], ["*"]])
def test_a_rollback_goes_to_a_release_that_is_known_to_cope_with_the_schema(third: Host, supported: list[str]) -> None:
    around(third, database={**DATABASE, "supported": supported})
    third.bring(THIRD_WISH, ROLLBACK)
    assert third.serving() == {("green", NEW)}


def test_a_release_whose_record_names_no_schema_may_be_gone_back_to(third: Host) -> None:
    third.bring(THIRD_WISH, ROLLBACK, OLD)
    assert third.serving() == {("green", OLD)}


# After the switch.


def test_a_hook_that_fails_after_the_switch_is_told_and_changes_nothing(host: Host) -> None:
    around(host, hooks={"post_switch": f"echo {PASSWORD}; exit 3", "post_deploy": "exit 4"})
    report = "\n".join(host.bring(NEW_WISH).report)
    assert "The hook post_switch failed: it ended with code 3" in report
    assert "The hook post_deploy failed: it ended with code 4" in report
    assert PASSWORD not in report
    assert host.serving() == {("green", NEW)}


@pytest.mark.parametrize("failure", ["never_ready", "broken"])
def test_a_failure_is_told_to_its_hook_before_the_switch_and_after_it(host: Host, story: Story, failure: str) -> None:
    setattr(host.engine, failure, {NEW})
    with pytest.raises(PlatformError):
        host.bring(NEW_WISH)
    assert story.order[-1] == "on_failure"
    assert "post_deploy" not in story.order


class Watch:
    """Stands in for the bake; it remembers over whom it watched."""

    watched: list[dict[str, Any]] = []  # noqa: RUF012 (emptied by the test)
    fails = False

    def __init__(self, **told: Any) -> None:
        self.told = told

    def run(self, old: str, new: str) -> list[str]:
        Watch.watched.append({**self.told, "slots_of": (old, new)})
        if Watch.fails:
            raise PlatformError("The new release does not do well", "it fails")
        return ["what it rests on"]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> type[Watch]:
    Watch.watched, Watch.fails = [], False
    monkeypatch.setattr(release_moments, "Bake", Watch)
    return Watch


@pytest.mark.parametrize("verb", ["deploy", UP])
def test_a_new_release_is_watched_against_the_one_before_it(host: Host, watch: type[Watch], verb: str) -> None:
    around(host, bake_seconds=30)
    assert "what it rests on" in host.bring(NEW_WISH, verb).report
    (watched,) = watch.watched
    assert watched["slots_of"] == ("blue", "green")
    assert watched["containers"] == ["erni-backend", "erni-frontend"]
    assert watched["slots"] == SLOT_OF


def test_a_release_that_does_not_do_well_is_taken_back(host: Host, watch: type[Watch]) -> None:
    around(host, bake_seconds=30)
    watch.fails = True
    with pytest.raises(PlatformError, match=f"does not do well: it fails. Release {OLD} serves again"):
        host.bring(NEW_WISH)
    assert host.serving() == {("blue", OLD)}


@pytest.mark.parametrize(("verb", "seconds"), [("deploy", 0.0), (ROLLBACK, 30.0)])
def test_a_rollback_is_not_watched_and_nobody_watches_for_no_time(
    host: Host, watch: type[Watch], verb: str, seconds: float
) -> None:
    host.bring(NEW_WISH)
    around(host, bake_seconds=seconds)
    watch.watched.clear()
    host.bring(NEW_WISH if verb == ROLLBACK else wish("ERROR"), verb)
    assert watch.watched == []
