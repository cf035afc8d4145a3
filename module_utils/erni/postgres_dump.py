"""Dump a database and the cluster's globals: the adapter around pg_dump and psql. How it is read: dump_reading.py.

The dump and the count of its rows see one snapshot (PostgreSQL's manual, section 9.27.5), so that what was counted and
what was written are the same, whatever is written to the database meanwhile.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from . import engine
from .at_once import at_once
from .backup_unpack import COMPRESS, COMPRESSED_SUFFIX
from .database_apply import connection
from .dump_files import ARCHIVE, MOST_AT_ONCE, TableCopy, copies, options
from .errors import PlatformError
from .pipeline import Written, pour
from .postgres_facts import DatabaseFacts, count_rows, database_facts, stored_tables
from .progress import Progress, Tell, shares
from .scratch_container import EXCHANGE, Job, Running, make_pipe, open_pipe, running

SOCKETS, CONFIGURATION = "/var/run/postgresql", "/etc/erni"  # as the service's container sees them
OUT = "out.pipe"
LOCK_WAIT = "60s"  # for whoever changes a table's definition
UNTOUCHED = "Nothing was changed, and the sets there are stay as they are."

# What pg_dump sets for its session, as far as it matters to a copy: the rows' order is their table's, and nothing ends
# it but a lock that it does not get.
COPYING = " ".join(
    f"-c {setting}"
    for setting in (
        "synchronize_seqscans=off",
        "row_security=off",
        "statement_timeout=0",
        f"lock_timeout={LOCK_WAIT}",
        "idle_in_transaction_session_timeout=0",
    )
)
COPIED = re.compile(r"^COPY (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Server:
    """The PostgreSQL that runs on this host: its image, its user there, and the host's folders with its socket and
    its configuration (where ``pgpass`` is)."""

    platform: str
    image: str
    uid: int
    gid: int
    socket_folder: str
    configuration: str
    password: str
    admin: str = "postgres"

    def job(
        self, purpose: str, command: tuple[str, ...], exchange: str = "", environment: Mapping[str, str] | None = None
    ) -> Job:
        """A program of the server's own image, as its user."""
        return Job(
            name=f"{self.platform}-backup-{purpose}",
            platform=self.platform,
            image=self.image,
            command=command,
            user=f"{self.uid}:{self.gid}",
            exchange=exchange,
            mounts={SOCKETS: self.socket_folder, CONFIGURATION: self.configuration},
            environment={"PGPASSFILE": f"{CONFIGURATION}/pgpass", **(environment or {})},
        )

    def access(self) -> tuple[str, ...]:
        return (f"--host={SOCKETS}", f"--username={self.admin}", "--no-password")

    def psql(self, database: str, *options: str) -> tuple[str, ...]:
        """Ends with the first statement that fails, and reads no settings of anybody's own."""
        return ("psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", *options, f"--dbname={database}", *self.access())


@dataclass(frozen=True)
class Dumped:
    """What was written: file names in the folder, and the facts of the very moment that the dump shows.

    ``copied`` are the rows of tables with a file of their own, as the server has told how many it had sent.
    """

    facts: DatabaseFacts
    files: dict[str, Written]
    copied: dict[str, int]


WhileWritten = Callable[[str], AbstractContextManager[object]]  # the file of that name is written in the block


def dump(
    client: Any,
    server: Server,
    database: str,
    folder: str,
    exchange: str,
    progress: Progress | None = None,
    expected: int = 0,
    while_written: WhileWritten = nullcontext,
) -> Dumped:
    """The database and the globals, compressed, into the folder; large tables' data into files of their own.

    :param exchange: an empty folder for what goes between the server's image and this host.
    :param expected: about so many bytes before they are compressed, to tell the progress by; 0 where nobody knows.
    :raises PlatformError: when any part of it fails; nothing of it counts then.
    """
    what, progress = f"The database {database} could not be dumped", progress or Progress()
    with snapshot(server, database) as (name, cursor), ThreadPoolExecutor(1) as counting:
        facts = replace(database_facts(cursor, database), copies=copies(stored_tables(cursor)))
        _hold(cursor, facts.copies)
        rows = counting.submit(count_rows, cursor)
        with progress.phase("dumping", expected, about=True) as tell:
            dumping = _Dumping(client, server, database, name, facts, folder, exchange, what, while_written)
            written = dumping.all(tell)
        with progress.phase("counting its rows"):
            facts = replace(facts, rows=rows.result(), dumped=tell.standing.done)
    globals_ = ("pg_dumpall", "--globals-only", "--no-sync", f"--file={EXCHANGE}/{OUT}", *server.access())
    written["globals.sql.zst"] = _through_pipe(
        client,
        server.job("dump", globals_, exchange),
        server,
        os.path.join(exchange, OUT),
        os.path.join(folder, "globals.sql.zst"),
        "The cluster's roles could not be dumped",
    )
    return Dumped(facts, written, dumping.copied)


def _hold(cursor: Any, copied: Mapping[str, TableCopy]) -> None:
    """Nobody rewrites or empties these tables, which would let a copy that begins later see other rows than the
    snapshot's (PostgreSQL's manual, 13.5)."""
    cursor.execute(f"set local lock_timeout = '{LOCK_WAIT}'")
    for copy in copied.values():
        cursor.execute(f"lock table only {copy.table} in access share mode")


@dataclass
class _Dumping:
    """The files of a dump, each written by a program of its own."""

    client: Any
    server: Server
    database: str
    snapshot: str
    facts: DatabaseFacts
    folder: str
    exchange: str
    what: str
    while_written: WhileWritten
    copied: dict[str, int] = field(default_factory=dict)

    def all(self, tell: Tell) -> dict[str, Written]:
        """The archive and then the copies, the largest one first, as many at once as are worth it."""
        names = [ARCHIVE, *self.facts.copies]
        works = [partial(self._write, name, share) for name, share in zip(names, shares(tell, len(names)), strict=True)]
        files = [f"{name}{COMPRESSED_SUFFIX}" for name in names]
        try:
            written = at_once(works, min(os.cpu_count() or 1, MOST_AT_ONCE), self._end)
        except BaseException:
            # Those that are whole, too: without the others they look like a dump, and are none.
            for file in files:
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(self.folder, file))
            raise
        return dict(zip(files, written, strict=True))

    def _write(self, name: str, tell: Tell) -> Written:
        file, pipe = f"{name}{COMPRESSED_SUFFIX}", os.path.join(self.exchange, f"{name}.pipe")
        job = self._job(name)
        with self.while_written(file):
            target = os.path.join(self.folder, file)
            written = _through_pipe(self.client, job, self.server, pipe, target, self.what, tell)
        if name in self.facts.copies:
            self.copied[self.facts.copies[name].table] = self._told(name)
        return written

    def _job(self, name: str) -> Job:
        copy = self.facts.copies.get(name)
        words = self._pg_dump() if copy is None else self._copy(name, copy)
        environment = {"PGOPTIONS": COPYING, "PGCLIENTENCODING": self.facts.encoding}
        return self.server.job(_purpose(name), words, self.exchange, environment if copy else None)

    def _pg_dump(self) -> tuple[str, ...]:
        command = ("pg_dump", "--format=custom", "--compress=0", "--no-sync", f"--file={EXCHANGE}/{ARCHIVE}.pipe")
        seen = (f"--snapshot={self.snapshot}", f"--lock-wait-timeout={LOCK_WAIT}", *options(self.facts.copies))
        return (*command, *seen, *self.server.access(), self.database)

    def _copy(self, name: str, copy: TableCopy) -> tuple[str, ...]:
        commands = (
            "begin isolation level repeatable read read only",
            f"set transaction snapshot '{self.snapshot}'",
            f"\\copy {copy.what} to '{EXCHANGE}/{name}.pipe' with (format binary)",
        )
        line = shlex.join(self.server.psql(self.database, *(f"--command={command}" for command in commands)))
        return ("sh", "-ec", f"exec {line} > {EXCHANGE}/{name}.told")

    def _told(self, name: str) -> int:
        """What psql tells of how many rows there were."""
        path = os.path.join(self.exchange, f"{name}.told")
        with open(path, encoding="utf-8") as file:
            told = file.read()
        os.unlink(path)
        found = COPIED.search(told)
        if found is None:
            raise PlatformError(self.what, f"psql does not tell how many rows it has copied, but {told!r}", UNTOUCHED)
        return int(found[1])

    def _end(self) -> None:
        for name in (ARCHIVE, *self.facts.copies):
            engine.remove_if_present(self.client, self.server.job(_purpose(name), ()).name)


def _purpose(name: str) -> str:
    """Of the job that writes the file: ``dump`` for postgres.dump, ``dump-2`` for postgres-2.copy."""
    return f"dump{name.partition('.')[0].removeprefix('postgres')}"


def database_size(server: Server, database: str) -> int:
    """Bytes, as the server stores it; an estimate from above of what a dump of it takes."""
    with (
        connection(server.socket_folder, database, server.admin, server.password) as connected,
        connected.cursor() as cursor,
    ):
        cursor.execute("select pg_database_size(current_database())")
        return int(cursor.fetchone()[0])


@contextmanager
def snapshot(server: Server, database: str) -> Iterator[tuple[str, Any]]:
    """A transaction that changes nothing and holds a snapshot for others: its name, and a cursor in it."""
    with (
        connection(server.socket_folder, database, server.admin, server.password) as connected,
        connected.cursor() as cursor,
    ):
        cursor.execute("begin isolation level repeatable read read only")
        cursor.execute("select pg_export_snapshot()")
        yield cursor.fetchone()[0], cursor
        cursor.execute("commit")


def _through_pipe(
    client: Any, job: Job, server: Server, pipe: str, target: str, what: str, tell: Tell | None = None
) -> Written:
    """What the job writes to that pipe of its exchange, compressed, as a new file."""
    make_pipe(pipe, server.uid, server.gid)
    try:
        with running(client, job) as started, open_pipe(pipe) as source:
            started.writes_to(source, what, UNTOUCHED)
            written = pour(source, [COMPRESS], target, tell=tell)
            _keep_if_successful(started, target, what)
            return written
    finally:
        os.unlink(pipe)


def _keep_if_successful(job: Running, target: str, what: str) -> None:
    """What a program has written before it failed looks like what it should have written."""
    try:
        job.succeed(what, UNTOUCHED)
    except PlatformError:
        os.unlink(target)
        raise
