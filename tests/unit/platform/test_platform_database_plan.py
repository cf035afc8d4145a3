"""What the application's database needs, and what must not be done to it twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.erni import scram
from ansible.module_utils.erni.database_plan import (
    DatabaseSpec,
    DatabaseState,
    Login,
    RoleState,
    check_identifiers,
    plan_database,
    schema_warning,
)
from ansible.module_utils.erni.errors import PlatformError

SPEC = DatabaseSpec(
    name="agents",
    owner="owner",
    logins=(Login("app_a", "password of a"), Login("app_b")),
    extensions=("uuid-ossp", "pg_stat_statements"),
    schema_name="init_db.sql",
    schema_digest="digest-1",
)
MEMBER = RoleState(can_login=False, verifier=None, member_of=frozenset({"owner"}), sets_role="owner")
ACTIVE = replace(MEMBER, can_login=True, verifier=scram.verifier("password of a"))
CONVERGED = DatabaseState(
    roles={"owner": RoleState(can_login=False, verifier=None), "app_a": ACTIVE, "app_b": MEMBER},
    database_owner="owner",
    extensions=frozenset({"uuid-ossp", "pg_stat_statements", "plpgsql"}),
    has_ledger=True,
    schema_digest="digest-1",
    tables=7,
)


def actions(state: DatabaseState, spec: DatabaseSpec = SPEC) -> list[tuple[str, str]]:
    return [(action.kind, action.subject) for action in plan_database(spec, state, scram.matches).actions]


def with_role(name: str, role: RoleState | None) -> DatabaseState:
    roles = {key: value for key, value in CONVERGED.roles.items() if key != name}
    return replace(CONVERGED, roles=roles | ({name: role} if role else {}))


def test_a_database_that_is_right_has_no_actions_and_no_differences() -> None:
    plan = plan_database(SPEC, CONVERGED, scram.matches)
    assert (plan.actions, plan.differences) == ([], [])


def test_a_fresh_server_gets_everything_in_the_order_of_dependence() -> None:
    assert actions(DatabaseState()) == [
        ("create_owner", "owner"),
        ("create_login", "app_a"),
        ("join_owner", "app_a"),
        ("set_role", "app_a"),
        ("set_password", "app_a"),
        ("create_login", "app_b"),
        ("join_owner", "app_b"),
        ("set_role", "app_b"),
        ("create_database", "agents"),
        ("create_extension", "uuid-ossp"),
        ("create_extension", "pg_stat_statements"),
        ("create_ledger", "agents"),
        ("apply_schema", "init_db.sql"),
    ]


@pytest.mark.parametrize(
    ("role", "state", "expected"),
    [
        ("app_a", None, ["create_login", "join_owner", "set_role", "set_password"]),
        ("app_a", replace(ACTIVE, verifier=scram.verifier("another")), ["set_password"]),
        ("app_a", replace(ACTIVE, verifier=None), ["set_password"]),
        ("app_a", replace(ACTIVE, verifier="md5a3556571e93b0d20722ba62be61e8c2d"), ["set_password"]),
        ("app_a", replace(ACTIVE, can_login=False), ["set_password"]),
        ("app_a", replace(ACTIVE, member_of=frozenset({"others"})), ["join_owner"]),
        ("app_a", replace(ACTIVE, sets_role=""), ["set_role"]),
        ("app_b", replace(MEMBER, can_login=True), ["retire_login"]),
        ("app_b", ACTIVE, ["retire_login"]),
        (
            "app_b",
            replace(ACTIVE, can_login=False),
            ["retire_login"],
        ),  # its password would hold once it may log in again
        ("app_b", replace(ACTIVE, sessions=3), ["retire_login", "end_sessions"]),
        ("app_b", replace(MEMBER, sessions=1), ["end_sessions"]),  # a run was killed before it came to that
        ("app_a", replace(ACTIVE, sessions=9), []),
        ("app_a", replace(ACTIVE, verifier=scram.verifier("another"), sessions=9), ["set_password"]),
        ("app_b", None, ["create_login", "join_owner", "set_role"]),
        ("owner", replace(MEMBER, can_login=True), ["forbid_login"]),
        ("owner", None, ["create_owner"]),
    ],
)
def test_a_role_that_differs_gets_exactly_what_it_lacks(
    role: str, state: RoleState | None, expected: list[str]
) -> None:
    assert actions(with_role(role, state)) == [(kind, role) for kind in expected]


def test_sessions_of_a_former_password_end_unless_the_application_uses_the_login() -> None:
    waiting = replace(SPEC, logins=(Login("app_b", "the next one", serving=False),))
    state = with_role("app_b", replace(ACTIVE, sessions=2))
    assert plan_database(waiting, state, scram.matches).kinds == ["set_password", "end_sessions"]


def test_a_wrong_password_is_said_and_no_password_is_shown() -> None:
    state = with_role("app_a", replace(ACTIVE, verifier=scram.verifier("another")))
    plan = plan_database(SPEC, state, scram.matches)
    assert plan.sentences == ["login app_a gets its password"]
    assert plan.diff("x")["after"] == {"role app_a password": "(secret) after"}
    assert "password of a" not in str(plan.diff("x")) + str(plan.sentences)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"database_owner": ""}, [("create_database", "agents")]),
        ({"database_owner": "postgres"}, [("own_database", "agents")]),
        ({"extensions": frozenset({"plpgsql", "uuid-ossp"})}, [("create_extension", "pg_stat_statements")]),
        ({"has_ledger": False}, [("create_ledger", "agents")]),
    ],
)
def test_what_is_missing_in_the_database_is_added_alone(
    changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert actions(replace(CONVERGED, **changes)) == expected


def test_an_empty_database_gets_its_schema() -> None:
    assert actions(replace(CONVERGED, schema_digest="", tables=0)) == [("apply_schema", "init_db.sql")]


def test_a_database_that_has_tables_keeps_them_and_its_schema_is_recorded_as_applied() -> None:
    plan = plan_database(SPEC, replace(CONVERGED, schema_digest="", tables=7), scram.matches)
    assert plan.kinds == ["adopt_schema"]
    assert "7 tables" in plan.sentences[0]


def test_tables_from_before_the_platform_are_adopted_with_a_new_ledger() -> None:
    state = replace(CONVERGED, has_ledger=False, schema_digest="", tables=1)
    assert [kind for kind, _ in actions(state)] == ["create_ledger", "adopt_schema"]


def test_a_changed_schema_file_is_warned_of_and_never_run_again() -> None:
    changed = replace(SPEC, schema_digest="digest-2")
    assert actions(CONVERGED, changed) == []
    assert actions(replace(CONVERGED, tables=0), changed) == []
    assert "init_db.sql has changed" in schema_warning(changed, CONVERGED)
    assert "migration" in schema_warning(changed, CONVERGED)


@pytest.mark.parametrize(
    ("spec", "state"),
    [
        (SPEC, CONVERGED),
        (SPEC, replace(CONVERGED, schema_digest="")),
        (replace(SPEC, schema_digest=""), CONVERGED),
    ],
)
def test_there_is_no_warning_where_nothing_changed_behind_a_record(spec: DatabaseSpec, state: DatabaseState) -> None:
    assert schema_warning(spec, state) == ""


def test_without_a_schema_none_is_applied() -> None:
    assert actions(replace(CONVERGED, schema_digest="", tables=0), replace(SPEC, schema_digest="")) == []


@pytest.mark.parametrize("name", ["a", "a" * 63, "ü" * 31])
def test_names_that_postgresql_keeps_whole_are_accepted(name: str) -> None:
    check_identifiers(replace(SPEC, name=name))


@pytest.mark.parametrize("name", ["", "a" * 64, "ü" * 32])
@pytest.mark.parametrize("place", ["name", "owner", "logins"])
def test_names_that_postgresql_would_cut_are_refused(name: str, place: str) -> None:
    value = (Login(name),) if place == "logins" else name
    with pytest.raises(PlatformError, match="1 to 63 bytes"):
        check_identifiers(replace(SPEC, **{place: value}))
