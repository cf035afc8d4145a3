"""The application's database against a real server: made once, never written to without need."""

from __future__ import annotations

import secrets
from dataclasses import replace

import psycopg2
import pytest
from ansible.module_utils.erni import database_apply
from ansible.module_utils.erni.database_plan import DatabaseSpec, Login, schema_warning
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.files import digest
from postgres_server import SCHEMA, Server

CREATED = [
    *("create_owner", "create_login", "join_owner", "set_role", "set_password"),
    *("create_login", "join_owner", "set_role", "create_database", "create_extension", "create_extension"),
    *("create_ledger", "apply_schema"),
]


def test_a_database_is_made_with_all_that_the_application_needs(server: Server, spec: DatabaseSpec) -> None:
    plan = server.converge(spec)

    assert plan.kinds == CREATED
    tables = {row[0] for row in server.ask("select tablename from pg_tables where schemaname = 'public'", spec.name)}
    assert {"conversations", "messages", "projects", "consultations", "cost_estimates", "audit_log"} <= tables
    owners = server.ask("select distinct tableowner from pg_tables where schemaname = 'public'", spec.name)
    assert owners == [(spec.owner,)]


def test_a_second_run_writes_nothing(server: Server, spec: DatabaseSpec) -> None:
    server.converge(spec)
    server.ask("alter role postgres set default_transaction_read_only = on")
    with pytest.raises(PlatformError, match="read-only transaction"):
        server.ask("create table proof (n int)")

    plan = server.converge(spec)

    assert not plan.changed


def test_a_rotated_password_is_set_and_the_former_one_refused(server: Server, spec: DatabaseSpec) -> None:
    server.converge(spec)
    former = spec.logins[0]
    rotated = replace(spec, logins=(Login(former.name, secrets.token_urlsafe(16)), spec.logins[1]))

    plan = server.converge(rotated)

    assert plan.kinds == ["set_password"]
    server.log_in(spec.name, rotated.logins[0]).close()
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        server.log_in(spec.name, former)
    assert not server.converge(rotated).changed


def test_the_server_is_given_a_verifier_and_never_the_password(server: Server, spec: DatabaseSpec) -> None:
    server.ask("alter system set log_statement = 'all'")
    server.ask("select pg_reload_conf()")
    server.converge(spec)

    stored = dict(server.ask("select rolname, rolpassword from pg_authid"))[spec.logins[0].name]
    statements = server.ask("select string_agg(query, ' ') from pg_stat_statements", spec.name)[0][0]

    assert stored.startswith("SCRAM-SHA-256$")
    assert "alter role" in statements.lower()
    assert spec.logins[0].password not in statements


def test_a_login_acts_as_the_owner(server: Server, spec: DatabaseSpec) -> None:
    server.converge(spec)

    with server.log_in(spec.name, spec.logins[0]) as connected, connected.cursor() as cursor:
        cursor.execute("select session_user, current_user")
        assert cursor.fetchone() == (spec.logins[0].name, spec.owner)
        cursor.execute("create table made_by_the_application (n int)")
        cursor.execute("select tableowner from pg_tables where tablename = 'made_by_the_application'")
        assert cursor.fetchone() == (spec.owner,)
    connected.close()


def test_a_login_that_is_not_in_use_and_the_owner_cannot_log_in(server: Server, spec: DatabaseSpec) -> None:
    server.converge(spec)

    for role in (spec.logins[1].name, spec.owner):
        with pytest.raises(psycopg2.OperationalError, match=r"password authentication failed|is not permitted"):
            server.log_in(spec.name, Login(role, "whatever"))


def test_a_login_that_is_no_longer_in_use_is_locked_and_its_sessions_end(server: Server, spec: DatabaseSpec) -> None:
    server.converge(spec)
    former = server.log_in(spec.name, spec.logins[0])
    swapped = replace(spec, logins=(Login(spec.logins[0].name), Login(spec.logins[1].name, spec.logins[0].password)))

    plan = server.converge(swapped)

    assert sorted(plan.kinds) == ["end_sessions", "retire_login", "set_password"]
    with pytest.raises(psycopg2.OperationalError), former.cursor() as cursor:
        cursor.execute("select 1")
    assert server.verifier(spec.logins[0].name) is None, "it would hold again once the login may log in"
    assert not server.converge(swapped).changed
    server.log_in(spec.name, swapped.logins[1]).close()
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        server.log_in(spec.name, spec.logins[0])


def test_strangers_may_not_even_connect(server: Server, spec: DatabaseSpec) -> None:
    server.converge(spec)
    stranger = Login(f"stranger_{spec.owner}", "a password")
    server.ask(f"create role \"{stranger.name}\" login password '{stranger.password}'")
    try:
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            server.log_in(spec.name, stranger)
    finally:
        server.ask(f'drop role "{stranger.name}"')


def test_the_schema_is_applied_once_and_recorded(server: Server, spec: DatabaseSpec) -> None:
    server.converge(spec)
    changed = replace(spec, schema_digest=digest(SCHEMA + "\n-- another version"))

    assert server.ask("select name, digest, adopted from erni_operations.schema_ledger", spec.name) == [
        ("init_db.sql", digest(SCHEMA), False)
    ]
    assert not server.converge(changed).changed
    with server.as_admin() as maintenance, server.as_admin(spec.name) as application:
        state = database_apply.observe_database(application, spec, database_apply.observe_cluster(maintenance, spec))
    assert "it is not run twice" in schema_warning(changed, state)


def test_a_schema_that_fails_leaves_nothing_of_itself(server: Server, spec: DatabaseSpec) -> None:
    broken = "create table half (n int); create table whole (n no_such_type);"

    with pytest.raises(PlatformError, match="no_such_type"):
        server.converge(replace(spec, schema_digest=digest(broken)), broken)

    assert server.ask("select tablename from pg_tables where schemaname = 'public'", spec.name) == []
    assert server.converge(spec).kinds == ["apply_schema"]


def test_a_database_that_has_tables_already_is_adopted_not_overwritten(server: Server, spec: DatabaseSpec) -> None:
    server.converge(replace(spec, schema_digest=""))
    server.ask("create table precious as select 1 as n", spec.name)

    assert server.converge(spec).kinds == ["adopt_schema"]
    assert server.ask("select n from precious", spec.name) == [(1,)]
    assert server.ask("select adopted from erni_operations.schema_ledger", spec.name) == [(True,)]


def test_drift_of_roles_is_mended_one_by_one(server: Server, spec: DatabaseSpec) -> None:
    server.converge(spec)
    login = spec.logins[0].name
    server.ask(f'alter role "{spec.owner}" login')
    server.ask(f'revoke "{spec.owner}" from "{login}"')
    server.ask(f'alter role "{login}" reset role')
    server.ask(f'alter database "{spec.name}" owner to postgres')
    server.ask("drop extension pg_stat_statements", spec.name)

    plan = server.converge(spec)

    assert plan.kinds == ["forbid_login", "join_owner", "set_role", "own_database", "create_extension"]
    assert not server.converge(spec).changed


def test_a_wrong_password_of_the_administrator_is_said_in_a_sentence(server: Server, spec: DatabaseSpec) -> None:
    with pytest.raises(PlatformError, match="the vault and the server do not agree"):
        Server(server.folder, "not the password").converge(spec)
