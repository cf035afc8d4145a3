"""Restore a dump beside the database that serves, compare it, and swap the two by their names in one transaction.

Nothing is written to the database that serves. It stays under another name until it is dropped, so that one more swap
brings it back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .database_apply import MAINTENANCE_DATABASE, connection
from .errors import PlatformError
from .pipeline import Program, pour_file
from .postgres_dump import Server
from .postgres_facts import DatabaseFacts, count_rows, database_facts, differences
from .scratch_container import EXCHANGE, running

try:
    from psycopg2 import sql
except ImportError:  # said as a sentence by those who connect
    sql = None  # type: ignore[assignment]

RESTORE_SECONDS = 24 * 3600.0
SCRATCH_SUFFIX, KEPT_SUFFIX = "_restored", "_before_"
LIVE_UNTOUCHED = "The database that serves was not touched."

ROLES = "select rolname from pg_roles where rolname = any(%s)"
DATABASES = "select datname from pg_database where datname = any(%s)"
KEPT = "select datname from pg_database where datname like %s order by 1"
SESSIONS = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()"


@dataclass(frozen=True)
class Swapped:
    """``kept`` is the name of the database that served before ('' where there was none); ``seconds`` without one."""

    kept: str
    seconds: float


def scratch_name(database: str) -> str:
    """One name for all attempts: whatever a killed one left is found, and goes with the next."""
    return f"{database}{SCRATCH_SUFFIX}"


def restore_beside(
    client: Any, server: Server, facts: DatabaseFacts, dump: str, programs: Sequence[Program], exchange: str, jobs: int
) -> DatabaseFacts:
    """The dump as a database beside the one that serves, compared with what it held, and ready to serve.

    :param programs: what makes pg_restore's input of the file.
    :raises PlatformError: when anything of it is not as it was; nothing is left of it then.
    """
    scratch = scratch_name(facts.name)
    with maintenance(server) as cursor:
        drop(cursor, scratch)
        _require_roles(cursor, facts)
        _create(cursor, scratch, facts)
    try:
        _load(client, server, scratch, dump, programs, exchange, jobs)
        return _proven(server, scratch, facts)
    except BaseException:
        with maintenance(server) as cursor:
            drop(cursor, scratch)
        raise


def swap(server: Server, database: str, stamp: str) -> Swapped:
    """The scratch database takes the name, and the one that had it is kept. One transaction: there is always one of it.

    :param stamp: tells the kept one apart from earlier ones.
    """
    scratch, kept = scratch_name(database), f"{database}{KEPT_SUFFIX}{stamp}"
    with maintenance(server) as cursor:
        began = time.monotonic()
        there = _exists(cursor, database)
        for name in (database, scratch) if there else (scratch,):
            _run(cursor, "alter database {} with allow_connections false", name)
            cursor.execute(SESSIONS, (name,))
        try:
            cursor.execute("begin")
            if there:
                _run(cursor, "alter database {} rename to {}", database, kept)
            _run(cursor, "alter database {} rename to {}", scratch, database)
            cursor.execute("commit")
        except BaseException:
            cursor.execute("rollback")
            if there:
                _run(cursor, "alter database {} with allow_connections true", database)
            raise
        _run(cursor, "alter database {} with allow_connections true", database)
        return Swapped(kept if there else "", round(time.monotonic() - began, 3))


def kept_databases(cursor: Any, database: str) -> list[str]:
    """Those that served before, oldest first."""
    cursor.execute(KEPT, (database.replace("_", r"\_") + KEPT_SUFFIX.replace("_", r"\_") + "%",))
    return [name for (name,) in cursor.fetchall()]


@contextmanager
def maintenance(server: Server) -> Iterator[Any]:
    """A superuser's cursor, each statement of which is a transaction of its own unless one is begun."""
    with (
        connection(server.socket_folder, MAINTENANCE_DATABASE, server.admin, server.password) as connected,
        connected.cursor() as cursor,
    ):
        yield cursor


def drop(cursor: Any, database: str) -> None:
    """With whatever session is left in it (PostgreSQL's manual, DROP DATABASE, FORCE)."""
    if _exists(cursor, database):
        _run(cursor, "drop database {} with (force)", database)


def _exists(cursor: Any, database: str) -> bool:
    cursor.execute(DATABASES, ([database],))
    return bool(cursor.fetchall())


def _require_roles(cursor: Any, facts: DatabaseFacts) -> None:
    wanted = sorted({facts.owner, *(role for role in facts.settings if role)})
    cursor.execute(ROLES, (wanted,))
    missing = sorted(set(wanted) - {name for (name,) in cursor.fetchall()})
    if missing:
        raise PlatformError(
            f"The roles {', '.join(missing)} do not exist in this cluster",
            "the set's database belongs to them",
            f"{LIVE_UNTOUCHED} Run make up, which makes the platform's roles.",
        )


def _create(cursor: Any, name: str, facts: DatabaseFacts) -> None:
    statement = "create database {} owner {} template template0 encoding {} lc_collate {} lc_ctype {}"
    literals = (facts.encoding, facts.collate, facts.ctype)
    cursor.execute(
        sql.SQL(statement).format(
            sql.Identifier(name), sql.Identifier(facts.owner), *(sql.Literal(value) for value in literals)
        )
    )


def _load(
    client: Any, server: Server, scratch: str, dump: str, programs: Sequence[Program], exchange: str, jobs: int
) -> None:
    """pg_restore reads the file in several places at once, so that it has to lie there as a whole."""
    plain = os.path.join(exchange, "plain.dump")
    pour_file(dump, programs, plain)
    os.chown(plain, server.uid, server.gid)
    command = ("pg_restore", "--exit-on-error", f"--jobs={jobs}", f"--dbname={scratch}", *server.access())
    what = f"{dump} could not be restored"
    try:
        with running(client, server.job("restore", (*command, f"{EXCHANGE}/plain.dump"), exchange)) as job:
            job.succeed(what, LIVE_UNTOUCHED, RESTORE_SECONDS)
    finally:
        os.unlink(plain)


def _proven(server: Server, scratch: str, facts: DatabaseFacts) -> DatabaseFacts:
    """Compared by its rows, given the settings and grants that are the database's own, and analyzed."""
    with (
        connection(server.socket_folder, scratch, server.admin, server.password) as connected,
        connected.cursor() as cursor,
    ):
        found = count_rows(cursor)
        if wrong := differences(facts.rows, found):
            raise PlatformError(
                "What was restored is not what the set says that it held",
                "; ".join(wrong[:5]),
                f"{LIVE_UNTOUCHED} Take another set; make backups lists them.",
            )
        _give_settings(cursor, scratch, facts)
        cursor.execute("analyze")
        return database_facts(cursor, facts.name)


def _give_settings(cursor: Any, database: str, facts: DatabaseFacts) -> None:
    """What pg_dump leaves to those who make the database. The list is PostgreSQL's own, taken over as it is."""
    _run(cursor, f"alter database {{}} connection limit {int(facts.connection_limit)}", database)
    if facts.grants:
        cursor.execute(
            "update pg_database set datacl = %s::aclitem[] where datname = %s", (list(facts.grants), database)
        )
    for role, entries in facts.settings.items():
        for entry in entries:
            name, _, value = entry.partition("=")
            of_role = sql.SQL("alter role {} in database {}").format(sql.Identifier(role), sql.Identifier(database))
            of_all = sql.SQL("alter database {}").format(sql.Identifier(database))
            cursor.execute(
                sql.SQL("{} set {} to {}").format(of_role if role else of_all, sql.Identifier(name), sql.Literal(value))
            )


def _run(cursor: Any, statement: str, *names: str) -> None:
    cursor.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))
