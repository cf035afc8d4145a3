"""Copy the application's SQLite file while it is in use, through SQLite's own backup interface, and read a copy whole.

A file that is copied as a file while somebody writes to it is neither the one before nor the one after.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import quote

from .errors import PlatformError
from .progress import Progress

PAGES_AT_ONCE = 1024  # then the application's turn
PAUSE_SECONDS = 0.01
BUSY_SECONDS = 10.0


@dataclass(frozen=True)
class SessionsFacts:
    """Rows by table."""

    rows: dict[str, int] = field(default_factory=dict)


def copy(source: str, target: str, progress: Progress | None = None) -> SessionsFacts:
    """One moment of the source as a new file.

    :raises PlatformError: when the source is damaged, or locked for too long.
    """
    progress = progress or Progress()
    try:
        with closing(_open(source, "ro")) as reading, closing(_open(target, "rwc")) as writing:
            _copy_pages(reading, writing, progress)
            # The copy is a file of its own, without a log beside it.
            writing.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        if os.path.exists(target):
            os.unlink(target)
        raise PlatformError(
            f"The sessions in {source} could not be copied",
            str(error),
            "Nothing was changed. See whether the file is damaged: sqlite3 FILE 'PRAGMA integrity_check'.",
        ) from error
    os.chmod(target, 0o600)
    with progress.phase("reading it whole"):
        return read_whole(target)


def _copy_pages(reading: sqlite3.Connection, writing: sqlite3.Connection, progress: Progress) -> None:
    size, pages = (int(reading.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_size", "page_count"))
    with progress.phase("copying", size * pages, about=True) as tell:
        reading.backup(
            writing,
            pages=PAGES_AT_ONCE,
            sleep=PAUSE_SECONDS,
            progress=lambda _status, remaining, total: tell(size * (total - remaining)),
        )


def read_whole(path: str) -> SessionsFacts:
    """Every page is checked, and the rows counted.

    :raises PlatformError: when it is no whole database.
    """
    what = f"{path} cannot be restored from"
    try:
        with closing(_open(path, "ro")) as database:
            problems = [row[0] for row in database.execute("PRAGMA integrity_check(5)") if row[0] != "ok"]
            if problems:
                lines = "; ".join(problems).replace("\n", "; ")
                raise PlatformError(what, lines, "Take another set; make backups lists them.")
            names = [row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            return SessionsFacts({name: _count(database, name) for name in sorted(names)})
    except sqlite3.Error as error:
        raise PlatformError(what, str(error), "Take another set; make backups lists them.") from error


def _count(database: sqlite3.Connection, table: str) -> int:
    quoted = table.replace('"', '""')
    return int(database.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0])  # noqa: S608 (quoted)


def _open(path: str, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(path)}?mode={mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None)
