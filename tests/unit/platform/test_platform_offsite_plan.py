"""What goes to the target and what goes from it, as tables."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible.module_utils.erni.backup_report import Listed, located, one_as_text, sets_as_json, sets_as_text
from ansible.module_utils.erni.backup_retention import RetentionRules
from ansible.module_utils.erni.backup_set import MANIFEST, Manifest, Part, StoredFile, set_id, time_of
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.offsite_memory import Memory, recall, remember
from ansible.module_utils.erni.offsite_plan import Held, Policy, checked, held, plan_prune, plan_push

NOW = 1_782_000_000.0
DAY = 86_400.0
KEEP_ALL = Policy(RetentionRules(days=1000))


def manifest(age: int, *, recipients: tuple[str, ...] = ("age1x",), environment: str = "local") -> Manifest:
    """A set that is so many days old."""
    began = NOW - age * DAY
    part = Part("postgres", "one", began, 1.0, (StoredFile("dump.age", 10, "d"), StoredFile("globals.age", 5, "g")))
    identifier = set_id(began, f"{age:04x}")
    return Manifest(identifier, environment, "erni", began, 1.0, "ada", "", (part,), began, recipients)


def there(*whole: Manifest, sizes: dict[str, dict[str, int]] | None = None) -> Held:
    full = {one.id: {"dump.age": 10, "globals.age": 5, MANIFEST: 99} for one in whole}
    return Held(full | (sizes or {}), {one.id: one for one in whole})


OLD, NEW = manifest(9), manifest(1)


@pytest.mark.parametrize(
    ("held_there", "sent"),
    [
        (there(), [NEW, OLD]),
        (there(OLD), [NEW]),
        (there(OLD, NEW), []),
        (there(OLD, sizes={NEW.id: {"dump.age": 10}}), [NEW]),
        (there(OLD, NEW, sizes={NEW.id: {"dump.age": 9, "globals.age": 5, MANIFEST: 9}}), [NEW]),
        (there(OLD, NEW, sizes={NEW.id: {"globals.age": 5, MANIFEST: 9}}), [NEW]),
        (there(OLD, replace(NEW, reason="another")), [NEW]),
        (replace(there(OLD), foreign=(NEW.id,)), []),
    ],
)
def test_what_the_target_does_not_have_as_a_whole_is_sent_newest_first(held_there: Held, sent: list[Manifest]) -> None:
    assert list(plan_push([OLD, NEW], held_there, KEEP_ALL, {OLD.id: NOW, NEW.id: NOW}, NOW - DAY).send) == sent


@pytest.mark.parametrize(
    ("read", "again"),
    [({}, [NEW, OLD]), ({NEW.id: NOW}, [OLD]), ({NEW.id: NOW, OLD.id: NOW - 8 * DAY}, [OLD]), ({OLD.id: NOW}, [NEW])],
)
def test_what_was_not_read_back_for_long_is_read_again(read: dict[str, float], again: list[Manifest]) -> None:
    plan = plan_push([OLD, NEW], there(OLD, NEW), KEEP_ALL, read, NOW - 7 * DAY)
    assert (list(plan.send), list(plan.reread)) == ([], again)


def test_what_the_targets_own_retention_would_remove_is_not_sent_and_removing_it_changes_nothing_else() -> None:
    sets = [manifest(age) for age in range(0, 90, 3)]
    policy = Policy(RetentionRules(days=10, daily=2, weekly=3, monthly=2, minimum=3))
    sent = plan_push(sets, there(), policy, {}, NOW).send
    assert 0 < len(sent) < len(sets)
    after = there(*sent)
    assert plan_prune([], after, policy, NOW).sets == ()
    assert plan_push(sets, after, policy, {one.id: NOW for one in sets}, NOW - DAY).send == ()
    everything = there(*sets)
    gone = plan_prune([], everything, policy, NOW).sets
    assert sorted(gone) == sorted({one.id for one in sets} - {one.id for one in sent})


def test_a_set_that_was_drilled_stays() -> None:
    policy = Policy(RetentionRules(0, 0, 0, 0, 1))
    assert plan_prune([], there(OLD, NEW), policy, NOW).sets == (OLD.id,)
    assert plan_prune([], there(OLD, NEW), replace(policy, drilled=[OLD.id]), NOW).sets == ()


def test_only_encrypted_sets_leave_where_that_is_wanted() -> None:
    open_one = manifest(0, recipients=())
    only = replace(KEEP_ALL, encrypted_only=True)
    plan = plan_push([OLD, open_one], there(), only, {}, NOW)
    assert (plan.send, plan.withheld) == ((OLD,), (open_one,))
    assert plan_push([OLD, open_one], there(), KEEP_ALL, {}, NOW).withheld == ()


@pytest.mark.parametrize(
    ("local", "files", "now", "goes"),
    [
        ([], {"dump.age": 10}, NOW + 2 * DAY, True),
        ([NEW.id], {"dump.age": 10}, NOW + 2 * DAY, False),  # the next push completes it
        (
            [],
            {"dump.age": 10, MANIFEST: 3},
            NOW + 2 * DAY,
            False,
        ),  # it cannot be read: somebody may mend it
        ([], {"dump.age": 10}, time_of(NEW.id) + DAY, False),  # somebody may be sending it
    ],
)
def test_remains_go_when_no_set_here_can_complete_them(
    local: list[str], files: dict[str, int], now: float, goes: bool
) -> None:
    plan = plan_prune(local, there(OLD, sizes={NEW.id: files}), KEEP_ALL, now)
    assert plan.remains == ((NEW.id,) if goes else ())


def test_what_is_no_set_or_another_environments_is_told_and_left_alone() -> None:
    foreign = manifest(3, environment="production")
    texts = {NEW.id: NEW.as_json(), OLD.id: "{", foreign.id: foreign.as_json(), manifest(4).id: NEW.as_json()}
    sizes = {name: {MANIFEST: 1} for name in (*texts, "lost+found")}
    found = held(sizes, texts, "local")
    assert list(found.manifests) == [NEW.id]
    assert sorted(found.foreign) == sorted([foreign.id, manifest(4).id])
    assert len(found.troubles) == 3
    assert "lost+found" not in found.sizes
    assert found.broken == [NEW.id], "its files are not there"
    assert plan_prune([], found, Policy(RetentionRules(0, 0, 0, 0, 1)), NOW + 99 * DAY).sets == ()


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", ".hidden", "", "a/b", "a\nb", MANIFEST, ".."])
def test_a_manifest_may_not_name_files_outside_of_its_set(name: str) -> None:
    part = Part("postgres", "one", NOW, 1.0, (StoredFile(name, 1, "x"),))
    with pytest.raises(PlatformError, match="cannot be used"):
        checked(replace(NEW, parts=(part,)))


@pytest.mark.parametrize("name", ["sessions-web_1.example.org.db.zst.age", "vault.yml", "globals.sql.zst"])
def test_names_that_parts_have_are_accepted(name: str) -> None:
    checked(replace(NEW, parts=(Part("x", "one", NOW, 1.0, (StoredFile(name, 1, "x"),)),)))


def test_what_is_remembered_is_of_one_target(tmp_path: object) -> None:
    memory = Memory("a bucket", {"x": 1.0}, 2.0, 3)
    remember(str(tmp_path), memory)
    assert recall(str(tmp_path), "a bucket") == memory
    assert recall(str(tmp_path), "a folder") == Memory("a folder")
    assert recall(f"{tmp_path}/none", "a bucket") == Memory("a bucket")


# The table


def test_the_table_says_where_each_set_is_only_where_that_is_known() -> None:
    both = manifest(5)
    rows = located([NEW, both], [both, OLD])
    assert [(one.id, where) for one, where in rows] == [(OLD.id, "off-site"), (both.id, "both"), (NEW.id, "here")]
    text = sets_as_text([Listed(one, 0.0, where) for one, where in rows], [], "/x")
    assert text.splitlines()[0].split()[:3] == ["SET", "WHERE", "TOOK"]
    assert [line.split()[1] for line in text.splitlines()[1:]] == ["off-site", "both", "here"]
    assert "WHERE" not in sets_as_text([Listed(NEW, 0.0)], [], "/x")
    assert '"where": "both"' in sets_as_json([Listed(both, 0.0, "both")], [])
    assert '"where"' not in sets_as_json([Listed(both, 0.0)], [])


def test_a_set_that_is_elsewhere_only_is_not_said_to_have_been_read() -> None:
    assert "Its files were read" in one_as_text(Listed(NEW, 0.0, "both"), [])
    assert "It is off-site only" in one_as_text(Listed(NEW, 0.0, "off-site"), [])
