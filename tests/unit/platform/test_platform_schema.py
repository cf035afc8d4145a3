"""When a schema is migrated, in which container, and when a release may go back in spite of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import psycopg2
import pytest
from ansible.module_utils.erni import engine, schema_apply
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.schema_apply import Migrated, migrate, migration_service, schema_version
from ansible.module_utils.erni.schema_plan import MigrationSpec, SchemaState, plan_schema, rollback_allowed
from ansible.module_utils.erni.service_spec import NetworkAttachment
from platform_builders import SECRET, service
from requests.exceptions import ConnectionError as EngineGoneError

COMMAND = ("alembic", "upgrade", "head")
SPEC = MigrationSpec(COMMAND, "sha256:1111", timeout=5, lock_wait=0)


@pytest.mark.parametrize(
    ("command", "state", "kinds"),
    [
        ((), SchemaState(), []),
        ((), SchemaState("v1"), []),
        (COMMAND, SchemaState("v1"), ["migrate"]),
        (COMMAND, SchemaState(), ["migrate"]),
        (COMMAND, SchemaState("v2", done=True), []),
    ],
)
def test_a_migration_is_planned_once_and_only_where_there_is_a_command(
    command: tuple[str, ...], state: SchemaState, kinds: list[str]
) -> None:
    plan = plan_schema(command, state)
    assert plan.kinds == kinds
    assert len(plan.differences) == len(kinds)


def test_the_plan_shows_the_command_and_the_version_that_it_starts_from() -> None:
    plan = plan_schema(("sh", "-c", "a 'b'"), SchemaState("v1"))
    assert plan.sentences == [
        "the schema is changed by `sh -c 'a '\"'\"'b'\"'\"''`, run once from the new backend image"
    ]
    assert plan.diff("x")["before"] == {"schema": "v1"}


def test_the_same_command_from_another_image_is_another_migration() -> None:
    names = {
        SPEC.run_name,
        replace(SPEC, image_id="sha256:2222").run_name,
        replace(SPEC, command=("alembic", "upgrade head")).run_name,
        replace(SPEC, command=("alembic",)).run_name,
    }
    assert len(names) == 4
    assert replace(SPEC, timeout=1, version_query="select 1").run_name == SPEC.run_name


@pytest.mark.parametrize(
    ("current", "target", "supported", "allowed"),
    [
        ("v2", "v2", [], True),
        ("", "", [], True),
        ("v2", "v1", [], False),
        ("v2", "", [], False),
        ("", "v1", [], False),
        ("v2", "v1", ["v2"], True),
        ("v3", "v1", ["v2"], False),
        ("v3", "v1", ["v2", "*"], True),
    ],
)
def test_a_release_goes_back_only_to_a_schema_that_it_knows(
    current: str, target: str, supported: list[str], allowed: bool
) -> None:
    assert (rollback_allowed(current, target, supported) == "") is allowed


@pytest.mark.parametrize(
    ("backup", "way"),
    [("", "make restore of the backup taken before that deploy"), ("20260102", "make restore of the backup 20260102")],
)
def test_a_refused_rollback_names_the_way_back(backup: str, way: str) -> None:
    said = rollback_allowed("v2", "v1", [], backup)
    assert said.startswith("The schema is now 'v2', and the release to go back to was made for 'v1'")
    assert way in said
    assert "RESTORE_DB=1" in said
    assert "one that its manifest does not name" in rollback_allowed("v2", "", [])


def test_a_migration_has_the_backends_world_but_none_of_its_names() -> None:
    backend = replace(service(), labels={**service().labels, "ch.erni.slot": "green", "ch.erni.release": "abc"})
    config = engine.container_config(migration_service(backend, "erni-migration", SPEC))

    environment = dict(entry.split("=", 1) for entry in config["Env"])
    assert (environment["TOKEN"], environment["MODE"]) == (SECRET, "plain")
    assert environment["PGOPTIONS"] == (
        "-c lock_timeout=5s -c statement_timeout=300s -c client_connection_check_interval=1s"
    )
    assert (config["Image"], config["Cmd"]) == (backend.image, list(COMMAND))
    assert config["NetworkingConfig"] == {"EndpointsConfig": {"erni-edge": {"Aliases": []}}}
    assert config["Labels"] == {"ch.erni.platform": "erni", "ch.erni.service": "migration"}
    assert (config["ExposedPorts"], config["HostConfig"]["PortBindings"]) == ({}, {})
    assert config["HostConfig"]["Memory"] == backend.memory
    assert {mount["Target"] for mount in config["HostConfig"]["Mounts"]} == {"/data", "/etc/web"}


class Database:
    """Answers by what a statement holds, remembers what it was asked, and keeps the ledger's row of what has begun."""

    def __init__(self, answers: dict[str, Any] | None = None, begun: str = "") -> None:
        self.answers = {"to_regclass": [(True,)], "pg_try_advisory_lock": [(True,)], "with own": [("s" * 64,)]}
        self.answers |= answers or {}
        self.begun = [(begun,)] if begun else []
        self.asked: list[str] = []
        self.description = "columns"
        self._rows: list[Any] = []

    def cursor(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def execute(self, statement: str, parameters: Any) -> None:
        self.asked.append(statement if parameters is None else f"{statement} {parameters}")
        if statement == schema_apply.BEGIN:
            self.begun = self.begun or [(parameters[1],)]
        elif statement == schema_apply.END:
            self.begun = []
        answer = next((rows for part, rows in self.answers.items() if part in statement), [])
        if statement == schema_apply.ENTRY and parameters == (schema_apply.BEGUN,):
            answer = self.begun
        if isinstance(answer, Exception):
            raise answer
        self._rows = answer

    def fetchall(self) -> list[Any]:
        return self._rows

    def asked_for(self, part: str) -> int:
        return sum(part in statement for statement in self.asked)


class UndefinedTableError(psycopg2.Error):
    pgcode = "42P01"


@pytest.mark.parametrize(
    ("rows", "version"),
    [([("abc", 1)], "abc"), ([(17,)], "17"), ([], ""), ([(None,)], ""), (UndefinedTableError(), "")],
)
def test_a_version_is_the_first_value_of_the_operators_query(rows: Any, version: str) -> None:
    database = Database({"version_num": rows})
    assert schema_version(database, "select version_num from alembic_version where name like '%x'") == version
    assert database.asked[0] == "begin read only"
    assert database.asked[-1] == "rollback"


def test_a_query_that_fails_otherwise_is_named() -> None:
    database = Database({"wrong": psycopg2.Error("syntax error\nLINE 1: wrong")})
    with pytest.raises(PlatformError, match=r"syntax error LINE 1: wrong\. Correct release_schema_version_query"):
        schema_version(database, "wrong")
    assert database.asked[-1] == "rollback"


@pytest.mark.parametrize(
    ("latest", "begun", "version"),
    [
        ([("v1",)], "", "v1"),
        ([], "", ""),
        ([("v1",)], "s" * 12, "v1"),
        ([("v1",)], "another", "s" * 12),
    ],
)
def test_without_a_query_the_ledger_tells_the_version_and_a_killed_migration_shows(
    latest: list[Any], begun: str, version: str
) -> None:
    assert schema_version(Database({"order by applied_at": latest}, begun)) == version
    assert schema_version(Database({"to_regclass": [(False,)], "order by applied_at": [("v1",)]})) == ""


class Engine:
    """Runs containers to the exit code that it is given; ``None`` never ends. Told steps are remembered."""

    def __init__(self, code: int | None = 0, output: str = "", dies_at: str = "") -> None:
        self.code, self.output, self.dies_at = code, output, dies_at
        self.told: list[str] = []
        self.here: set[str] = set()

    def _step(self, step: str) -> None:
        self.told.append(step)
        if step.split(maxsplit=1)[0] == self.dies_at:
            raise EngineGoneError

    def create_container_from_config(self, _config: Any, name: str) -> dict[str, str]:
        self._step(f"create {name}")
        self.here.add(name)
        return {"Id": name}

    def connect_container_to_network(self, name: str, network: str, **rest: Any) -> None:
        assert (rest["ipv4_address"], rest["aliases"]) == (None, [])
        self._step(f"connect {name} {network}")

    def start(self, name: str) -> None:
        self._step(f"start {name}")

    def inspect_container(self, _name: str) -> dict[str, Any]:
        return {"State": {"Running": self.code is None, "ExitCode": self.code or 0}}

    def logs(self, _name: str, **_: Any) -> bytes:
        return self.output.encode()

    def remove_container(self, name: str, **_: Any) -> None:
        if name not in self.here:
            raise engine.docker_errors.NotFound("none")
        self.here.remove(name)
        self._step(f"remove {name}")


BACKEND = replace(
    service(),
    container="erni-backend-green",
    networks=(NetworkAttachment("erni-edge", "172.30.10.30", ("backend",)), NetworkAttachment("erni-data", "", ("b",))),
)
CONTAINER = "erni-migration"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_apply, "POLL_SECONDS", 0.01)


def test_without_a_command_nothing_is_locked_run_or_written() -> None:
    database, client = Database({"order by applied_at": [("v1",)]}), Engine()
    assert migrate(client, database, BACKEND, replace(SPEC, command=())) == Migrated("v1", "v1")
    assert client.told == []
    assert not database.asked_for("lock")
    assert not database.asked_for("insert")


def test_a_migration_runs_in_a_container_that_goes_on_all_the_backends_networks() -> None:
    database, client = Database(), Engine()
    assert migrate(client, database, BACKEND, SPEC).ran
    assert client.told == [
        f"create {CONTAINER}",
        f"connect {CONTAINER} erni-data",
        f"start {CONTAINER}",
        f"remove {CONTAINER}",
    ]
    assert database.asked_for("pg_advisory_unlock") == 1
    assert database.asked_for(SPEC.run_name) == 2, "it is looked up, and recorded"


def test_what_a_killed_run_left_is_removed_whatever_its_slot_was() -> None:
    client = Engine()
    client.here = {CONTAINER}
    migrate(client, Database(), replace(BACKEND, container="erni-backend-blue"), SPEC)
    assert client.told[:2] == [f"remove {CONTAINER}", f"create {CONTAINER}"]


def test_what_has_run_is_not_run_again() -> None:
    database, client = Database({"where name = %s": [("v2",)], "order by applied_at": [("v2",)]}), Engine()
    assert migrate(client, database, BACKEND, SPEC) == Migrated("v2", "v2")
    assert client.told == []
    assert not database.asked_for("insert")


@pytest.mark.parametrize(
    ("client", "said"),
    [
        (
            Engine(3, f"line 1\nlogin {SECRET} refused"),
            "it ended with code 3; it says:\nline 1\nlogin (secret) refused.",
        ),
        (Engine(1), "it ended with code 1; it said nothing."),
        (Engine(None, "still at it"), "it was ended after 0.05 s; it says:\nstill at it."),
        (Engine(1, "ERROR: canceling statement due to lock timeout"), "A session held what it wanted to change"),
    ],
)
def test_a_failing_migration_is_told_with_its_last_words_and_leaves_nothing(client: Engine, said: str) -> None:
    database, spec = Database(), replace(SPEC, timeout=0.05)
    with pytest.raises(PlatformError) as failure:
        migrate(client, database, BACKEND, spec)
    assert str(failure.value).startswith("The migration `alembic upgrade head` failed: ")
    assert said in str(failure.value)
    assert "Nothing was switched: the release that served still serves. The schema is as it was." in str(failure.value)
    assert client.here == set()
    assert database.begun == []
    assert database.asked_for("pg_terminate_backend") == 2
    assert database.asked_for(f"{spec.run_name} failed") == 1
    assert database.asked_for("pg_advisory_unlock") == 1


def test_what_a_failing_migration_has_changed_is_said() -> None:
    database = Database(begun="another")  # by a run that was killed
    with pytest.raises(PlatformError, match="What it changed before it failed stays"):
        migrate(Engine(1), database, BACKEND, SPEC)


@pytest.mark.parametrize("step", ["create", "connect", "start", "remove"])
def test_an_engine_that_goes_away_is_a_sentence(step: str) -> None:
    database = Database()
    with pytest.raises(PlatformError, match="The Docker Engine on this host does not answer any more: it has ended"):
        migrate(Engine(dies_at=step), database, BACKEND, SPEC)
    assert database.asked_for("pg_advisory_unlock") == 1


def test_a_lock_that_is_not_free_in_time_names_who_holds_it() -> None:
    database = Database({"pg_try_advisory_lock": [(False,)], "from pg_locks": [(4711, "alembic")]})
    client = Engine()
    with pytest.raises(PlatformError, match=r"after 0 s: session 4711 \(alembic\) holds it\. .*pg_terminate_backend"):
        migrate(client, database, BACKEND, SPEC)
    assert client.told == []
    assert not database.asked_for("insert")
    assert not database.asked_for("pg_advisory_unlock")


def test_a_database_without_a_ledger_is_not_migrated() -> None:
    client = Engine()
    with pytest.raises(PlatformError, match="Run make up, which makes it"):
        migrate(client, Database({"to_regclass": [(False,)]}), BACKEND, SPEC)
    assert client.told == []
