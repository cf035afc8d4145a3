"""What the application's database needs: roles, the database, extensions, and its schema once. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .errors import PlatformError
from .planning import Difference, Plan


@dataclass(frozen=True)
class Login:
    """A role that connects and then acts as the owner. Without a password it may not log in. ``serving``: the
    application uses it now, so that its sessions are never ended."""

    name: str
    password: str = field(default="", repr=False)
    serving: bool = True


@dataclass(frozen=True)
class DatabaseSpec:
    name: str
    owner: str
    logins: tuple[Login, ...]
    extensions: tuple[str, ...]
    schema_name: str
    schema_digest: str


@dataclass(frozen=True)
class RoleState:
    can_login: bool
    verifier: str | None
    member_of: frozenset[str] = frozenset()
    sets_role: str = ""
    sessions: int = 0


@dataclass(frozen=True)
class DatabaseState:
    """The cluster as it is. ``schema_digest`` is what the ledger recorded ('' for nothing)."""

    roles: dict[str, RoleState] = field(default_factory=dict)
    database_owner: str = ""
    extensions: frozenset[str] = frozenset()
    has_ledger: bool = False
    schema_digest: str = ""
    tables: int = 0


def plan_database(
    spec: DatabaseSpec, state: DatabaseState, password_matches: Callable[[str, str | None], bool]
) -> Plan:
    """Actions in the order in which they depend on each other.

    :param password_matches: tells whether a password made a stored verifier (``scram.matches``).
    """
    plan = Plan()
    _plan_owner(plan, spec, state)
    for login in spec.logins:
        _plan_login(plan, spec, login, state.roles.get(login.name), password_matches)
    if not state.database_owner:
        _act(plan, "create_database", spec.name, f"database {spec.name} is created for {spec.owner}", "database")
    elif state.database_owner != spec.owner:
        _act(plan, "own_database", spec.name, f"database {spec.name} is given to {spec.owner}", "database owner")
    for extension in spec.extensions:
        if extension not in state.extensions:
            _act(plan, "create_extension", extension, f"extension {extension} is created", f"extension {extension}")
    _plan_schema(plan, spec, state)
    return plan


def _act(plan: Plan, kind: str, subject: str, sentence: str, difference: str) -> None:
    plan.differences.append(Difference(difference, None, subject))
    plan.add(kind, subject, sentence)


def _plan_owner(plan: Plan, spec: DatabaseSpec, state: DatabaseState) -> None:
    owner = state.roles.get(spec.owner)
    if owner is None:
        _act(plan, "create_owner", spec.owner, f"role {spec.owner} is created, without login", f"role {spec.owner}")
    elif owner.can_login:
        _act(plan, "forbid_login", spec.owner, f"role {spec.owner} may no longer log in", f"role {spec.owner} login")


def _plan_login(
    plan: Plan,
    spec: DatabaseSpec,
    login: Login,
    role: RoleState | None,
    password_matches: Callable[[str, str | None], bool],
) -> None:
    name = login.name
    if role is None:
        _act(plan, "create_login", name, f"login {name} is created", f"role {name}")
    if role is None or spec.owner not in role.member_of:
        _act(plan, "join_owner", name, f"login {name} becomes a member of {spec.owner}", f"role {name} membership")
    if role is None or role.sets_role != spec.owner:
        _act(plan, "set_role", name, f"sessions of {name} act as {spec.owner}", f"role {name} acts as")
    if login.password and (role is None or not role.can_login or not password_matches(login.password, role.verifier)):
        plan.differences.append(Difference(f"role {name} password", "other", "given", secret=True))
        plan.add("set_password", name, f"login {name} gets its password")
        if role is not None and not login.serving:
            _plan_end_of_sessions(plan, name, role)
    if not login.password and role is not None:
        if role.can_login or role.verifier:
            plan.differences.append(Difference(f"role {name} password", "other", None, secret=True))
            plan.add("retire_login", name, f"login {name} loses its password while it is not in use")
        _plan_end_of_sessions(plan, name, role)


def _plan_end_of_sessions(plan: Plan, name: str, role: RoleState) -> None:
    """They were opened with a password that holds no longer."""
    if role.sessions:
        _act(plan, "end_sessions", name, f"{role.sessions} sessions of login {name} end", f"role {name} sessions")


def _plan_schema(plan: Plan, spec: DatabaseSpec, state: DatabaseState) -> None:
    if not state.has_ledger:
        _act(plan, "create_ledger", spec.name, "the schema ledger is created", "schema ledger")
    if state.schema_digest or not spec.schema_digest:
        return
    if state.tables:
        _act(
            plan,
            "adopt_schema",
            spec.schema_name,
            f"schema {spec.schema_name} is recorded as applied: the database has {state.tables} tables already",
            "schema",
        )
    else:
        _act(plan, "apply_schema", spec.schema_name, f"schema {spec.schema_name} is applied", "schema")


def schema_warning(spec: DatabaseSpec, state: DatabaseState) -> str:
    """A sentence when the schema file changed after it was applied; '' when all is well."""
    if not state.schema_digest or not spec.schema_digest or state.schema_digest == spec.schema_digest:
        return ""
    return (
        f"The file {spec.schema_name} has changed since it was applied to {spec.name}; it is not run twice. "
        "Bring the change as a migration."
    )


def check_identifiers(spec: DatabaseSpec) -> None:
    """PostgreSQL cuts names at 63 bytes silently; two such names could become one."""
    for name in (spec.name, spec.owner, *(login.name for login in spec.logins)):
        if not name or len(name.encode()) > 63:
            raise PlatformError(f"'{name}' is no name for a role or database", "it must have 1 to 63 bytes")
