"""The agents' sessions: one SQLite file that the workers of the old and of the new release write at the same time."""

from __future__ import annotations

import sqlite3
from pathlib import Path

# Longer than any transaction here by far: a writer of the other release is waited for, not failed on.
BUSY_TIMEOUT_SECONDS = 10.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS agent_sessions (
    session_id TEXT PRIMARY KEY,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE IF NOT EXISTS agent_messages (
    message_id TEXT PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES agent_sessions (session_id) ON DELETE CASCADE,
    message TEXT NOT NULL,
    reply TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX IF NOT EXISTS agent_messages_by_session ON agent_messages (session_id, created_at);
"""


class SessionsFile:
    """The file, opened on first use. One thread at a time may use an instance."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def record_turn(self, session_id: str, message_id: str, message: str, reply: str) -> bool:
        """Write one turn; a turn that is already there stays as it is. Returns whether it was new."""
        connection = self._open()
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT OR IGNORE INTO agent_sessions (session_id) VALUES (?)", (session_id,))
            written = connection.execute(
                "INSERT OR IGNORE INTO agent_messages (message_id, session_id, message, reply) VALUES (?, ?, ?, ?)",
                (message_id, session_id, message, reply),
            )
        return written.rowcount == 1

    def check(self) -> None:
        """Raise `sqlite3.Error` unless the file can be written; nothing is written to find out."""
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")

    def close(self) -> None:
        """Give the file back; the last to do so folds the write-ahead log into it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        """The connection, renewed when the file was replaced: a restore must not be written past, into the old one."""
        if self._connection is not None and self._inode == self._inode_on_disk():
            return self._connection
        self.close()
        self._connection = _connect(self._path)
        self._inode = self._inode_on_disk()
        return self._connection

    def _inode_on_disk(self) -> int:
        try:
            return self._path.stat().st_ino
        except FileNotFoundError:
            return 0


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    # With a write-ahead log, NORMAL survives the death of any process; only the power may take the last turns, and
    # PostgreSQL has those.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'agent_messages_by_session'").fetchone():
        connection.executescript(_SCHEMA)
    return connection
