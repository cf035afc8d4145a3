"""The roles that a set's database needs, out of the dump of its cluster's globals.

Made without a login: whoever was to come in no more since then does not come back by a restore. The platform's own
logins are make up's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .postgres_facts import DatabaseFacts

try:
    from psycopg2 import sql
except ImportError:  # said as a sentence by those who connect
    sql = None  # type: ignore[assignment]

_CREATED = re.compile(r'^CREATE ROLE ("(?:[^"]|"")+"|\S+);$', re.MULTILINE)
# A statement is a line there; those about tablespaces are of no use elsewhere.
_OF_ROLES = re.compile(r"(CREATE ROLE|ALTER ROLE|GRANT) ")
_SUPERUSERS_OWN = re.compile(r"(CREATE|ALTER) ROLE postgres\b")
EXISTING = "select rolname from pg_roles where rolname = any(%s)"
GRANTS = """
    select coalesce(r.rolname, ''), g.privilege_type, g.is_grantable
      from aclexplode(%s::text[]::aclitem[]) g left join pg_roles r on r.oid = g.grantee
     order by 1, 2
"""


def roles_in(globals_: str) -> list[str]:
    """The names of the roles that pg_dumpall has written."""
    return [name[1:-1].replace('""', '"') if name[0] == '"' else name for name in _CREATED.findall(globals_)]


def missing_roles(cursor: Any, names: Iterable[str]) -> list[str]:
    wanted = sorted({*names})
    cursor.execute(EXISTING, (wanted,))
    there = {name for (name,) in cursor.fetchall()}
    return [name for name in wanted if name not in there]


def make_roles(cursor: Any, names: Iterable[str]) -> list[str]:
    """Those that are missing, without a login; their names."""
    missing = missing_roles(cursor, names)
    for name in missing:
        cursor.execute(sql.SQL("create role {} nologin").format(sql.Identifier(name)))
    return missing


def restore_globals(cursor: Any, globals_: str) -> None:
    """All roles of the dump with their passwords and memberships, into a cluster that has none of them."""
    for line in globals_.splitlines():
        if _OF_ROLES.match(line) and not _SUPERUSERS_OWN.match(line):
            cursor.execute(line)


def give_settings(cursor: Any, database: str, facts: DatabaseFacts) -> None:
    """What pg_dump leaves to those who make the database: its limit of connections, grants and settings."""
    name = sql.Identifier(database)
    cursor.execute(sql.SQL("alter database {} connection limit {}").format(name, sql.Literal(facts.connection_limit)))
    _give_grants(cursor, name, facts)
    for role, entries in facts.settings.items():
        for entry in entries:
            setting, _, value = entry.partition("=")
            of_role = sql.SQL("alter role {} in database {}").format(sql.Identifier(role), name)
            of_all = sql.SQL("alter database {}").format(name)
            whose = of_role if role else of_all
            cursor.execute(sql.SQL("{} set {} to {}").format(whose, _setting(setting), _value(setting, value)))


def _give_grants(cursor: Any, name: Any, facts: DatabaseFacts) -> None:
    """No list at all means PostgreSQL's defaults (manual, section 5.7)."""
    if not facts.grants:
        return
    cursor.execute(GRANTS, (list(facts.grants),))
    grants = cursor.fetchall()
    cursor.execute(sql.SQL("revoke all on database {} from public").format(name))
    for grantee, privilege, grantable in grants:
        who = sql.Identifier(grantee) if grantee else sql.SQL("public")
        cursor.execute(
            sql.SQL("grant {} on database {} to {} {}").format(
                sql.SQL(privilege), name, who, sql.SQL("with grant option" if grantable else "")
            )
        )


def _setting(name: str) -> Any:
    """An extension's setting has two names with a dot between them."""
    return sql.SQL(".").join(sql.Identifier(part) for part in name.split("."))


# Settings whose value is a list of names (PostgreSQL's dumputils.c, variable_is_guc_list_quote).
_LISTS = {"local_preload_libraries", "search_path", "session_preload_libraries", "temp_tablespaces"}
_NAMES = re.compile(r'"((?:[^"]|"")*)"|([^,\s"]+)')


def _value(setting: str, value: str) -> Any:
    if setting.lower() not in _LISTS:
        return sql.Literal(value)
    names = [(quoted or plain).replace('""', '"') for quoted, plain in _NAMES.findall(value)]
    return sql.SQL(", ").join(sql.Literal(name) for name in names or [""])
