"""Load a dump into an empty database: its tables are made, their data loaded all at once, and then its indexes built.

pg_restore makes what comes before the data and what is left after them; see copy_load.py and dump_indexes.py for why it
does not do the rest.
"""

from __future__ import annotations

import os
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .at_once import at_once
from .copy_load import SESSION, load_copy, load_sql
from .dump_files import TableCopy
from .dump_indexes import plan
from .dump_reading import FEEDER_SECONDS, Packed, archive_text, job_pipe
from .errors import PlatformError
from .pipeline import pour_beginning, through, write_new
from .postgres_dump import Server
from .postgres_facts import tables
from .postgres_restore import LOADING, LOADING_HERE, OTHER_SET, RESTORE_SECONDS, repeated, session
from .scratch_container import EXCHANGE, Watch, running, unwatched

NOT_LOADED = "pg_restore failed", ""  # what to do then is said of the whole dump
# Bytes of a dump's beginning in which its table of contents has room: the text of all that is not data.
CONTENTS, CONTENTS_PER_OBJECT = 64 << 20, 1 << 10
CONTENTS_FILE = "contents.dump"
AFTER_SQL, AFTER_LIST = "after.sql", "after.list"  # what pg_restore tells of that which comes after the data
LEFT_SQL, LEFT_LIST = "left.sql", "left.list"  # what of it is left when the indexes are built
FILES = CONTENTS_FILE, AFTER_SQL, AFTER_LIST, LEFT_SQL, LEFT_LIST
BUILDS = "builds.pipe"
# COPY writes with few buffers, each of which waits until the log of its rows is on the disk (PostgreSQL's source,
# src/backend/storage/buffer/README, "Buffer Ring Replacement Strategy"). Commits beside it bring the log there before.
FLUSH_LOG = "select set_config('synchronous_commit', 'local', true), pg_logical_emit_message(true, 'erni', '')"
FLUSH_EVERY = 0.01  # seconds


@dataclass(frozen=True)
class Dump:
    """Of a set: ``archives`` are pg_dump's, the first one first, which is the one that has all but large tables' data;
    ``copies`` are of these, the largest one first."""

    archives: list[Packed]
    copies: list[tuple[TableCopy, Packed]]
    large_objects: int = 0


def load_dump(
    client: Any,
    server: Server,
    dump: Dump,
    exchange: str,
    jobs: int,
    purpose: str,
    into: str,
    watch: Watch = unwatched,
) -> None:
    """The data flow from the files into the database and lie nowhere else; then ``jobs`` processes build the indexes.

    For these, and for the tables before, only the dump's table of contents is read, which is at the first archive's
    beginning: pg_restore reads that from a file, once for each of its processes. Between the two, the programs wait for
    whoever loads the data, of all files at once.

    :param purpose: names the containers that do it.
    :param watch: is asked all the while, and ends it by what it raises.
    """
    first, contents = dump.archives[0], os.path.join(exchange, CONTENTS_FILE)
    try:
        with _files_of_its_own(exchange):
            size = CONTENTS + dump.large_objects * CONTENTS_PER_OBJECT
            with _named(first):
                pour_beginning(first.path, first.programs, contents, size)
            os.chown(contents, server.uid, server.gid)
            job = server.job(purpose, ("sh", "-ec", _sections(server, jobs, into)), exchange, {"PGOPTIONS": LOADING})
            with job_pipe(server, exchange, BUILDS) as builds, running(client, job) as sections:
                if (descriptor := sections.reads_from(builds)) is not None:  # where it has ended, it says itself why
                    with os.fdopen(descriptor, "wb", buffering=0) as waiting:
                        statements = _builds(exchange, dump, jobs)
                        _Loading(client, server, exchange, purpose, into, watch).all(dump, jobs)
                        with suppress(BrokenPipeError):
                            waiting.write(statements)
                with _named(first):
                    sections.succeed(*NOT_LOADED, RESTORE_SECONDS, watch)
    except PlatformError as error:
        raise PlatformError("The dump could not be restored", str(error), OTHER_SET) from error


@contextmanager
def _files_of_its_own(exchange: str) -> Iterator[None]:
    """Neither what a killed run has left of them is there in the block, nor anything of them afterwards."""
    files = [os.path.join(exchange, name) for name in FILES]
    _remove(files)
    try:
        yield
    finally:
        _remove(files)


def _remove(files: list[str]) -> None:
    for file in files:
        with suppress(FileNotFoundError):
            os.unlink(file)


def _sections(server: Server, jobs: int, into: str) -> str:
    """The shell's text for what comes before the data and after them (manual, pg_restore, ``--section``)."""
    restore = shlex.join(("pg_restore", "--exit-on-error", f"--dbname={into}", *server.access()))
    psql = shlex.join(server.psql(into, "--quiet", "--output=/dev/null"))
    return f"""cd {EXCHANGE}
{restore} --section=pre-data {CONTENTS_FILE}
pg_restore --section=post-data --list --file={AFTER_LIST} {CONTENTS_FILE}
pg_restore --section=post-data --verbose --file={AFTER_SQL} {CONTENTS_FILE} 2> /dev/null
xargs -0 -r -n 1 -P {jobs} {psql} --command < {BUILDS}
{psql} --file={LEFT_SQL}
{restore} --section=post-data --use-list={LEFT_LIST} --jobs={jobs} {CONTENTS_FILE}"""


def _builds(exchange: str, dump: Dump, processors: int) -> bytes:
    """What the programs run at once when the data are there. What comes after that is in its files then.

    A byte stands for a character here: the text is in the database's encoding, whatever that is.
    """
    told, listed = (_read(os.path.join(exchange, name)) for name in (AFTER_SQL, AFTER_LIST))
    indexes = plan(told, listed, {copy.table for copy, _packed in dump.copies}, processors)
    for name, text in ((LEFT_SQL, SESSION + ";\n" + indexes.constraints), (LEFT_LIST, indexes.left)):
        write_new(os.path.join(exchange, name), text.encode("latin-1"), 0o644)
    return "\0".join(f"{SESSION};\n{build}" for build in indexes.builds).encode("latin-1")


def _read(path: str) -> str:
    """The program's, whose user may put there what it likes: not a link to a file that only others may read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise PlatformError(f"{path} could not be read", str(error)) from error
    with os.fdopen(descriptor, encoding="latin-1", newline="") as file:
        return file.read()


@dataclass
class _Loading:
    """The data of a dump's files, into tables that are there; whichever of them fails ends the others."""

    client: Any
    server: Server
    exchange: str
    purpose: str
    into: str
    watch: Watch
    given_up: threading.Event = field(default_factory=threading.Event)

    def all(self, dump: Dump, most: int) -> None:
        archives = [partial(self._archive, archive, number) for number, archive in enumerate(dump.archives, start=1)]
        copies = [partial(self._copy, *copy) for copy in dump.copies]
        with repeated(self.server, self.into, FLUSH_LOG, FLUSH_EVERY):
            at_once([*archives, *copies], most, self.given_up.set)

    def _archive(self, archive: Packed, number: int) -> None:
        purpose = f"{self.purpose}-data-{number}"
        reading = archive_text(self.client, self.server, archive, self.exchange, purpose, "--section=data", NOT_LOADED)
        with _named(archive), reading as (job, text):
            try:
                with self._session() as cursor:
                    load_sql(text, cursor, set(tables(cursor)), self._ask)
            except EOFError as error:  # the consequence: pg_restore says of what, once it has ended
                job.succeed(*NOT_LOADED, FEEDER_SECONDS)
                raise PlatformError("It could not be read", str(error)) from error
            job.succeed(*NOT_LOADED, FEEDER_SECONDS)

    def _copy(self, copy: TableCopy, packed: Packed) -> None:
        with _named(packed), through(packed.path, packed.programs) as rows, self._session() as cursor:
            load_copy(rows, cursor, copy, self._ask)

    @contextmanager
    def _session(self) -> Iterator[Any]:
        with session(self.server, self.into) as cursor:
            cursor.execute(LOADING_HERE)
            yield cursor

    def _ask(self) -> None:
        if self.given_up.is_set():
            raise PlatformError("It was given up", "another file of the dump could not be loaded")
        self.watch()


@contextmanager
def _named(packed: Packed) -> Iterator[None]:
    """Whatever fails in the block is said of that file; what to do then is said of the whole dump."""
    try:
        yield
    except (PlatformError, FileNotFoundError) as error:
        raise PlatformError(packed.name, str(error)) from error
