"""Plain SQL, as ``pg_dump`` alone writes it and the runbook's script compresses it: refused where it is not whole, or
would leave the database that it is given.
"""

from __future__ import annotations

import os
import re
from typing import Any

from .copy_rows import RowCounter
from .errors import PlatformError
from .pipeline import Program, flow
from .postgres_dump import Server
from .postgres_restore import LIVE_UNTOUCHED, LOADING, OTHER_SET, RESTORE_SECONDS
from .scratch_container import EXCHANGE, Running, Watch, make_pipe, running, unwatched

GUNZIP = Program(("gzip", "--decompress", "--stdout"))
FROM_PG_DUMP, ITS_END = b"-- PostgreSQL database dump\n", b"-- PostgreSQL database dump complete\n"
# psql's own commands; \\restrict and \\unrestrict, which pg_dump writes since 15.14, only take rights away.
_COMMAND = re.compile(rb"\\(?!(un)?restrict )")
_OTHER_DATABASE = re.compile(rb"(CREATE|DROP|ALTER) DATABASE ", re.IGNORECASE)


def programs_for(path: str) -> list[Program]:
    return [GUNZIP] if path.endswith(".gz") else []


class PlainDump(RowCounter):
    """The text of a plain dump, judged line by line while it flows by, before anybody acts on it."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what
        self._started = self._ended = False

    def between_tables(self, line: bytes) -> None:
        """:raises PlatformError: for a line that leads out of the database."""
        if _COMMAND.match(line) or _OTHER_DATABASE.match(line):
            raise PlatformError(
                self._what,
                f"it holds '{line.decode(errors='replace').strip()[:60]}', which leads out of the database",
                f"{LIVE_UNTOUCHED} Only dumps of one database are restored (pg_dump without --create).",
            )
        self._started |= line == FROM_PG_DUMP
        self._ended |= line == ITS_END

    def require_end(self) -> None:
        """:raises PlatformError: where it breaks off: whatever a failed dump has left looks like a dump."""
        if not self.complete() or (self._started and not self._ended):
            raise PlatformError(
                self._what, "it breaks off before its end: the dump that it came from had failed", OTHER_SET
            )
        if not self._started:
            raise PlatformError(self._what, "it does not begin as a dump of PostgreSQL does", OTHER_SET)


def check(path: str) -> dict[str, int]:
    """Read it whole; the rows that it holds, by table.

    :raises PlatformError: when it is no whole dump of one database.
    """
    judged = PlainDump(f"{os.path.basename(path)} could not be restored")
    with open(path, "rb") as file:
        flow(file.fileno(), programs_for(path), judged.feed)
    judged.require_end()
    return judged.rows


def load(client: Any, server: Server, path: str, exchange: str, into: str, watch: Watch = unwatched) -> None:
    """Into the database of that name, in one transaction.

    :param watch: is asked all the while, and ends it by what it raises.
    """
    what = f"{os.path.basename(path)} could not be restored"
    pipe = make_pipe(os.path.join(exchange, "sql.pipe"), server.uid, server.gid)
    options = ("--quiet", "--output=/dev/null", "--single-transaction", f"--file={EXCHANGE}/sql.pipe")
    job = server.job("restore", server.psql(into, *options), exchange, {"PGOPTIONS": LOADING})
    try:
        with running(client, job) as started:
            _give(path, pipe, started, PlainDump(what), watch)
            started.succeed(what, LIVE_UNTOUCHED, RESTORE_SECONDS, watch)
    finally:
        os.unlink(pipe)


def _give(path: str, pipe: str, job: Running, judged: PlainDump, watch: Watch) -> None:
    descriptor = job.reads_from(pipe)
    if descriptor is None:
        return
    with os.fdopen(descriptor, "wb") as writing, open(path, "rb") as reading:

        def write(block: bytes) -> None:
            watch()
            judged.feed(block)
            writing.write(block)

        try:
            flow(reading.fileno(), programs_for(path), write)
        except BrokenPipeError:
            return  # whoever reads has failed, and says why
