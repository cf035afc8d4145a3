"""A real PostgreSQL server for the tests, and the application's database on it."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from ansible.module_utils.erni import database_apply, engine, scram
from ansible.module_utils.erni.database_plan import DatabaseSpec, Login, plan_database
from ansible.module_utils.erni.files import digest
from ansible.module_utils.erni.planning import Plan

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = (ROOT / "reference_app" / "scripts" / "init_db.sql").read_text()
ADMIN = "postgres"
DATA = "/var/lib/postgresql/data"


class Server:
    """A PostgreSQL of its own, reached over its socket as on a host."""

    def __init__(self, folder: str, password: str, container: str = "") -> None:
        self.folder, self.password, self.container = folder, password, container

    def as_admin(self, database: str = "postgres") -> Any:
        return database_apply.connection(self.folder, database, ADMIN, self.password)

    def converge(self, spec: DatabaseSpec, schema: str = SCHEMA) -> Plan:
        """What the module does between reading its arguments and telling its result."""
        with self.as_admin() as maintenance:
            state = database_apply.observe_cluster(maintenance, spec)
            if state.database_owner:
                with self.as_admin(spec.name) as application:
                    state = database_apply.observe_database(application, spec, state)
            plan = plan_database(spec, state, scram.matches)
            database_apply.DatabaseChange(spec, schema, maintenance, lambda: self.as_admin(spec.name)).run(plan)
        return plan

    def ask(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        with self.as_admin(database) as connected, connected.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def verifier(self, role: str) -> str | None:
        """What is left of the role's password, None where it has none."""
        with self.as_admin() as connected, connected.cursor() as cursor:
            cursor.execute("select rolpassword from pg_authid where rolname = %s", (role,))
            (found,) = cursor.fetchone()
        return None if found is None else str(found)

    def log_in(self, database: str, login: Login) -> Any:
        return psycopg2.connect(host=self.folder, dbname=database, user=login.name, password=login.password)


@contextmanager
def running_server(client: Any, image: str, data: str = "") -> Iterator[Server]:
    """:param data: a folder of this machine for its data; without one they are in memory, and go with it."""
    password = secrets.token_urlsafe(16)
    name = f"erni-test-{secrets.token_hex(4)}-postgres"
    with tempfile.TemporaryDirectory(prefix="erni-") as folder:
        Path(folder).chmod(0o777)
        host = client.create_host_config(
            binds={
                folder: {"bind": "/var/run/postgresql", "mode": "rw"},
                **({data: {"bind": DATA, "mode": "rw"}} if data else {}),
            },
            tmpfs={} if data else {DATA: "uid=999,gid=999"},
        )
        arguments = "--auth-host=scram-sha-256 --auth-local=scram-sha-256"
        client.create_container(
            image,
            command=["postgres", "-c", "shared_preload_libraries=pg_stat_statements", "-c", "fsync=off"],
            name=name,
            user="999:999",
            environment={"POSTGRES_PASSWORD": password, "POSTGRES_INITDB_ARGS": arguments},
            host_config=host,
        )
        try:
            client.start(name)
            ready = ("pg_isready", "--quiet", "--host=/var/run/postgresql")
            deadline = time.monotonic() + 60
            while engine.run_inside(client, name, ready)[0] != 0:
                assert time.monotonic() < deadline, client.logs(name)
                time.sleep(0.2)
            yield Server(folder, password, name)
        finally:
            client.remove_container(name, force=True, v=True)


@contextmanager
def database_of_its_own(server: Server) -> Iterator[DatabaseSpec]:
    """Names of a database and roles that no other test has; what was made of them is removed."""
    token = secrets.token_hex(3)
    made = DatabaseSpec(
        name=f"agents_{token}",
        owner=f"owner_{token}",
        logins=(Login(f"app_a_{token}", secrets.token_urlsafe(16)), Login(f"app_b_{token}")),
        extensions=("uuid-ossp", "pg_stat_statements"),
        schema_name="init_db.sql",
        schema_digest=digest(SCHEMA),
    )
    yield made
    server.ask("begin read write; alter role postgres reset default_transaction_read_only; commit")
    server.ask(f'drop database if exists "{made.name}" with (force)')
    for role in (*(login.name for login in made.logins), made.owner):
        server.ask(f'drop role if exists "{role}"')
