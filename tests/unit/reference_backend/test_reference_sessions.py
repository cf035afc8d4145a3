"""The sessions file under two releases, repeated turns and a restore."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import pytest
from erni_backend.sessions import SessionsFile


def turns(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM agent_messages").fetchone()[0])
    finally:
        connection.close()


def test_a_repeated_turn_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    file = SessionsFile(str(path))
    assert file.record_turn("session", "message", "hello", "good morning")
    assert not file.record_turn("session", "message", "hello", "another answer")
    file.close()
    assert turns(path) == 1


def test_the_file_keeps_a_write_ahead_log(tmp_path: Path) -> None:
    file = SessionsFile(str(tmp_path / "conversations.db"))
    file.record_turn("session", "message", "hello", "good morning")
    assert sqlite3.connect(tmp_path / "conversations.db").execute("PRAGMA journal_mode").fetchone() == ("wal",)
    file.close()


def test_old_and_new_release_write_at_the_same_time_without_losing_a_turn(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    failures: list[BaseException] = []

    def write(release: str) -> None:
        file = SessionsFile(str(path))
        try:
            for number in range(50):
                file.record_turn(f"session-{number % 5}", f"{release}-{number}", "hello", "good morning")
        except sqlite3.Error as error:
            failures.append(error)
        finally:
            file.close()

    writers = [threading.Thread(target=write, args=(release,)) for release in ("old", "new", "newer")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    assert turns(path) == 150


def test_after_a_restore_turns_go_into_the_restored_file(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    file = SessionsFile(str(path))
    file.record_turn("session", "before", "hello", "good morning")
    restored = tmp_path / "restored.db"
    sqlite3.connect(restored).close()
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()
    os.replace(restored, path)
    assert file.record_turn("session", "after", "hello", "good morning")
    file.close()
    assert turns(path) == 1


def test_a_check_finds_a_missing_folder_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.Error):
        SessionsFile(str(tmp_path / "absent" / "conversations.db")).check()
    path = tmp_path / "conversations.db"
    file = SessionsFile(str(path))
    file.record_turn("session", "message", "hello", "good morning")
    before = [item.stat().st_mtime_ns for item in (path, Path(f"{path}-wal"))]
    file.check()
    assert [item.stat().st_mtime_ns for item in (path, Path(f"{path}-wal"))] == before
    file.close()
