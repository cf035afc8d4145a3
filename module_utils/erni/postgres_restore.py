"""Restore a dump beside the database that serves, compare it, and swap the two by their names in one transaction.

Nothing is written to the database that serves. It stays under another name until it is dropped, so that one more swap
brings it back.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from .at_once import at_once, meanwhile
from .database_apply import MAINTENANCE_DATABASE, connection
from .dump_files import SMALLEST
from .dump_reading import TAKE_ANOTHER
from .errors import PlatformError
from .postgres_dump import Server, database_size
from .postgres_facts import DatabaseFacts, count_rows, database_facts, differences, stored_tables
from .postgres_fingerprint import fingerprint
from .postgres_roles import give_settings
from .progress import Progress, polled
from .restore_record import BEFORE

try:
    from psycopg2 import sql
except ImportError:  # said as a sentence by those who connect
    sql = None  # type: ignore[assignment]

RESTORE_SECONDS = 24 * 3600.0
SCRATCH_SUFFIX = "_restored"
UNKNOWN = -1
LIVE_UNTOUCHED = "The database that serves was not touched."
OTHER_SET = f"{LIVE_UNTOUCHED} {TAKE_ANOTHER}"

DATABASES = "select datname from pg_database where datname = any(%s)"
KEPT = "select datname from pg_database where starts_with(datname, %s) order by 1"
END_SESSIONS = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = %s"
TERMINATE_EVERY = 0.02  # seconds
# What has statistics (PostgreSQL's manual, ANALYZE), the system's own included, without some.
ANALYZED = """
    select format('%%I.%%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'm') and c.relpersistence <> 't'
       and format('%%I.%%I', n.nspname, c.relname) <> all(%s)
"""
# Whoever restores waits for no commit to reach the disk: what a crash takes away is dropped and restored again.
NO_WAIT = "synchronous_commit=off"
LOADING, LOADING_HERE = f"-c {NO_WAIT}", f"set {NO_WAIT}"  # for a program, and for a session of this one


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
        _analyze(server, scratch, cursor)
    with session(server, scratch) as cursor:  # the counters are complete once a session has ended
        return fingerprint(cursor)


def _analyze(server: Server, scratch: str, cursor: Any) -> None:
    """All that ``analyze`` alone would, and large tables at once."""
    tables = sorted(stored_tables(cursor), key=lambda table: -table.size)
    large = [table.name for table in tables if table.size >= SMALLEST]
    cursor.execute(ANALYZED, (large,))
    others = ", ".join(name for (name,) in cursor.fetchall())

    def analyze(names: str) -> None:
        with session(server, scratch) as own:
            own.execute(f"analyze {names}")

    at_once([partial(analyze, names) for names in (*large, others)], os.cpu_count() or 1, lambda: None)


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
    with repeated(server, MAINTENANCE_DATABASE, END_SESSIONS, TERMINATE_EVERY, database):
        yield


@contextmanager
def repeated(server: Server, database: str, statement: str, every: float, *values: str) -> Iterator[None]:
    """Run a statement again and again while the block runs, in a session of its own. What is wrong with the server, the
    block hears itself.

    :param every: seconds from one's end to the next.
    """
    with session(server, database) as cursor:

        def repeat(ended: threading.Event) -> None:
            while not ended.is_set():
                cursor.execute(statement, values)
                ended.wait(every)

        with meanwhile(repeat):
            yield


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
