"""Observe and change roles, database, extensions and schema over the server's Unix socket."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import scram
from .database_plan import DatabaseSpec, DatabaseState, RoleState
from .errors import PlatformError
from .planning import Plan

try:
    import psycopg2
    from psycopg2 import sql
except ImportError:
    psycopg2 = None  # type: ignore[assignment]

ADVISORY_LOCK = 0x45524E49  # "ERNI": one schema change at a time, from wherever it comes
LOCK_TIMEOUT = "10s"
MAINTENANCE_DATABASE = "postgres"
LEDGER = "erni_operations.schema_ledger"

RECORDED = f"select digest from {LEDGER} where name = %s"  # noqa: S608 (a constant of this file)
RECORD = f"insert into {LEDGER} (name, digest, adopted) values (%s, %s, %s)"  # noqa: S608 (likewise)
ROLES = """
    select a.rolname, a.rolcanlogin, a.rolpassword,
           array(select o.rolname::text
                   from pg_auth_members m join pg_roles o on o.oid = m.roleid
                  where m.member = a.oid),
           coalesce((select split_part(entry, '=', 2)
                       from pg_db_role_setting s, unnest(s.setconfig) entry
                      where s.setrole = a.oid and s.setdatabase = 0 and entry like 'role=%%'), ''),
           (select count(*) from pg_stat_activity s where s.usesysid = a.oid)
      from pg_authid a
     where a.rolname = any(%s)
"""
USER_TABLES = """
    select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'public' and c.relkind in ('r', 'p')
       and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
"""


# What a server answers, or the system in its place, that will accept sessions soon; the last two after a crash.
STARTING = ("No such file", "refused", "starting up", "not yet accepting connections", "in recovery mode")


@contextmanager
def connection(socket_folder: str, database: str, user: str, password: str, wait_seconds: int = 30) -> Iterator[Any]:
    """An autocommit connection over the Unix socket in ``socket_folder``."""
    if psycopg2 is None:
        raise PlatformError(
            "psycopg2 is missing on this host",
            "the interpreter that runs the modules cannot import it",
            "Run make up, which installs it, or install python3-psycopg2.",
        )
    connected = _connect(socket_folder, database, user, password, wait_seconds)
    try:
        connected.autocommit = True
        yield connected
    except psycopg2.Error as error:
        raise PlatformError(
            f"PostgreSQL refused a statement in database {database}",
            _first_line(error),
            "What was done before stays; correct the cause and run make up again.",
        ) from error
    finally:
        connected.close()


def _connect(socket_folder: str, database: str, user: str, password: str, wait_seconds: int) -> Any:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return psycopg2.connect(
                host=socket_folder, dbname=database, user=user, password=password, application_name="erni-operations"
            )
        except psycopg2.OperationalError as error:
            if not any(said in str(error) for said in STARTING) or time.monotonic() > deadline:
                raise PlatformError(
                    f"PostgreSQL does not accept {user} on the socket in {socket_folder}",
                    _first_line(error),
                    "Look at make logs SERVICE=postgres; a refused password means that the vault and the server "
                    "do not agree.",
                ) from error
            time.sleep(0.3)


def _first_line(error: Exception) -> str:
    """PostgreSQL's own sentence, without the position and hints below it."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def observe_cluster(connected: Any, spec: DatabaseSpec) -> DatabaseState:
    """Roles and database, as seen from the maintenance database."""
    names = [spec.owner, *(login.name for login in spec.logins)]
    roles = {
        row[0]: RoleState(row[1], row[2], frozenset(row[3]), row[4].strip('"'), row[5])
        for row in _rows(connected, ROLES, names)
    }
    owner = _rows(connected, "select pg_get_userbyid(datdba) from pg_database where datname = %s", spec.name)
    return DatabaseState(roles=roles, database_owner=owner[0][0] if owner else "")


def observe_database(connected: Any, spec: DatabaseSpec, cluster: DatabaseState) -> DatabaseState:
    """The cluster's state completed by what only a session in the database sees."""
    has_ledger = _rows(connected, "select to_regclass(%s) is not null", LEDGER)[0][0]
    recorded = _rows(connected, RECORDED, spec.schema_name) if has_ledger else []
    return DatabaseState(
        roles=cluster.roles,
        database_owner=cluster.database_owner,
        extensions=frozenset(row[0] for row in _rows(connected, "select extname from pg_extension")),
        has_ledger=has_ledger,
        schema_digest=recorded[0][0] if recorded else "",
        tables=_rows(connected, USER_TABLES)[0][0],
    )


def _rows(connected: Any, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connected.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


class DatabaseChange:
    """One method per action kind of ``database_plan``."""

    def __init__(self, spec: DatabaseSpec, schema: str, maintenance: Any, open_database: Any) -> None:
        """:param open_database: opens a connection to the application's database (a context manager)."""
        self.spec, self.schema = spec, schema
        self.maintenance, self.open_database = maintenance, open_database
        self.passwords = {login.name: login.password for login in spec.logins}

    def run(self, plan: Plan) -> None:
        for action in plan.actions:
            getattr(self, action.kind)(action.subject)

    def create_owner(self, role: str) -> None:
        self._execute("create role {} nologin", role)

    def create_login(self, role: str) -> None:
        self._execute("create role {} nologin", role)

    def join_owner(self, role: str) -> None:
        self._execute("grant {} to {}", self.spec.owner, role)

    def set_role(self, role: str) -> None:
        self._execute("alter role {} set role to {}", role, self.spec.owner)

    def forbid_login(self, role: str) -> None:
        self._execute("alter role {} nologin", role)

    def retire_login(self, role: str) -> None:
        self._execute("alter role {} nologin password null", role)

    def end_sessions(self, role: str) -> None:
        with self.maintenance.cursor() as cursor:
            cursor.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", (role,))

    def set_password(self, role: str) -> None:
        """Send the verifier, so that a server that logs statements logs no password."""
        statement = sql.SQL("alter role {} login password {}").format(
            sql.Identifier(role), sql.Literal(scram.verifier(self.passwords[role]))
        )
        with self.maintenance.cursor() as cursor:
            cursor.execute(statement)

    def create_database(self, name: str) -> None:
        self._execute("create database {} owner {}", name, self.spec.owner)
        self._execute("revoke connect, temporary on database {} from public", name)

    def own_database(self, name: str) -> None:
        self._execute("alter database {} owner to {}", name, self.spec.owner)

    def create_extension(self, name: str) -> None:
        with self.open_database() as connected, connected.cursor() as cursor:
            cursor.execute(sql.SQL("create extension if not exists {}").format(sql.Identifier(name)))

    def create_ledger(self, _database: str) -> None:
        with self.open_database() as connected, connected.cursor() as cursor:
            cursor.execute("create schema if not exists erni_operations")
            cursor.execute(
                f"create table if not exists {LEDGER} (name text primary key, digest text not null, "
                "applied_at timestamptz not null default now(), adopted boolean not null default false)"
            )

    def apply_schema(self, name: str) -> None:
        """The whole file and its ledger entry in one transaction: both or neither."""
        with self.open_database() as connected:
            connected.autocommit = False
            with connected, connected.cursor() as cursor:
                cursor.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
                cursor.execute("select pg_advisory_xact_lock(%s)", (ADVISORY_LOCK,))
                cursor.execute(sql.SQL("set local role {}").format(sql.Identifier(self.spec.owner)))
                cursor.execute(self.schema)
                cursor.execute("reset role")
                self._record(cursor, name, adopted=False)

    def adopt_schema(self, name: str) -> None:
        with self.open_database() as connected, connected.cursor() as cursor:
            self._record(cursor, name, adopted=True)

    def _record(self, cursor: Any, name: str, *, adopted: bool) -> None:
        cursor.execute(RECORD, (name, self.spec.schema_digest, adopted))

    def _execute(self, template: str, *names: str) -> None:
        with self.maintenance.cursor() as cursor:
            cursor.execute(sql.SQL(template).format(*(sql.Identifier(name) for name in names)))
