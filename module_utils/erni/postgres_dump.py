"""Dump a database and the cluster's globals, and read a dump whole: the adapter around pg_dump and pg_restore.

The dump and the count of its rows see one snapshot (PostgreSQL's manual, section 9.27.5), so that what was counted and
what was written are the same, whatever is written to the database meanwhile.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from . import engine
from .at_once import at_once
from .backup_unpack import COMPRESS
from .copy_rows import RowCounter
from .database_apply import connection
from .dump_archives import Archive, archives, options
from .errors import PlatformError
from .growing_file import GrowingFile
from .pipeline import Program, Written, feed, flow, pour
from .postgres_facts import DatabaseFacts, count_rows, database_facts, table_sizes
from .progress import Progress, Tell, shares
from .scratch_container import EXCHANGE, Job, Running, make_pipe, open_pipe, running

SOCKETS, CONFIGURATION = "/var/run/postgresql", "/etc/erni"  # as the service's container sees them
INTO = "dump.pipe"
FEEDER_SECONDS = 5.0  # for a program to say why it has failed
UNTOUCHED = "Nothing was changed, and the sets there are stay as they are."


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


@dataclass(frozen=True)
class Dumped:
    """What was written: file names in the folder, and the facts of the very moment that the dump shows."""

    facts: DatabaseFacts
    files: dict[str, Written]


def dump(
    client: Any,
    server: Server,
    database: str,
    folder: str,
    exchange: str,
    progress: Progress | None = None,
    expected: int = 0,
    begun: Callable[[str], object] = str,
) -> Dumped:
    """The database and the globals, compressed, into the folder; large tables' data into archives of their own.

    :param exchange: an empty folder for the pipes between the server's image and this host.
    :param expected: about so many bytes before they are compressed, to tell the progress by; 0 where nobody knows.
    :param begun: hears the name of each archive's file when it is about to be written.
    :raises PlatformError: when any part of it fails; nothing of it counts then.
    """
    what, progress = f"The database {database} could not be dumped", progress or Progress()
    with snapshot(server, database) as (name, cursor), ThreadPoolExecutor(1) as counting:
        facts = database_facts(cursor, database)
        planned = archives(table_sizes(cursor), os.cpu_count() or 1)
        rows = counting.submit(count_rows, cursor)
        with progress.phase("dumping", expected, about=True) as tell:
            dumps = [
                partial(_archive, client, server, database, name, folder, exchange, archive, planned, share, what)
                for archive, share in zip(planned, shares(tell, len(planned)), strict=True)
            ]
            files = [f"{archive.name}.zst" for archive in planned]
            for file in files:
                begun(file)
            try:
                dumped = at_once(dumps, partial(_end_archives, client, server, planned))
            except BaseException:
                _remove(folder, files)
                raise
        with progress.phase("counting its rows"):
            facts = replace(facts, rows=rows.result(), dumped=tell.standing.done)
        written = dict(zip(files, dumped, strict=True))
    globals_ = ("pg_dumpall", "--globals-only", *server.access())
    what = "The cluster's roles could not be dumped"
    written["globals.sql.zst"] = _through_pipe(client, server, globals_, f"{folder}/globals.sql.zst", exchange, what)
    return Dumped(facts, written)


def _archive(
    client: Any,
    server: Server,
    database: str,
    snapshot_name: str,
    folder: str,
    exchange: str,
    archive: Archive,
    planned: list[Archive],
    tell: Tell,
    what: str,
) -> Written:
    command = ("pg_dump", "--format=custom", "--compress=0", f"--snapshot={snapshot_name}", "--lock-wait-timeout=60s")
    return _through_pipe(
        client,
        server,
        (*command, *options(archive, planned), *server.access()),
        f"{folder}/{archive.name}.zst",
        exchange,
        what,
        database,
        number=archive.number,
        tell=tell,
    )


def _end_archives(client: Any, server: Server, planned: list[Archive]) -> None:
    for archive in planned:
        engine.remove_if_present(client, server.job(numbered("dump", archive.number), ()).name)


def _remove(folder: str, files: list[str]) -> None:
    """Those that are whole, too: without the others they look like a dump, and are none."""
    for file in files:
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, file))


def numbered(purpose: str, number: int) -> str:
    """For the job that does it for the archive of that number."""
    return purpose if number == 1 else f"{purpose}-{number}"


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


def read_whole(
    client: Any,
    server: Server,
    source: str,
    programs: list[Program],
    exchange: str,
    growing: GrowingFile | None = None,
    purpose: str = "verify",
) -> dict[str, int]:
    """The rows of each table that a dump holds, found by restoring all of it to nowhere.

    :param programs: what makes pg_restore's input of the file.
    :param growing: the file, where it is still being written.
    :param purpose: names the container that does it.
    :raises PlatformError: when a byte of it cannot be read.
    """
    what, remedy = f"{source} cannot be restored from", "Take another set; make backups lists them."
    counter = RowCounter()
    out = make_pipe(os.path.join(exchange, "sql.pipe"), server.uid, server.gid)
    # By way of its standard input: a file that it is given the name of it opens twice, and a pipe can be read once.
    told = f"exec pg_restore --data-only --file={EXCHANGE}/sql.pipe < {EXCHANGE}/{INTO}"
    try:
        job_ = server.job(purpose, ("sh", "-c", told), exchange)
        with (
            job_pipe(server, exchange) as into,
            running(client, job_) as job,
            fed(job, into, source, programs, growing),
            open_pipe(out) as pipe,
        ):
            job.writes_to(pipe, what, remedy)
            flow(pipe, [], counter.feed)
            job.succeed(what, remedy)
    finally:
        os.unlink(out)
    if not counter.complete():
        raise PlatformError(what, "the data of its last table breaks off", remedy)
    return counter.rows


@contextmanager
def job_pipe(server: Server, exchange: str, name: str = INTO) -> Iterator[str]:
    """A named pipe in a job's exchange; by the name that is left out, a job reads a dump from it."""
    path = make_pipe(os.path.join(exchange, name), server.uid, server.gid)
    try:
        yield path
    finally:
        os.unlink(path)


@contextmanager
def fed(
    job: Running, pipe: str, source: str, programs: list[Program], growing: GrowingFile | None = None
) -> Iterator[None]:
    """The job reads from the pipe what the programs make of the file, while the block runs.

    :raises PlatformError: after the block, when a program has failed: also in place of what the block complains of,
        since a job that gets too little only sees the consequence. One that ends before its input is for the block.
    """
    failures: list[BaseException] = []

    def run() -> None:
        try:
            _feed(job, pipe, source, programs, growing)
        except BaseException as error:  # noqa: BLE001 (raised below, in the thread that waits for it)
            failures.append(error)

    feeding = threading.Thread(target=run, daemon=True)
    feeding.start()
    try:
        yield
    except PlatformError as error:
        # It may be held up by a job that reads no more; that one is ended by whoever started it.
        feeding.join(FEEDER_SECONDS)
        if failures:
            raise failures[0] from error
        raise
    feeding.join()
    if failures:
        raise failures[0]


def _feed(job: Running, pipe: str, source: str, programs: list[Program], growing: GrowingFile | None) -> None:
    descriptor = job.reads_from(pipe)
    if descriptor is None:
        return
    with (
        os.fdopen(descriptor, "wb") as writing,
        growing.opened() if growing else _opened(source) as reading,
        suppress(BrokenPipeError),
    ):
        feed(reading, programs, writing.fileno())


@contextmanager
def _opened(path: str) -> Iterator[int]:
    with open(path, "rb") as file:
        yield file.fileno()


def _through_pipe(
    client: Any,
    server: Server,
    command: tuple[str, ...],
    target: str,
    exchange: str,
    what: str,
    *arguments: str,
    number: int = 1,
    tell: Tell | None = None,
) -> Written:
    name = f"out-{number}.pipe"
    pipe = make_pipe(os.path.join(exchange, name), server.uid, server.gid)
    try:
        # --no-sync: a pipe cannot be synchronized, and whoever reads from it does so with what it writes.
        words = (*command, "--no-sync", f"--file={EXCHANGE}/{name}", *arguments)
        job_ = server.job(numbered("dump", number), words, exchange)
        with running(client, job_) as job, open_pipe(pipe) as source:
            job.writes_to(source, what, UNTOUCHED)
            written = pour(source, [COMPRESS], target, tell=tell)
            _keep_if_successful(job, target, what)
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
