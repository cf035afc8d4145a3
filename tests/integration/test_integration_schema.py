"""Schema migrations against a real server: once, alone, in time, and never in the way of others."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.erni import engine
from ansible.module_utils.erni.database_plan import DatabaseSpec
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.schema_apply import BEGUN, Migrated, migrate, schema_version
from ansible.module_utils.erni.schema_plan import MigrationSpec
from ansible.module_utils.erni.service_arguments import validated
from ansible.module_utils.erni.service_spec import ServiceSpec, from_params
from postgres_server import Server

LEDGER = "select name from erni_operations.schema_ledger order by name"


class KilledError(BaseException):
    """Not an Exception, so that nothing is undone: as SIGKILL would have it."""


class DyingClient:
    """The engine's client of a process that is killed once its migration has started."""

    def __init__(self, client: Any) -> None:
        self._client, self._started = client, False

    def __getattr__(self, name: str) -> Any:
        if self._started:
            raise KilledError
        return getattr(self._client, name)

    def start(self, container: str) -> None:
        self._client.start(container)
        self._started = True


class Application:
    """A backend whose migrations are psql's statements, and the database that they change."""

    def __init__(self, client: Any, server: Server, spec: DatabaseSpec, service: ServiceSpec) -> None:
        self.client, self.server, self.database, self.service = client, server, spec.name, service

    @property
    def container(self) -> str:
        return f"{self.service.labels['ch.erni.platform']}-migration"

    def migrate(self, *statements: str, client: Any = None, **changes: Any) -> Migrated:
        command = ["psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", *(f"--command={text}" for text in statements)]
        spec = MigrationSpec(tuple(command), "sha256:of-this-image", **{"timeout": 20, "lock_wait": 5, **changes})
        with self.server.as_admin(self.database) as connected:
            return migrate(client or self.client, connected, self.service, spec)

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        return self.server.ask(statement, self.database)

    @property
    def version(self) -> str:
        with self.server.as_admin(self.database) as connected:
            return schema_version(connected)

    @contextmanager
    def session(self, *statements: str) -> Iterator[int]:
        """Another session, with a transaction open in which the statements have run; its pid."""
        with self.server.as_admin(self.database) as connected, connected.cursor() as cursor:
            cursor.execute("set application_name = 'somebody else'")
            for statement in ("begin", *statements, "select pg_backend_pid()"):
                cursor.execute(statement)
            yield cursor.fetchone()[0]

    def nothing_left(self) -> bool:
        """Neither the container nor a session of a migration, nor a lock that anybody waits for."""
        sessions = self.ask("select pid from pg_stat_activity where application_name = 'erni-migration'")
        waiting = self.ask("select pid from pg_locks where not granted")
        return not sessions and not waiting and engine.observe_container(self.client, self.container, {}) is None


@pytest.fixture(scope="module")
def network(client: Any, server: Server) -> Iterator[str]:
    """Where a migration reaches the server by the name that the backend knows."""
    name = f"erni-test-{secrets.token_hex(4)}"
    client.create_network(name, driver="bridge", labels={"ch.erni.test": "1"})
    client.connect_container_to_network(server.container, name, aliases=["postgres"])
    yield name
    client.disconnect_container_from_network(server.container, name, force=True)
    client.remove_network(name)


@pytest.fixture
def application(
    client: Any, server: Server, spec: DatabaseSpec, network: str, image_of: Callable[[str], str]
) -> Application:
    server.converge(spec)
    login = spec.logins[0]
    mapping = {
        "name": "backend",
        "image": image_of("postgres"),
        "user": "999:999",
        "environment": {"PGHOST": "postgres", "PGDATABASE": spec.name, "PGUSER": login.name},
        "secret_environment": {"PGPASSWORD": login.password},
        "networks": [{"name": network, "aliases": ["backend"]}],
        "health": {"command": ["true"]},
        "limits": {"memory": "64m", "cpus": 1, "pids": 32},
    }
    return Application(client, server, spec, from_params(f"erni-test-{secrets.token_hex(4)}", validated(mapping)))


def test_a_migration_runs_once_and_a_second_time_changes_nothing(application: Application, spec: DatabaseSpec) -> None:
    before = application.version
    statements = ("create table if not exists made (n int)", "insert into made values (1)")

    first = application.migrate(*statements)
    application.ask("alter role postgres set default_transaction_read_only = on")
    second = application.migrate(*statements)

    assert (first.ran, first.before, first.after) == (True, before, application.version)
    assert first.after != before
    assert second == Migrated(first.after, first.after)
    assert application.ask("select n from made") == [(1,)]
    assert application.ask("select tableowner from pg_tables where tablename = 'made'") == [(spec.owner,)]
    assert application.nothing_left()


def test_a_migration_that_changes_no_structure_leaves_the_version(application: Application) -> None:
    before = application.version
    done = application.migrate("update messages set content = content")
    assert (done.ran, done.after, application.version) == (True, before, before)


def test_each_change_of_the_structure_is_another_version(
    application: Application,
) -> None:
    versions = [application.version]
    for statement in (
        "create table made (n int not null)",
        "alter table made add column name text default 'x'",
        "create index made_name on made (name)",
        "alter table made add constraint positive check (n > 0)",
        "create view seen as select n from made",
    ):
        application.migrate(statement)
        versions.append(application.version)
    assert len(set(versions)) == len(versions)


def test_the_operators_query_tells_the_version(application: Application) -> None:
    query = "select max(n) from versions"
    done = application.migrate("create table versions as select 7 as n", version_query=query)
    assert (done.before, done.after) == ("", "7")
    with pytest.raises(PlatformError, match="read-only transaction"):
        application.migrate("select 1", version_query="insert into versions values (8) returning n")
    assert application.nothing_left()


def test_the_session_of_a_migration_has_its_timeouts(application: Application) -> None:
    application.migrate(
        "create table seen as select name, setting from pg_settings",
        lock_timeout=3,
        statement_timeout=9,
    )
    told = dict(application.ask("select * from seen where name in ('lock_timeout', 'statement_timeout')"))
    assert told == {"lock_timeout": "3000", "statement_timeout": "9000"}


def test_a_failing_migration_says_its_last_words_without_secrets_and_can_be_mended(
    application: Application, spec: DatabaseSpec
) -> None:
    password, before = spec.logins[0].password, application.version

    with pytest.raises(PlatformError) as failure:
        application.migrate(f"select '{password}'", "create table half (n int)", "create table broken (n no_such_type)")

    said = str(failure.value)
    assert 'ERROR:  type "no_such_type" does not exist' in said
    assert password not in said
    assert "(secret)" in said
    assert "What it changed before it failed stays" in said
    assert application.version != before, "a rollback must see that the schema has moved"
    assert application.nothing_left()

    assert application.migrate("create table if not exists half (n int)").ran


def test_a_failing_migration_that_took_itself_back_leaves_the_schema_as_it_was(application: Application) -> None:
    before = application.version
    with pytest.raises(PlatformError, match="The schema is as it was"):
        application.migrate("begin; create table half (n int); create table broken (n no_such_type); commit")
    assert application.version == before
    assert application.nothing_left()


def test_a_lock_that_another_session_holds_is_waited_for_in_vain_and_leaves_nothing(application: Application) -> None:
    ledger = application.ask(LEDGER)
    with application.session("select pg_advisory_lock(x'45524e49'::int)") as pid:
        begin = time.monotonic()
        with pytest.raises(PlatformError, match=rf"after 1 s: session {pid} \(somebody else\) holds it"):
            application.migrate("create table made (n int)", lock_wait=1)
        assert 0.9 < time.monotonic() - begin < 4
    assert application.ask(LEDGER) == ledger
    assert application.nothing_left()
    assert application.ask("select to_regclass('made')") == [(None,)]
    assert application.migrate("create table made (n int)", lock_wait=0).ran, "the lock went with its session"


def test_a_migration_that_waits_for_a_table_gives_up_before_the_site_hangs(application: Application) -> None:
    with application.session("lock table messages in access share mode"):
        begin = time.monotonic()
        with pytest.raises(PlatformError, match="canceling statement due to lock timeout") as failure:
            application.migrate("alter table messages add column more text", lock_timeout=1)
        assert time.monotonic() - begin < 10
        assert "make psql QUERY=" in str(failure.value)
        assert application.ask("select count(*) from messages") == [(0,)], "nobody queues behind it"
        assert application.nothing_left()


def test_a_migration_that_takes_too_long_is_ended_with_its_session(application: Application) -> None:
    deaf = "set client_connection_check_interval = 0"  # the server alone would not notice that its client is gone
    with pytest.raises(PlatformError, match="it was ended after 1 s"):
        application.migrate(f"{deaf}; begin; create table half (n int); select pg_sleep(60); commit", timeout=1)
    assert application.nothing_left()
    assert application.ask("select to_regclass('half')") == [(None,)]


def test_a_killed_deploy_is_seen_and_the_next_one_finishes(application: Application) -> None:
    before, statement = application.version, "create table if not exists made (n int)"

    with pytest.raises(KilledError):
        application.migrate(statement, client=DyingClient(application.client))
    application.client.wait(application.container)

    interrupted = application.version
    assert interrupted != before, "the orphan went on and changed the schema"
    done = application.migrate(statement)
    assert (done.ran, done.after) == (True, interrupted)
    assert application.nothing_left()
    assert (BEGUN,) not in application.ask(LEDGER)


def test_of_two_deploys_at_the_same_time_one_migrates(application: Application) -> None:
    statements = ("create table if not exists made (n int)", "insert into made values (1)", "select pg_sleep(1)")
    results: list[Migrated] = []
    deploys = [threading.Thread(target=lambda: results.append(application.migrate(*statements))) for _ in range(2)]
    for deploy in deploys:
        deploy.start()
    for deploy in deploys:
        deploy.join()
    assert sorted(result.ran for result in results) == [False, True]
    assert application.ask("select n from made") == [(1,)]


def test_an_image_that_is_not_there_is_a_sentence(application: Application) -> None:
    application.service = replace(application.service, image="erni/no-such-image:0")
    with pytest.raises(PlatformError, match="The container of the migration could not be run: No such image"):
        application.migrate("select 1")
    assert application.nothing_left()
