"""Files on the host are never seen half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils.erni import files
from ansible.module_utils.erni.files import (
    File,
    FileState,
    digest,
    ensure_folder,
    folder_matches,
    observe_file,
    plan_files,
    write_atomically,
)
from platform_builders import ROOT

WANTED = File("/etc/x.conf", "a = 1\n", 0o640, 1000, 1000)
SAME = FileState(b"a = 1\n", 0o640, 1000, 1000)


def test_a_file_that_is_right_is_left_alone() -> None:
    plan = plan_files([WANTED], {WANTED.path: SAME})
    assert (plan.actions, plan.differences) == ([], [])


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (None, "/etc/x.conf is created"),
        (replace(SAME, content=b"a = 2\n"), "/etc/x.conf is replaced"),
        (replace(SAME, content=b"a = 1"), "/etc/x.conf is replaced"),
        (replace(SAME, mode=0o644), "/etc/x.conf is replaced"),
        (replace(SAME, uid=0), "/etc/x.conf is replaced"),
        (replace(SAME, gid=0), "/etc/x.conf is replaced"),
    ],
)
def test_a_file_that_differs_in_anything_is_written(state: FileState | None, sentence: str) -> None:
    plan = plan_files([WANTED], {WANTED.path: state})
    assert plan.kinds == ["write_file"]
    assert plan.sentences == [sentence]
    assert len(plan.differences) == 1


def test_an_owner_of_minus_one_is_not_looked_at() -> None:
    assert not plan_files([replace(WANTED, uid=-1, gid=-1)], {WANTED.path: replace(SAME, uid=7, gid=8)}).changed


def test_of_a_permission_change_the_diff_shows_the_permissions_and_not_the_content() -> None:
    secret = replace(WANTED, content="hunter2\n", secret=True)
    state = FileState(b"hunter2\n", 0o644, 0, 0)
    (difference,) = plan_files([secret], {secret.path: state}).differences
    assert difference.shown() == ("0644 0:0", "0640 1000:1000")


def test_a_secret_file_shows_nothing_of_either_content() -> None:
    secret = replace(WANTED, content="hunter2-new", secret=True)
    diff = plan_files([secret], {secret.path: replace(SAME, content=b"hunter2-old")}).diff("x")
    assert "hunter2" not in str(diff)


def test_content_that_is_no_text_can_still_be_shown() -> None:
    diff = plan_files([WANTED], {WANTED.path: replace(SAME, content=b"\xff\xfe")}).diff("x")
    assert diff["before"][WANTED.path] == "\ufffd\ufffd"


def test_the_digest_of_text_is_that_of_its_utf8_bytes() -> None:
    assert digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest("grüezi") == digest("grüezi".encode())


def test_what_is_not_a_regular_file_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "absent", tmp_path, tmp_path / "pipe", tmp_path / "file" / "below"):
        assert observe_file(str(path)) is None


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o644, 0o755])
def test_a_written_file_has_its_content_and_exactly_its_mode(tmp_path: Path, mode: int) -> None:
    path = str(tmp_path / "x")
    before = os.umask(0o077)
    try:
        write_atomically(File(path, "grüezi\n", mode))
    finally:
        os.umask(before)
    assert observe_file(path) == FileState("grüezi\n".encode(), mode, os.getuid(), os.getgid())
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_written_file_has_the_owner_that_was_asked_for(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    write_atomically(File(path, "a", 0o400, 1234, 5678))
    state = observe_file(path)
    assert state is not None
    assert (state.uid, state.gid) == (1234, 5678)


def test_a_write_that_has_been_planned_leaves_nothing_to_plan(tmp_path: Path) -> None:
    wanted = File(str(tmp_path / "x"), "a", 0o640)
    write_atomically(wanted)
    assert not plan_files([wanted], {wanted.path: observe_file(wanted.path)}).changed


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_text("old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(File(str(path), "new"))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("moment", ["fchmod", "fsync", "rename"])
def test_a_writer_that_is_killed_in_the_middle_leaves_the_old_file_whole(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    program = textwrap.dedent(
        f"""
        import os, signal, sys
        sys.path.insert(0, {str(ROOT / "module_utils")!r})
        from erni import files
        setattr(os, {moment!r}, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        files.write_atomically(files.File({str(path)!r}, "new" * 100000))
        """
    )
    run = subprocess.run([sys.executable, "-c", program], check=False)
    assert run.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_a_reader_that_has_the_old_file_open_goes_on_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    with path.open() as reader:
        write_atomically(File(str(path), "new"))
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_missing_parents_can_be_passed_and_the_folder_itself_has_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c"
    ensure_folder(str(path), 0o700)
    assert [oct(p.stat().st_mode & 0o777) for p in (path.parent.parent, path.parent, path)] == [
        "0o711",
        "0o711",
        "0o700",
    ]


def test_parents_that_exist_keep_their_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    ensure_folder(str(tmp_path / "a"), 0o700)
    assert tmp_path.stat().st_mode & 0o777 == 0o750


def test_a_folder_that_was_ensured_matches_and_any_other_does_not(tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    assert not folder_matches(path, 0o700)
    ensure_folder(path, 0o700)
    assert folder_matches(path, 0o700)
    assert not folder_matches(path, 0o711)
    assert not folder_matches(path, 0o700, uid=os.getuid() + 1)
    assert not folder_matches(path, 0o700, gid=os.getgid() + 1)
    (tmp_path / "file").write_text("")
    (tmp_path / "file").chmod(0o700)
    assert not folder_matches(str(tmp_path / "file"), 0o700)
