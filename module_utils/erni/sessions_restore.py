"""Give the application the sessions of a set, into the file that it has open: SQLite's backup interface replaces all of
it in one transaction, which other processes see as any other one, and which a kill undoes.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from urllib.parse import quote

from .errors import PlatformError
from .pipeline import Program, pour_file
from .sessions_copy import BUSY_SECONDS, SessionsFacts, copy, read_whole

LIVE_UNTOUCHED = "The sessions that serve were not touched."


def prepare(source: str, programs: Sequence[Program], target: str) -> SessionsFacts:
    """The set's file as it will be, checked page by page."""
    if os.path.exists(target):  # of a run before
        os.unlink(target)
    try:
        pour_file(source, programs, target)
        return read_whole(target)
    except PlatformError as error:
        if os.path.exists(target):
            os.unlink(target)
        raise PlatformError(f"{os.path.basename(source)} could not be restored", str(error), LIVE_UNTOUCHED) from error


def keep(live: str, target: str) -> None:
    """What serves, as a file of its own."""
    if os.path.exists(target):
        os.unlink(target)
    copy(live, target)


def replace(live: str, incoming: str) -> None:
    """The content of ``incoming`` is that of ``live``; a file that is not there yet belongs to its folder's owner.

    :raises PlatformError: when it cannot be; it is as it was then.
    """
    is_new = not os.path.exists(live)
    try:
        with closing(_open(incoming, "ro")) as reading, closing(_open(live, "rwc")) as writing:
            if is_new:
                folder = os.stat(os.path.dirname(live))
                os.chown(live, folder.st_uid, folder.st_gid)
            reading.backup(writing)  # all pages at once: one transaction
    except sqlite3.Error as error:
        raise PlatformError(
            f"The sessions could not be written into {live}",
            str(error),
            f"{LIVE_UNTOUCHED} Run it again; if the application holds the file, make stop SERVICE=backend first.",
        ) from error


def state(path: str) -> str:
    """By what its content is known again, however its pages are laid out; '' where there is no file."""
    if not os.path.exists(path):
        return ""
    digest = hashlib.sha256()
    with closing(_open(path, "ro")) as database:
        for line in database.iterdump():
            digest.update(line.encode() + b"\n")
    return digest.hexdigest()[:32]


def _open(path: str, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(path)}?mode={mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None)
