"""Which set a restore takes, whose it may be, and who gets which part of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils.erni.backup_choice import choose, parts_for, require_identity_of
from ansible.module_utils.erni.backup_figures import figures
from ansible.module_utils.erni.backup_retention import RetentionRules, kept, to_remove
from ansible.module_utils.erni.backup_set import MANIFEST, Manifest, Part, StoredFile, fresh_enough
from ansible.module_utils.erni.backup_store import Store
from ansible.module_utils.erni.backup_unpack import require_identity, unpack
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.offsite_copies import chosen, needed_from_there
from ansible.module_utils.erni.offsite_plan import Held, Policy, plan_prune

FILES = (StoredFile("a.zst", 1, "00"),)
SET = Manifest("20260101T000000Z-0001", "staging", "erni", 1000.0, 1.0, "", "", (), 1001.0)
NEWER = replace(SET, id="20260102T000000Z-0002", began=2000.0)
SAFETY = replace(SET, id="20260103T000000Z-0003", began=3000.0, safety=True)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("", NEWER), (SET.id, SET), (SAFETY.id, SAFETY)],
    ids=["the newest", "by its id", "what a restore had replaced, by its id alone"],
)
def test_the_newest_set_is_taken_or_the_one_that_was_named(wanted: str, found: Manifest) -> None:
    assert choose([SET, NEWER, SAFETY], wanted, "/sets") == found


def test_a_set_of_what_a_restore_has_replaced_is_not_fetched_from_off_site_without_its_name() -> None:
    there = Held({}, {one.id: one for one in (SET, NEWER, SAFETY)})
    assert chosen(there, "", "a bucket") == NEWER
    assert chosen(there, SAFETY.id, "a bucket") == SAFETY
    with pytest.raises(PlatformError, match="There is no set off-site"):
        chosen(Held({}, {SAFETY.id: SAFETY}), "", "a bucket")


def test_where_only_such_a_set_is_here_another_one_is_fetched(tmp_path: Path) -> None:
    (tmp_path / SAFETY.id).mkdir()
    (tmp_path / SAFETY.id / MANIFEST).write_text(SAFETY.as_json())
    assert needed_from_there(Store(str(tmp_path)), "")
    assert not needed_from_there(Store(str(tmp_path)), SAFETY.id)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_such_a_set_does_not_stand_in_for_the_newest_verified_one(elsewhere: bool) -> None:
    sets = {one.id: one for one in (SET, SAFETY)}
    rules = RetentionRules(days=0, daily=0, weekly=0, monthly=0, minimum=1)
    if elsewhere:
        assert plan_prune([], Held({}, sets), Policy(rules), 9e9).sets == ()
    else:
        assert to_remove([kept(one, drilled=False) for one in sets.values()], rules) == []


def test_such_a_set_is_no_success_in_the_figures() -> None:
    told = figures([SET, SAFETY], "staging", (0.0, 0.0))
    assert 'erni_backup_last_success_timestamp_seconds{environment="staging"} 1000.0' in told
    assert 'erni_backup_sets{environment="staging"} 2.0' in told


def test_a_set_of_what_a_restore_has_replaced_is_never_fresh_enough() -> None:
    assert fresh_enough([SET, SAFETY], 3001.0, 100) is None
    assert fresh_enough([SET, NEWER, SAFETY], 2001.0, 100) == NEWER


@pytest.mark.parametrize(("sets", "wanted"), [([], ""), ([SAFETY], ""), ([SET], NEWER.id)])
def test_where_there_is_no_such_set_it_is_said(sets: list[Manifest], wanted: str) -> None:
    with pytest.raises(PlatformError, match=r"There is no set .*make backups lists"):
        choose(sets, wanted, "/sets")


@pytest.mark.parametrize(
    ("environment", "said", "refused"),
    [
        ("staging", "", ""),
        ("staging", "staging", ""),
        ("production", "staging", ""),
        ("production", "", "is of the environment staging, and this is production.*FROM=staging"),
        ("production", "local", "is of the environment staging, and this is production"),
        ("staging", "local", "not of local"),
    ],
)
def test_another_environments_set_is_restored_only_where_that_is_said(
    environment: str, said: str, refused: str
) -> None:
    if refused:
        with pytest.raises(PlatformError, match=refused):
            require_identity_of(SET, environment, said)
    else:
        require_identity_of(SET, environment, said)


def part(host: str, *, empty: bool = False) -> Part:
    return Part("sessions", host, 0.0, 0.0, () if empty else FILES)


@pytest.mark.parametrize(
    ("parts", "hosts", "given"),
    [
        (["a"], ["a"], {"a": "a"}),
        (["a"], ["elsewhere"], {"elsewhere": "a"}),
        (["a", "b"], ["a", "b"], {"a": "a", "b": "b"}),
        ([], ["a"], {}),
    ],
    ids=["its own", "the only one, on another host", "each its own", "nothing yet"],
)
def test_each_host_gets_its_own_part(parts: list[str], hosts: list[str], given: dict[str, str]) -> None:
    manifest = replace(SET, parts=(*map(part, parts), part("idle", empty=True)))
    assert {host: found.host for host, found in parts_for(manifest, "sessions", hosts).items()} == given


@pytest.mark.parametrize(("parts", "hosts"), [(["a", "b"], ["a"]), (["a", "b"], ["a", "c"]), (["a"], ["b", "c"])])
def test_whose_part_cannot_be_told_is_nobodys(parts: list[str], hosts: list[str]) -> None:
    with pytest.raises(PlatformError, match="Whose sessions are whose cannot be told"):
        parts_for(replace(SET, parts=tuple(map(part, parts))), "sessions", hosts)


@pytest.mark.parametrize(
    ("name", "programs"),
    [
        ("release.json", []),
        ("redis.rdb.zst", ["zstd"]),
        ("redis.rdb.zst.age", ["age", "zstd"]),
        ("release.json.age", ["age"]),
    ],
)
def test_a_file_is_unpacked_by_its_name(name: str, programs: list[str]) -> None:
    unpacked = unpack(name, "AGE-SECRET-KEY-X")
    assert [program.words[0] for program in unpacked] == programs
    assert "AGE-SECRET-KEY-X" not in repr(unpacked), "neither among arguments nor in what is shown"


def test_an_encrypted_set_without_a_key_is_refused_by_the_name_of_its_keys() -> None:
    encrypted = replace(SET, recipients=("age1one", "age1two"))
    require_identity(SET, "")
    require_identity(encrypted, "AGE-SECRET-KEY-X")
    with pytest.raises(PlatformError, match="is encrypted: none of the private keys of age1one, age1two"):
        require_identity(encrypted, " \n")
