"""Run a release's migration: once, from its own image, alone, and never waiting for a lock without end.

PostgreSQL's manual: advisory locks in section 13.3.5, the timeouts in section 20.11. A session's advisory lock goes
with its session, so a killed deploy does not keep it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from . import engine
from .database_apply import ADVISORY_LOCK, LEDGER
from .errors import PlatformError
from .excerpts import hidden, last_lines, one_line
from .schema_plan import MigrationSpec, SchemaState, plan_schema
from .service_spec import LABEL_PREFIX, ServiceSpec

try:
    import psycopg2
except ImportError:  # said as a sentence by those who connect
    psycopg2 = None  # type: ignore[assignment]

POLL_SECONDS = 0.2
UNDEFINED_TABLE = "42P01"  # PostgreSQL's manual, appendix A
SESSION_NAME = "erni-migration"
PLATFORM_LABEL = f"{LABEL_PREFIX}platform"
NOTHING_SWITCHED = "Nothing was switched: the release that served still serves."

# The ledger's row about a migration that runs, or that was killed: its digest is that of the structure before.
BEGUN = "migration begun"
LATEST = f"select digest from {LEDGER} where name <> %s order by applied_at desc limit 1"  # noqa: S608 (constants)
ENTRY = f"select digest from {LEDGER} where name = %s"  # noqa: S608 (likewise)
BEGIN = f"insert into {LEDGER} (name, digest) values (%s, %s) on conflict do nothing"  # noqa: S608 (likewise)
END = f"delete from {LEDGER} where name = %s"  # noqa: S608 (likewise)
RECORD = f"""
    insert into {LEDGER} (name, digest) values (%s, %s)
        on conflict (name) do update set digest = excluded.digest, applied_at = now()
"""  # noqa: S608 (likewise)

# A lock's 64 bits are shown in two halves (view pg_locks, PostgreSQL's manual, section 54.12).
HOLDER = """
    select a.pid, coalesce(nullif(a.application_name, ''), 'without a name')
      from pg_locks l join pg_stat_activity a on a.pid = l.pid
     where l.locktype = 'advisory' and l.granted and l.objsubid = 1
       and (l.classid::bigint << 32 | l.objid::bigint) = %s
       and l.database = (select oid from pg_database where datname = current_database())
"""
# Ended, and waited for until they are gone, in milliseconds.
END_SESSIONS = """
    select pg_terminate_backend(pid, 5000) from pg_stat_activity
     where application_name = %s and datname = current_database()
"""
# What the database is made of, without its data, the extensions' parts and this platform's own ledger.
STRUCTURE = """
    with own as (
        select c.oid, c.relname, c.relkind, n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname not in ('pg_catalog', 'information_schema', 'erni_operations') and n.nspname !~ '^pg_t'
           and c.relkind in ('r', 'p', 'v', 'm', 'S')
           and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
    ), part(line) as (
        select format('column %s.%s %s %s %s %s %s', nspname, relname, relkind, attname,
                      format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid))
          from own join pg_attribute on attrelid = own.oid and attnum > 0 and not attisdropped
               left join pg_attrdef on adrelid = own.oid and adnum = attnum
        union all select format('constraint %s.%s %s', nspname, relname, pg_get_constraintdef(k.oid))
          from own join pg_constraint k on k.conrelid = own.oid
        union all select pg_get_indexdef(indexrelid) from own join pg_index on indrelid = own.oid
        union all select pg_get_viewdef(oid) from own where relkind in ('v', 'm')
        union all select pg_get_triggerdef(t.oid) from own join pg_trigger t on tgrelid = own.oid and not tgisinternal
        union all select format('function %s.%s %s', nspname, p.oid::regprocedure, md5(prosrc))
          from pg_proc p join pg_namespace n on n.oid = pronamespace
         where nspname not in ('pg_catalog', 'information_schema', 'erni_operations')
           and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
        union all select format('value %s %s', enumtypid::regtype, enumlabel) from pg_enum
    )
    select encode(sha256(convert_to(coalesce(string_agg(line, chr(10) order by line collate "C"), ''), 'UTF8')), 'hex')
      from part
"""


@dataclass(frozen=True)
class Migrated:
    """What became of the schema. ``ran`` is False where nothing was left to do."""

    before: str
    after: str
    ran: bool = False
    seconds: float = 0.0


def migrate(client: Any, connected: Any, service: ServiceSpec, spec: MigrationSpec) -> Migrated:
    """Bring the schema to where the release wants it; nothing happens without a command, or the second time.

    :param connected: a superuser's autocommit connection to the application's database; its session holds the lock.
    :param service: the new backend as its container will be (``container_config``), image and secrets included.
    :raises PlatformError: when the lock is not free in time, or the command fails or takes too long.
    """
    if not spec.command:
        version = schema_version(connected, spec.version_query)
        return Migrated(version, version)
    with schema_lock(connected, spec.lock_wait):
        state = observe_schema(connected, spec)
        if not plan_schema(spec.command, state).changed:
            return Migrated(state.version, state.version)
        begin = time.monotonic()
        _ask(connected, BEGIN, BEGUN, _structure(connected))
        try:
            _run_alone(client, connected, service, spec)
        except PlatformError:
            with suppress(psycopg2.Error):  # the next run will find that one had begun
                _settle(connected, f"{spec.run_name} failed")
            raise
        _settle(connected, spec.run_name)
        after = schema_version(connected, spec.version_query)
        return Migrated(state.version, after, True, round(time.monotonic() - begin, 1))


def _settle(connected: Any, name: str) -> None:
    _ask(connected, RECORD, name, _ledger_version(connected))
    _ask(connected, END, BEGUN)


def observe_schema(connected: Any, spec: MigrationSpec) -> SchemaState:
    """For the plan, in check mode, too: it reads only."""
    version = schema_version(connected, spec.version_query)
    if not spec.command:
        return SchemaState(version)
    if not _has_ledger(connected):
        raise PlatformError(
            "The database has no ledger of its schema",
            f"the table {LEDGER} is missing",
            "Run make up, which makes it, and deploy again.",
        )
    return SchemaState(version, bool(_ask(connected, ENTRY, spec.run_name)))


def schema_version(connected: Any, query: str = "") -> str:
    """What the query says, or the ledger's latest entry; '' where there is no such table or row yet."""
    if not query.strip():
        return _ledger_version(connected) if _has_ledger(connected) else ""
    try:
        _ask(connected, "begin read only")  # the query is the operator's: it may look, and no more
        rows = _ask(connected, query)
    except psycopg2.Error as error:
        if error.pgcode == UNDEFINED_TABLE:  # the first migration is still to make it
            return ""
        raise PlatformError(
            "The schema's version could not be read", one_line(str(error)), "Correct release_schema_version_query."
        ) from error
    finally:
        with suppress(psycopg2.Error):
            _ask(connected, "rollback")
    return "" if not rows or rows[0][0] is None else str(rows[0][0])


def _ledger_version(connected: Any) -> str:
    """The latest entry's digest, unless a migration that has begun has changed the structure since."""
    begun, latest = _ask(connected, ENTRY, BEGUN), _ask(connected, LATEST, BEGUN)
    if begun and begun[0][0] != (structure := _structure(connected)):
        return structure
    return str(latest[0][0]) if latest else ""


@contextmanager
def schema_lock(connected: Any, wait_seconds: float) -> Iterator[None]:
    """One schema change at a time on a database, from whatever host it comes.

    :raises PlatformError: naming the session that still holds it after ``wait_seconds``.
    """
    deadline = time.monotonic() + wait_seconds
    while not _ask(connected, "select pg_try_advisory_lock(%s)", ADVISORY_LOCK)[0][0]:
        if time.monotonic() >= deadline:
            holders = _ask(connected, HOLDER, ADVISORY_LOCK)
            told = " and ".join(f"session {pid} ({name}) holds it" for pid, name in holders)
            raise PlatformError(
                f"Another schema change still holds the lock after {wait_seconds:g} s",
                told or "its holder has just gone",
                f"{NOTHING_SWITCHED} Wait for it to end, or end it: "
                f"make psql QUERY='select pg_terminate_backend({holders[0][0] if holders else '…'})'.",
            )
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        with suppress(psycopg2.Error):  # the session is gone, and the lock with it
            _ask(connected, "select pg_advisory_unlock(%s)", ADVISORY_LOCK)


def _run_alone(client: Any, connected: Any, service: ServiceSpec, spec: MigrationSpec) -> None:
    """The command's container, and nothing of it afterwards: neither the container nor a session that still works."""
    name = f"{service.labels[PLATFORM_LABEL]}-migration"  # whatever the slot: a killed run's must be found
    _ask(connected, END_SESSIONS, SESSION_NAME)  # of a run that was killed: the lock is held, so nobody else's
    code, output = _run(client, migration_service(service, name, spec), name, spec.timeout)
    _ask(connected, END_SESSIONS, SESSION_NAME)
    if code == 0:
        return
    secrets = [*service.secret_values, *spec.hide]
    said, shown = last_lines(hidden(output, secrets)), hidden(spec.shown, secrets)
    ended = f"it ended with code {code}" if code is not None else f"it was ended after {spec.timeout:g} s"
    kept = "The schema is as it was."
    if _ask(connected, ENTRY, BEGUN)[0][0] != _structure(connected):
        kept = "What it changed before it failed stays."
    remedy = f"{NOTHING_SWITCHED} {kept} Mend the migration, and deploy again."
    if "lock timeout" in output:
        remedy += " A session held what it wanted to change: make psql QUERY='table pg_stat_activity' shows which."
    raise PlatformError(
        f"The migration `{shown}` failed", f"{ended}; " + (f"it says:\n{said}" if said else "it said nothing"), remedy
    )


def migration_service(service: ServiceSpec, name: str, spec: MigrationSpec) -> ServiceSpec:
    """The backend's environment, networks, volumes and limits; neither its names and addresses nor its ports."""
    options = {
        "lock_timeout": f"{spec.lock_timeout}s",
        "statement_timeout": f"{spec.statement_timeout}s",
        "client_connection_check_interval": "1s",  # of a killed client the server would learn late
    }
    session = {"PGAPPNAME": SESSION_NAME, "PGOPTIONS": " ".join(f"-c {key}={value}" for key, value in options.items())}
    return replace(
        service,
        name="migration",
        container=name,
        command=spec.command,
        environment={**service.environment, **session},
        labels={PLATFORM_LABEL: service.labels[PLATFORM_LABEL], f"{LABEL_PREFIX}service": "migration"},
        networks=tuple(replace(network, address="", aliases=()) for network in service.networks),
        ports={},
    )


def _run(client: Any, service: ServiceSpec, name: str, timeout: float) -> tuple[int | None, str]:
    """Exit code (None when its time was up) and last lines; the container is removed whatever happens."""
    config = engine.container_config(service)
    config["Healthcheck"] = {"Test": ["NONE"]}
    config["HostConfig"]["RestartPolicy"] = {"Name": "no"}
    what = "The container of the migration could not be run"
    with engine.explained(what), _removed_at_both_ends(client, name):
        client.create_container_from_config(config, name)
        for network in service.networks[1:]:
            engine.attach(client, service, network.name)
        client.start(name)
        code = _wait(client, name, timeout)
        return code, client.logs(name, tail=engine.LOG_EXCERPT_LINES).decode(errors="replace").strip()


@contextmanager
def _removed_at_both_ends(client: Any, name: str) -> Iterator[None]:
    """Before, because a killed run leaves its container."""
    engine.remove_if_present(client, name)
    try:
        yield
    finally:
        engine.remove_if_present(client, name)


def _wait(client: Any, name: str, timeout: float) -> int | None:
    deadline = time.monotonic() + timeout
    while (state := client.inspect_container(name)["State"])["Running"]:
        if time.monotonic() > deadline:
            return None
        time.sleep(POLL_SECONDS)
    return int(state["ExitCode"])


def _has_ledger(connected: Any) -> bool:
    return bool(_ask(connected, "select to_regclass(%s) is not null", LEDGER)[0][0])


def _structure(connected: Any) -> str:
    return str(_ask(connected, STRUCTURE)[0][0])[:12]


def _ask(connected: Any, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connected.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return list(cursor.fetchall()) if cursor.description else []
