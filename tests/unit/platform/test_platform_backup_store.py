"""The folder of the backup sets: half a set is never seen, and what a killed run left goes with the next one."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils.erni.backup_set import MANIFEST, POSTGRES, Manifest, Part, StoredFile
from ansible.module_utils.erni.backup_store import LEASE, LEASE_SECONDS, PARTIAL, Lease, Store
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.files import digest

FIRST, SECOND = "20260102T120000Z-00aa", "20260102T130000Z-00bb"
MINE, ANOTHERS = Lease("here", "ada", 1.0), Lease("there", "bob", 2.0)
CONTENT = "a dump"


def manifest(identifier: str = FIRST, content: str = CONTENT) -> Manifest:
    stored = StoredFile("postgres.dump.zst", len(content), digest(content))
    part = Part(POSTGRES, "one", 1.0, 1.0, (stored,), {"rows": {"t": 1}})
    return Manifest(identifier, "local", "erni", 1.0, 1.0, "ada", "", (part,), 2.0)


def make(store: Store, identifier: str = FIRST, lease: Lease = MINE) -> None:
    store.begin(identifier, lease)
    os.makedirs(store.made(identifier))
    Path(store.made(identifier), "postgres.dump.zst").write_text(CONTENT)
    store.publish(manifest(identifier))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "backups"))


def test_a_set_is_there_once_it_is_published_and_nothing_else_is(store: Store) -> None:
    assert store.manifests() == ([], [])
    store.begin(FIRST, MINE)
    assert store.identifiers() == []
    make(store)
    assert store.manifests() == ([manifest()], [])
    assert os.listdir(os.path.join(store.folder, PARTIAL)) == []
    assert store.damage(manifest()) == []


def test_sets_are_told_oldest_first_and_a_damaged_manifest_is_told_beside_them(store: Store) -> None:
    make(store, SECOND)
    make(store, FIRST)
    assert [one.id for one in store.manifests()[0]] == [FIRST, SECOND]
    Path(store.path(FIRST), MANIFEST).write_text("{")
    sets, troubles = store.manifests()
    assert [one.id for one in sets] == [SECOND]
    assert [FIRST in trouble for trouble in troubles] == [True]


def test_a_set_that_does_not_exist_is_a_sentence(store: Store) -> None:
    with pytest.raises(PlatformError, match=rf"There is no set {FIRST} in .*make backups lists those there are"):
        store.manifest(FIRST)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda path: path.unlink(), "cannot be read (No such file or directory)"),
        (lambda path: path.write_text(CONTENT[:-1]), "has 5 bytes and should have 6"),
        (lambda path: path.write_text("a dumP"), "is not what was written: its checksum differs"),
    ],
)
def test_damage_is_found_by_reading_all_of_it(store: Store, harm: object, told: str) -> None:
    make(store)
    assert callable(harm)
    harm(Path(store.path(FIRST), "postgres.dump.zst"))
    assert store.damage(manifest()) == [f"postgres.dump.zst {told}"]


def test_what_a_killed_run_of_this_node_left_is_cleared_away_by_the_next(store: Store) -> None:
    store.begin(FIRST, MINE)
    with store.part_folder(FIRST, "postgres") as folder:
        Path(folder, "half").write_text("x")
    store.begin(SECOND, replace(MINE, operator="another"))
    assert os.listdir(os.path.join(store.folder, PARTIAL)) == [SECOND]


def test_a_set_that_is_begun_twice_is_the_same_and_loses_nothing(store: Store) -> None:
    """Each part's host begins it, and one host may have several parts."""
    store.begin(FIRST, MINE)
    with store.part_folder(FIRST, "postgres") as folder:
        Path(folder, "whole").write_text("x")
    store.begin(FIRST, MINE)
    assert Path(folder, "whole").exists()


def test_a_run_of_another_node_is_waited_for_until_it_has_been_silent_for_long(store: Store) -> None:
    store.begin(FIRST, ANOTHERS)
    with pytest.raises(PlatformError, match=rf"bob on there began {FIRST} at 00:00:02Z"):
        store.begin(SECOND, MINE)
    assert os.path.isdir(store.partial(FIRST))
    lease = os.path.join(store.partial(FIRST), LEASE)
    long_ago = os.stat(lease).st_mtime - LEASE_SECONDS
    os.utime(lease, (long_ago, long_ago))
    store.begin(SECOND, MINE)
    assert os.listdir(os.path.join(store.folder, PARTIAL)) == [SECOND]


def test_remains_without_a_readable_lease_are_nobodys(store: Store) -> None:
    store.begin(FIRST, ANOTHERS)
    Path(store.partial(FIRST), LEASE).write_text("{")
    store.begin(SECOND, MINE)
    assert os.listdir(os.path.join(store.folder, PARTIAL)) == [SECOND]


def test_a_run_that_was_cleared_away_is_told_so(store: Store) -> None:
    with pytest.raises(PlatformError, match="another run has cleared it away"), store.part_folder(FIRST, "redis"):
        pytest.fail("there is nothing to write into")


def test_a_part_that_fails_leaves_nothing_and_one_that_is_made_again_begins_anew(store: Store) -> None:
    store.begin(FIRST, MINE)
    with suppress(ZeroDivisionError), store.part_folder(FIRST, "redis") as folder:
        Path(folder, "half").write_text("x")
        raise ZeroDivisionError
    assert not os.path.exists(folder)
    with store.part_folder(FIRST, "redis") as folder:
        Path(folder, "whole").write_text("x")
    with store.part_folder(FIRST, "redis") as folder:
        assert os.listdir(folder) == []


def test_a_removed_set_is_gone_and_half_of_it_is_never_seen(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    make(store)
    make(store, SECOND)
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)  # killed while the files went
    store.remove(FIRST)
    assert store.identifiers() == [SECOND]
    monkeypatch.undo()
    store.begin("20260102T140000Z-00cc", MINE)
    assert os.listdir(os.path.join(store.folder, PARTIAL)) == ["20260102T140000Z-00cc"]


def test_only_root_may_look(store: Store) -> None:
    make(store)
    assert os.stat(store.folder).st_mode & 0o777 == 0o700
    assert os.stat(os.path.join(store.path(FIRST), MANIFEST)).st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("content", "ended"), [('{"ended": 7.5}', 7.5), ("{", 0.0), ("{}", 0.0), (None, 0.0)])
def test_a_set_tells_when_it_was_last_drilled(store: Store, content: str | None, ended: float) -> None:
    make(store)
    if content is not None:
        Path(store.path(FIRST), "drilled.json").write_text(content)
    assert store.drilled(FIRST) == ended
