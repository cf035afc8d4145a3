"""Which of a dump's indexes are built at once, and what is left to pg_restore then. Pure.

pg_restore makes a table's keys one after another, since each takes the table alone, and the server puts several
processes on each. As many indexes at once as there are processors, each by one process, take less of everything: a
constraint takes over an index that is there without reading a row (PostgreSQL's manual, ALTER TABLE,
``ADD table_constraint_using_index``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

# An entry of pg_restore's verbose text: its number in the table of contents, and what it tells of it.
_ENTRY = re.compile(r"^--\n-- TOC entry (\d+) \(class \d+ OID \d+\)\n((?:-- .*\n)+)--\n\n", re.MULTILINE)
_END = re.compile(r"^-- Completed on .*\n\n--\n-- PostgreSQL database dump complete\n", re.MULTILINE)
_LISTED = re.compile(r"^(\d+);", re.MULTILINE)
_OTHER_TABLESPACE = "; Tablespace: "
# The forms that pg_dump gives to what is plain. A column's name is in small letters or quoted (manual, 4.1.1).
_NAME = r'(?:[a-z_][a-z0-9_$]*|"(?:[^"\n]|"")+")'
_KEY = re.compile(
    rf"ALTER TABLE ONLY (?P<table>.+)\n"
    rf"    ADD CONSTRAINT (?P<name>{_NAME}) (?P<kind>PRIMARY KEY|UNIQUE) \((?P<columns>{_NAME}(?:, {_NAME})*)\);"
)
_INDEX = re.compile(rf"CREATE (?:UNIQUE )?INDEX {_NAME} ON (?P<table>.+?) USING .+;")

# A process that sorts in less memory works in its processor's caches. It has enough when what it has sorted in parts is
# merged at once: for each part it then wants 272 kB (PostgreSQL's source, tuplesort.c, tuplesort_merge_order), and a
# part is as large as its memory. An index is taken to be as large as its table, which is on the safe side.
ONE_PROCESS = """
    set max_parallel_maintenance_workers = 0;
    select set_config('maintenance_work_mem', greatest(8192, least(
        pg_size_bytes(current_setting('maintenance_work_mem')) / 1024, sqrt(pg_table_size({table}) * 272 / 1024.0)
    ))::bigint || 'kB', false);
"""


@dataclass(frozen=True)
class Build:
    """``create`` makes an index of that table, ``constrain`` the constraint that it is for; '' where it is for none."""

    table: str
    create: str
    constrain: str = ""


@dataclass(frozen=True)
class Indexes:
    """``builds`` are SQL, each for a session of its own; then come the ``constraints``, and then pg_restore with the
    list of what is ``left``."""

    builds: tuple[str, ...]
    constraints: str
    left: str


def plan(text: str, listed: str, tables: Collection[str], processors: int) -> Indexes:
    """Of tables that are worth it, the indexes and keys in plain form; all else is left to pg_restore.

    :param text: what pg_restore writes of the section after the data, ``--verbose``.
    :param listed: what it lists of the same.
    :param tables: those worth it, their names as PostgreSQL quotes them.
    """
    entries = [*_entries(text)]
    if sorted(number for number, _ in entries) != sorted(map(int, _LISTED.findall(listed))):
        entries = []  # the text is not what it seems to be: what looks like an entry may be within another one
    builds = {number: build for number, build in entries if build is not None and build.table in tables}
    before = ONE_PROCESS if len(builds) > processors else ""
    return Indexes(
        builds=tuple(before.format(table=_literal(build.table)) + build.create for build in builds.values()),
        constraints="\n".join(build.constrain for build in builds.values() if build.constrain),
        left="".join(line for line in listed.splitlines(keepends=True) if _number(line) not in builds),
    )


def _entries(text: str) -> Iterator[tuple[int, Build | None]]:
    """Each entry's number, and what it builds."""
    parts = _ENTRY.split(_END.split(text)[0])[1:]
    for number, told, statement in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        yield int(number), None if _OTHER_TABLESPACE in told else _build(statement.strip("\n"))


def _build(statement: str) -> Build | None:
    """None of what is not plain, which a name in another encoding than the session's is not, either."""
    if not statement.isascii():
        return None
    if key := _KEY.fullmatch(statement):
        table, name, kind, columns = key.group("table", "name", "kind", "columns")
        return Build(
            table,
            f"create unique index {name} on {table} ({columns});",
            f"alter table only {table} add constraint {name} {kind} using index {name};",
        )
    if index := _INDEX.fullmatch(statement):
        return Build(index["table"], statement)
    return None


def _number(line: str) -> int | None:
    match = _LISTED.match(line)
    return int(match[1]) if match else None


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
