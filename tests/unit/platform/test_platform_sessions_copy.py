"""The application's SQLite file is copied while it is written to, and a damaged copy is noticed."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from ansible.module_utils.erni import progress, sessions_copy
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.sessions_copy import SessionsFacts, copy, read_whole


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    path = tmp_path / "conversations?#%.db"  # a URI's special characters
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            "PRAGMA journal_mode=WAL; CREATE TABLE turns (n INTEGER, pair INTEGER); CREATE TABLE none (n)"
        )
        database.executemany("INSERT INTO turns VALUES (?, ?)", [(n, n) for n in range(2000)])
        database.commit()
    return path


def test_a_copy_holds_every_row_and_needs_no_log_beside_it(sessions: Path, tmp_path: Path) -> None:
    target = tmp_path / "copies" / "sessions.db"
    target.parent.mkdir()
    assert copy(str(sessions), str(target)) == SessionsFacts({"none": 0, "turns": 2000})
    assert [path.name for path in target.parent.iterdir()] == ["sessions.db"]
    assert read_whole(str(target)).rows == {"none": 0, "turns": 2000}
    assert target.stat().st_mode & 0o777 == 0o600


def test_it_is_told_how_much_of_them_is_copied(sessions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "WRITE_SECONDS", 0.0)
    monkeypatch.setattr(sessions_copy, "PAGES_AT_ONCE", 3)
    told: list[progress.Standing] = []
    monkeypatch.setattr(progress.Progress, "_write", lambda _self, standing: told.append(standing))
    copy(str(sessions), str(tmp_path / "copy.db"), progress.Progress("x", "sessions"))
    copying = [one for one in told if one.phase == "copying"]
    assert len(copying) > 2
    assert copying[-1].done == copying[-1].total == (tmp_path / "copy.db").stat().st_size
    assert [one.done for one in copying] == sorted({one.done for one in copying})
    assert told[-1].phase == "reading it whole"


def test_a_copy_is_of_one_moment_though_somebody_writes_all_the_while(sessions: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(sessions, timeout=10)) as database:
            while not stop.is_set():
                with database:  # two rows or none
                    database.execute("INSERT INTO turns VALUES (1, 2)")
                    database.execute("INSERT INTO turns VALUES (2, 1)")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = [copy(str(sessions), str(tmp_path / f"copy-{number}")).rows["turns"] for number in range(5)]
    finally:
        stop.set()
        writer.join()
    assert all(count % 2 == 0 for count in counts)
    assert counts == sorted(counts)


@pytest.mark.parametrize("harm", ["cut", "flipped", "no database"])
def test_a_damaged_file_is_refused(sessions: Path, tmp_path: Path, harm: str) -> None:
    copy(str(sessions), str(tmp_path / "copy"))
    content = bytearray((tmp_path / "copy").read_bytes())
    if harm == "cut":
        content = content[: len(content) // 2]
    elif harm == "flipped":
        content[4096:4196] = bytes(byte ^ 0xFF for byte in content[4096:4196])  # a page's head
    else:
        content = bytearray(b"not a database, by far" * 1000)
    (tmp_path / "copy").write_bytes(content)
    with pytest.raises(PlatformError, match=r"copy cannot be restored from: .*Take another set"):
        read_whole(str(tmp_path / "copy"))


def test_a_source_that_cannot_be_copied_leaves_no_copy(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * 5000)
    with pytest.raises(PlatformError, match="could not be copied"):
        copy(str(tmp_path / "source"), str(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()
