"""The records of releases: never half-written, never changed, and read back whatever killed their writer."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import journal, release_record
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.release_record import (
    JournalEntry,
    Manifest,
    append_entry,
    manifest_from_json,
    manifest_to_json,
    read_journal,
    read_manifests,
    remove_manifest,
    remove_unfinished,
    unfinished_records,
    write_manifest,
)
from platform_builders import ROOT

ID, OTHER_ID = "0123456789ab", "ba9876543210"
MANIFEST = Manifest(
    id=ID,
    created="2026-01-02T03:04:05Z",
    operator="ada",
    environment="staging",
    source="git:0a1b2c3",
    images={"backend": "erni/backend:aaaaaaaaaaaa", "frontend": "erni/frontend:bbbbbbbbbbbb"},
    image_ids={"backend": "sha256:1", "frontend": "sha256:2"},
    services={"backend": {"environment": {"MODE": "grüezi"}, "workers": 4}, "frontend": {}},
    secrets={"backend": {"DB_PASSWORD": "1f2e3d4c"}, "frontend": {}},
    config_digest="c0ffee",
)
ENTRY = JournalEntry(
    "2026-01-02T03:04:05.678Z", "aabbccddeeff", "deploy", "done", ID, "green", OTHER_ID, "blue", "ada", seconds=1.25
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "erni" / "releases"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_manifest_is_read_back_as_it_was_written(root: Path) -> None:
    assert write_manifest(str(root), MANIFEST) is True
    assert read_manifests(str(root)) == ({ID: MANIFEST}, [])


def test_a_host_without_releases_has_none(root: Path) -> None:
    assert read_manifests(str(root)) == ({}, [])
    assert read_journal(str(root)) == []
    assert unfinished_records(str(root)) == []


def test_others_can_read_neither_records_nor_journal(root: Path) -> None:
    former = os.umask(0o022)
    try:
        write_manifest(str(root), MANIFEST)
        append_entry(str(root), ENTRY)
    finally:
        os.umask(former)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (root, *root.rglob("*"))}
    assert modes == {"releases": 0o700, ID: 0o700, "manifest.json": 0o600, "journal.jsonl": 0o600}


def test_the_same_content_again_writes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_manifest(str(root), MANIFEST)
    before = contents(root)
    monkeypatch.setattr(os, "rename", _no_space)
    assert write_manifest(str(root), MANIFEST) is False
    assert contents(root) == before


@pytest.mark.parametrize(
    "story",
    [
        {"created": "2027-01-01T00:00:00Z", "operator": "grace"},
        {"reason": "again", "backup": "nightly"},
        {"schema": {"before": "3", "after": "3"}},
        {"source": "inventory", "commit": ""},
    ],
)
def test_a_release_that_comes_again_keeps_the_story_of_its_first_time(root: Path, story: dict[str, Any]) -> None:
    write_manifest(str(root), MANIFEST)
    assert write_manifest(str(root), replace(MANIFEST, **story)) is False
    assert read_manifests(str(root))[0] == {ID: MANIFEST}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"images": {"backend": "erni/backend:cccccccccccc"}}, "images"),
        ({"image_ids": {"backend": "sha256:3"}}, "image_ids"),
        ({"services": {}}, "services"),
        ({"secrets": {"backend": {"DB_PASSWORD": "00000000"}}, "config_digest": "tea"}, "secrets, config_digest"),
    ],
)
def test_a_release_never_changes_under_its_id(root: Path, changes: dict[str, Any], named: str) -> None:
    write_manifest(str(root), MANIFEST)
    before = contents(root)
    with pytest.raises(PlatformError, match=rf"its {named} differ.*remove {root / ID}"):
        write_manifest(str(root), replace(MANIFEST, **changes))
    assert contents(root) == before


@pytest.mark.parametrize("name", ["", "none", "0123456789AB", "../escape", f"{ID}0"])
def test_what_is_no_id_is_neither_recorded_nor_removed(root: Path, name: str) -> None:
    with pytest.raises(PlatformError, match="is no release"):
        write_manifest(str(root), replace(MANIFEST, id=name))
    with pytest.raises(PlatformError, match="is no release"):
        remove_manifest(str(root), name)
    assert not root.exists()


def text_of(**changes: Any) -> str:
    return json.dumps(json.loads(manifest_to_json(MANIFEST)) | changes)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (manifest_to_json(MANIFEST)[:-40], "delimiter|Unterminated"),
        ("", "Expecting value"),
        ("[]", "it holds no fields"),
        ('{"id": "x"}', "it lacks created, operator, environment, source, images"),
        (text_of(images=["erni/backend"]), "its images cannot be read"),
        (text_of(operator=None), "its operator cannot be read"),
        (text_of(id=OTHER_ID), f"it is that of {OTHER_ID}"),
    ],
)
def test_a_damaged_record_is_told_and_hides_no_other(root: Path, text: str, why: str) -> None:
    write_manifest(str(root), MANIFEST)
    write_manifest(str(root), replace(MANIFEST, id=OTHER_ID))
    (root / ID / "manifest.json").write_text(text)
    manifests, (sentence,) = read_manifests(str(root))
    assert list(manifests) == [OTHER_ID]
    assert sentence.startswith(f"The record of release {ID} is damaged (")
    assert re.search(why, sentence)


def test_a_folder_without_manifest_is_a_damaged_record(root: Path) -> None:
    (root / ID).mkdir(parents=True)
    manifests, (sentence,) = read_manifests(str(root))
    assert (manifests, "No such file" in sentence) == ({}, True)


def test_a_damaged_record_is_mended_by_recording_the_release_again(root: Path) -> None:
    write_manifest(str(root), MANIFEST)
    (root / ID / "manifest.json").write_text("{")
    (root / ID / "backend.log").write_text("last words\n")
    assert write_manifest(str(root), MANIFEST) is True
    assert read_manifests(str(root)) == ({ID: MANIFEST}, [])
    assert (root / ID / "backend.log").exists()


def test_what_a_newer_platform_adds_is_passed_over() -> None:
    assert manifest_from_json(text_of(signature="s")) == MANIFEST


def test_a_record_that_cannot_be_finished_leaves_no_trace(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "rename", _no_space)
    with pytest.raises(OSError, match="no space"):
        write_manifest(str(root), MANIFEST)
    assert list(root.iterdir()) == []


def _no_space(*_: object) -> None:
    raise OSError("no space left")


KILLED_AT = """
    import os, signal, sys
    import ansible.module_utils
    ansible.module_utils.__path__.append(sys.argv[1])
    from ansible.module_utils.erni import release_record
    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)
    setattr({module}, {name!r}, die)
    {call}
"""


def killed(call: str, module: str, name: str) -> None:
    program = textwrap.dedent(KILLED_AT).format(module=module, name=name, call=call)
    ended = subprocess.run([sys.executable, "-c", program, str(ROOT / "module_utils")], check=False)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("module", "name", "recorded"),
    [("release_record", "write_atomically", False), ("os", "rename", False), ("release_record", "sync_folder", True)],
)
def test_a_writer_that_is_killed_leaves_a_whole_record_or_none(
    root: Path, module: str, name: str, recorded: bool
) -> None:
    root.mkdir(parents=True)
    text = manifest_to_json(MANIFEST)
    call = f"release_record.write_manifest({str(root)!r}, release_record.manifest_from_json({text!r}))"
    killed(call, module, name)
    assert read_manifests(str(root)) == ({ID: MANIFEST} if recorded else {}, [])
    for leftover in unfinished_records(str(root)):
        remove_unfinished(str(root), leftover)
    assert [path.name for path in root.iterdir()] == ([ID] if recorded else [])


@pytest.mark.parametrize(
    ("module", "name", "recorded", "leftovers"),
    [("os", "rename", [ID], []), ("release_record", "sync_folder", [], [f".old-{ID}"])],
)
def test_a_removal_that_is_killed_leaves_a_whole_record_or_none(
    root: Path, module: str, name: str, recorded: list[str], leftovers: list[str]
) -> None:
    write_manifest(str(root), MANIFEST)
    killed(f"release_record.remove_manifest({str(root)!r}, {ID!r})", module, name)
    manifests, damaged = read_manifests(str(root))
    assert (list(manifests), damaged) == (recorded, [])
    assert unfinished_records(str(root)) == leftovers


def test_a_release_is_forgotten_with_its_folder_and_nothing_else(root: Path) -> None:
    for manifest in (MANIFEST, replace(MANIFEST, id=OTHER_ID)):
        write_manifest(str(root), manifest)
    (root / f".old-{ID}").mkdir()  # of a removal that was killed
    append_entry(str(root), ENTRY)
    remove_manifest(str(root), ID)
    assert sorted(path.name for path in root.iterdir()) == [OTHER_ID, "journal.jsonl"]


@pytest.mark.parametrize("name", [ID, "journal.jsonl", "../outside", ".", ""])
def test_only_what_was_cut_short_is_swept_away(root: Path, name: str) -> None:
    write_manifest(str(root), MANIFEST)
    append_entry(str(root), ENTRY)
    (root.parent / "outside").mkdir()
    before = contents(root.parent)
    remove_unfinished(str(root), name)
    assert contents(root.parent) == before
    assert (root.parent / "outside").is_dir()


def test_the_journal_is_read_back_oldest_first(root: Path) -> None:
    entries = [ENTRY, replace(ENTRY, phase="begun", detail="two\nlines, \u2028 and a ü"), replace(ENTRY, seconds=0)]
    for entry in entries:
        append_entry(str(root), entry)
    assert read_journal(str(root)) == entries


@pytest.mark.parametrize(
    "line",
    [
        '{"time": "2026-01-02T03:04:05.678Z", "transi',
        "",
        "\0\0\0\0",
        "[]",
        '{"time": "t", "transition": "x", "verb": "deploy", "phase": "done"}',
        '{"time": "t", "transition": "x", "verb": "deploy", "phase": 3, "release": "r"}',
    ],
)
def test_a_line_that_was_cut_off_spoils_no_other(root: Path, line: str) -> None:
    append_entry(str(root), ENTRY)
    with (root / "journal.jsonl").open("a") as handle:
        handle.write(line)
    append_entry(str(root), replace(ENTRY, phase="begun"))
    assert [entry.phase for entry in read_journal(str(root))] == ["done", "begun"]


def test_an_entry_that_lacks_only_its_line_feed_counts_and_stays(root: Path) -> None:
    append_entry(str(root), ENTRY)
    path = root / "journal.jsonl"
    path.write_text(path.read_text().rstrip("\n"))
    assert read_journal(str(root)) == [ENTRY]
    append_entry(str(root), ENTRY)
    assert read_journal(str(root)) == [ENTRY, ENTRY]


def test_an_entry_is_on_the_disk_before_the_next_phase_begins(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        if synced[-1] == "journal.jsonl":
            assert read_journal(str(root))[-1] == ENTRY
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    append_entry(str(root), ENTRY)
    assert synced == ["erni", "journal.jsonl", "releases"]
    append_entry(str(root), ENTRY)
    assert synced[3:] == ["journal.jsonl"]


def test_an_entry_that_the_disk_took_in_part_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append_entry(str(root), ENTRY)
    real = os.write
    monkeypatch.setattr(journal.os, "write", lambda descriptor, data: real(descriptor, data[:20]))
    with pytest.raises(OSError, match=r"No space left.*journal\.jsonl"):
        append_entry(str(root), ENTRY)
    monkeypatch.undo()
    append_entry(str(root), replace(ENTRY, phase="failed"))
    assert [entry.phase for entry in read_journal(str(root))] == ["done", "failed"]


def test_the_contract_and_the_manifest_have_the_same_names() -> None:
    assert set(json.loads(manifest_to_json(MANIFEST))) == {
        "id", "created", "operator", "environment", "source", "commit", "reason", "images", "image_ids", "services",
        "secrets", "config_digest", "schema", "backup",
    }  # fmt: skip
    assert json.loads(manifest_to_json(MANIFEST))["schema"] == {"before": "", "after": ""}
    assert set(release_record.CONTENT) < set(json.loads(manifest_to_json(MANIFEST)))
