"""Restore a dump beside the database that serves, compare it, and swap the two by their names in one transaction.

Nothing is written to the database that serves. It stays under another name until it is dropped, so that one more swap
brings it back.
"""

from __future__ import annotations

import os
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from .at_once import at_once
from .copy_load import load_sql
from .database_apply import MAINTENANCE_DATABASE, connection
from .errors import PlatformError
from .pipeline import Program, pour_beginning
from .postgres_dump import FEEDER_SECONDS, INTO, Server, database_size, fed, job_pipe, numbered
from .postgres_facts import DatabaseFacts, count_rows, database_facts, differences, tables
from .postgres_fingerprint import fingerprint
from .postgres_roles import give_settings
from .progress import Progress, polled
from .restore_record import BEFORE
from .scratch_container import EXCHANGE, Running, Watch, open_pipe, running, unwatched

try:
    from psycopg2 import sql
except ImportError:  # said as a sentence by those who connect
    sql = None  # type: ignore[assignment]

RESTORE_SECONDS = 24 * 3600.0
SCRATCH_SUFFIX = "_restored"
UNKNOWN = -1
LIVE_UNTOUCHED = "The database that serves was not touched."
OTHER_SET = f"{LIVE_UNTOUCHED} Take another set; make backups lists them."

DATABASES = "select datname from pg_database where datname = any(%s)"
KEPT = "select datname from pg_database where starts_with(datname, %s) order by 1"
END_SESSIONS = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = %s"
TERMINATE_EVERY = 0.02  # seconds
# Whoever restores waits for no commit to reach the disk: what a crash takes away is dropped and restored again.
NO_WAIT = "synchronous_commit=off"
LOADING, LOADING_HERE = f"-c {NO_WAIT}", f"set {NO_WAIT}"  # for a program, and for a session of this one
TEXT, LOADED = "data.pipe", "loaded.pipe"
# Bytes of a dump's beginning in which its table of contents has room: the text of all that is not data.
CONTENTS, CONTENTS_PER_OBJECT = 64 << 20, 1 << 10


def scratch_name(database: str) -> str:
    """One name for all attempts: whatever a killed one left is found, and goes with the next."""
    return f"{database}{SCRATCH_SUFFIX}"


def kept_name(database: str, stamp: str) -> str:
    return f"{database}_{BEFORE}{stamp}"


# Beside what serves

Load = Callable[[str], None]  # into the database of that name


def restore_beside(server: Server, facts: DatabaseFacts, load: Load, progress: Progress | None = None) -> str:
    """Whatever ``load`` gives as a database beside the one that serves, compared, and ready to serve.

    :param facts: what it has to hold; what they do not tell (no rows, a negative number) is not compared.
    :returns: by what it is known again.
    :raises PlatformError: when anything of it is not as it was; nothing is left of it then.
    """
    scratch = scratch_name(facts.name)
    with maintenance(server) as cursor:
        drop(cursor, scratch)
        _create(cursor, scratch, facts)
    whole = (progress or Progress()).phase("restoring", facts.size, about=True)
    try:
        with whole as tell, polled(tell, lambda: database_size(server, scratch)):
            load(scratch)
        return _proven(server, scratch, facts)
    except BaseException:
        # Where the server is away, too, that is not what went wrong first; what is left goes with the next run.
        with suppress(PlatformError), maintenance(server) as cursor:
            drop(cursor, scratch)
        raise


@dataclass(frozen=True)
class Packed:
    """An archive of a dump; ``programs`` make pg_restore's input of the file."""

    path: str
    programs: list[Program]


def load_dump(
    client: Any,
    server: Server,
    dump: list[Packed],
    exchange: str,
    jobs: int,
    purpose: str,
    into: str,
    large_objects: int = 0,
    watch: Watch = unwatched,
) -> None:
    """The data flow from the files into the database and lie nowhere else; then ``jobs`` processes build the indexes.

    For these, and for the tables before, only the dump's table of contents is read, which is at the first archive's
    beginning: pg_restore reads that from a file, once for each of its processes. Between the two it waits for whoever
    loads the data, of all archives at once.

    :param purpose: names the containers that do it.
    :param large_objects: how many the dump has: each has its place in the table of contents.
    :param watch: is asked all the while, and ends it by what it raises.
    """
    first, *others = dump
    what, contents = f"{os.path.basename(first.path)} could not be restored", os.path.join(exchange, "contents.dump")
    if os.path.exists(contents):  # of a run that was killed
        os.unlink(contents)
    try:
        pour_beginning(first.path, first.programs, contents, CONTENTS + large_objects * CONTENTS_PER_OBJECT)
        os.chown(contents, server.uid, server.gid)
        job = server.job(purpose, ("sh", "-ec", _sections(server, jobs, into)), exchange, {"PGOPTIONS": LOADING})
        with (
            job_pipe(server, exchange) as pipe,
            job_pipe(server, exchange, LOADED) as loaded,
            job_pipe(server, exchange, TEXT) as text,
            running(client, job) as started,
            fed(started, pipe, first.path, first.programs),
            open_pipe(text) as source,
        ):
            started.writes_to(source, what, LIVE_UNTOUCHED)
            _load_at_once(
                client,
                server,
                others,
                exchange,
                purpose,
                into,
                partial(_load_data, server, into, source, started),
                watch,
            )
            _tell(started, loaded)
            started.succeed(what, LIVE_UNTOUCHED, RESTORE_SECONDS, watch)
    except PlatformError as error:
        raise PlatformError(what, str(error), OTHER_SET) from error
    finally:
        if os.path.exists(contents):
            os.unlink(contents)


def _load_at_once(
    client: Any,
    server: Server,
    others: list[Packed],
    exchange: str,
    purpose: str,
    into: str,
    load_first: Callable[[Watch], None],
    watch: Watch,
) -> None:
    given_up = threading.Event()

    def ask() -> None:
        if given_up.is_set():
            raise PlatformError("The data could not be loaded", "another archive's could not", OTHER_SET)
        watch()

    loads = [
        partial(_load_archive, client, server, archive, number, exchange, purpose, into, ask)
        for number, archive in enumerate(others, start=2)
    ]
    at_once([partial(load_first, ask), *loads], given_up.set)


def _load_archive(
    client: Any,
    server: Server,
    archive: Packed,
    number: int,
    exchange: str,
    purpose: str,
    into: str,
    watch: Watch,
) -> None:
    """The data of one further archive, whose tables are there."""
    what = f"{os.path.basename(archive.path)} could not be restored"
    come, text = f"dump-{number}.pipe", f"data-{number}.pipe"
    job = server.job(numbered(purpose, number), ("sh", "-ec", _data_section(come, text)), exchange)
    with (
        job_pipe(server, exchange, come) as pipe,
        job_pipe(server, exchange, text) as out,
        running(client, job) as started,
        fed(started, pipe, archive.path, archive.programs),
        open_pipe(out) as source,
    ):
        started.writes_to(source, what, LIVE_UNTOUCHED)
        _load_data(server, into, source, started, watch)
        started.succeed(what, LIVE_UNTOUCHED, FEEDER_SECONDS)


def _sections(server: Server, jobs: int, into: str) -> str:
    """The shell's text for pg_restore's three sections (PostgreSQL's manual, pg_restore, ``--section``)."""
    words = ("pg_restore", "--exit-on-error", f"--dbname={into}", *server.access())
    restore, contents = shlex.join(words), f"{EXCHANGE}/contents.dump"
    return f"""{restore} --section=pre-data {contents}
{_data_section(INTO, TEXT)}
read -r loaded < {EXCHANGE}/{LOADED}
{restore} --section=post-data --jobs={jobs} {contents}"""


def _data_section(come: str, text: str) -> str:
    """By way of its standard input: a file that it is given the name of it opens twice, and a pipe can be read once."""
    return f"pg_restore --section=data --file={EXCHANGE}/{text} < {EXCHANGE}/{come}"


def _load_data(server: Server, into: str, source: int, job: Running, watch: Watch) -> None:
    try:
        with session(server, into) as cursor:
            cursor.execute(LOADING_HERE)
            load_sql(source, cursor, set(tables(cursor)), watch)
    except EOFError as error:  # the consequence: pg_restore says of what, once it has ended
        job.succeed("The dump could not be read", LIVE_UNTOUCHED, FEEDER_SECONDS)
        raise PlatformError("The dump could not be read", str(error), OTHER_SET) from error


def _tell(job: Running, pipe: str) -> None:
    """It may go on. Where it has ended meanwhile, it says itself why."""
    if (descriptor := job.reads_from(pipe)) is not None:
        os.write(descriptor, b"loaded\n")
        os.close(descriptor)


def _create(cursor: Any, name: str, facts: DatabaseFacts) -> None:
    statement = "create database {} owner {} template template0 encoding {} lc_collate {} lc_ctype {}"
    literals = (facts.encoding, facts.collate, facts.ctype)
    cursor.execute(
        sql.SQL(statement).format(
            sql.Identifier(name), sql.Identifier(facts.owner), *(sql.Literal(value) for value in literals)
        )
    )


def _proven(server: Server, scratch: str, facts: DatabaseFacts) -> str:
    """Compared by its rows, given the settings and grants that are the database's own, and analyzed."""
    with session(server, scratch) as cursor:
        rows = count_rows(cursor)
        wrong = differences(facts.rows or rows, rows)
        found = database_facts(cursor, scratch)
        if facts.large_objects not in (found.large_objects, UNKNOWN):
            wrong.append(f"there are {found.large_objects} large objects and should be {facts.large_objects}")
        wrong += [f"the extension {name} is missing" for name in sorted({*_names(facts)} - {*_names(found)})]
        if wrong:
            raise PlatformError(
                "What was restored is not what the set says that it held", "; ".join(wrong[:5]), OTHER_SET
            )
        give_settings(cursor, scratch, facts)
        cursor.execute("analyze")
    with session(server, scratch) as cursor:  # the counters are complete once a session has ended
        return fingerprint(cursor)


def _names(facts: DatabaseFacts) -> list[str]:
    return [extension.partition("=")[0] for extension in facts.extensions]


# In its place


def swap(server: Server, database: str, incoming: str, kept: str) -> float:
    """``incoming`` takes the database's name, and what had it is kept as ``kept``.

    One transaction, in which a rename locks out new sessions while those there are ended: whatever is killed, there is
    always one database of the name, and it lets everybody in.

    :returns: seconds for which nobody could use the database.
    :raises PlatformError: when it could not be done; all is as it was then.
    """
    with maintenance(server) as cursor, _sessions_ended(server, database):
        began = time.monotonic()
        cursor.execute("begin")
        if _exists(cursor, database):
            _run(cursor, "alter database {} rename to {}", database, kept)
        _run(cursor, "alter database {} rename to {}", incoming, database)
        cursor.execute("commit")
        return round(time.monotonic() - began, 3)


@contextmanager
def _sessions_ended(server: Server, database: str) -> Iterator[None]:
    """End the database's sessions while the block runs: a rename gives them five seconds (CountOtherDBBackends)."""
    done = threading.Event()
    with maintenance(server) as cursor:

        def end() -> None:
            while not done.is_set():
                cursor.execute(END_SESSIONS, (database,))
                done.wait(TERMINATE_EVERY)

        ending = threading.Thread(target=end, daemon=True)
        ending.start()
        try:
            yield
        finally:
            done.set()
            ending.join()


def kept_databases(cursor: Any, database: str) -> list[str]:
    """Those that served before, oldest first."""
    cursor.execute(KEPT, (kept_name(database, ""),))
    return [name for (name,) in cursor.fetchall()]


def existing(cursor: Any, *databases: str) -> set[str]:
    cursor.execute(DATABASES, ([*databases],))
    return {name for (name,) in cursor.fetchall()}


@contextmanager
def maintenance(server: Server) -> Iterator[Any]:
    """A superuser's cursor, each statement of which is a transaction of its own unless one is begun."""
    with session(server, MAINTENANCE_DATABASE) as cursor:
        yield cursor


@contextmanager
def session(server: Server, database: str) -> Iterator[Any]:
    with (
        connection(server.socket_folder, database, server.admin, server.password) as connected,
        connected.cursor() as cursor,
    ):
        yield cursor


def drop(cursor: Any, database: str) -> None:
    """With whatever session is left in it (PostgreSQL's manual, DROP DATABASE, FORCE)."""
    _run(cursor, "drop database if exists {} with (force)", database)


def _exists(cursor: Any, database: str) -> bool:
    return bool(existing(cursor, database))


def _run(cursor: Any, statement: str, *names: str) -> None:
    cursor.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))
