"""Which file of a dump holds which table's data: large tables have files of their own, which are made, read and loaded
at once. Pure.

pg_dump's archive holds all else. What is beside it is what ``COPY … (FORMAT binary)`` gives (PostgreSQL's manual, COPY,
"Binary Format"): the server neither writes numbers and dates as text nor searches a text for its ends, which takes the
larger part of a copy's time. psql reads such a file, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ARCHIVE = "postgres.dump"
MOST_AT_ONCE = 4  # files: each keeps a session, two programs and up to two processors busy
SMALLEST = 64 << 20  # bytes: the data of smaller tables are not worth programs of their own
# The system's types whose binary form means the same in every database. In that of others are numbers which a database
# gives to its own types and tables when they are made (regclass, arrays and rows of types of its own).
PLAIN_TYPES = """
    bit bool box bpchar bytea char cidr circle date daterange enum float4 float8 inet int2 int4 int4range int8 int8range
    interval json jsonb jsonpath line lseg macaddr macaddr8 money name numeric numrange oid path point polygon text time
    timestamp timestamptz timetz tsrange tstzrange tsvector uuid varbit varchar
"""
PLAIN = frozenset(PLAIN_TYPES.split())
_ARCHIVES = re.compile(r"postgres(?:-(\d+))?\.dump\.")


@dataclass(frozen=True)
class StoredTable:
    """``size`` in bytes; names as PostgreSQL quotes them. ``types`` are the columns', a domain's or an array's by what
    it is of; 'enum' for any enumeration, '' for one that the database has made itself."""

    name: str
    size: int
    columns: tuple[str, ...]
    types: frozenset[str]


@dataclass(frozen=True)
class TableCopy:
    """What a file holds: the table and its columns, in the file's order, as PostgreSQL quotes their names."""

    table: str
    columns: tuple[str, ...]

    @property
    def what(self) -> str:
        """For a statement ``COPY``."""
        return f"{self.table} ({', '.join(self.columns)})"


def copies(tables: Iterable[StoredTable]) -> dict[str, TableCopy]:
    """Of the tables that are worth it, by file names (before they are packed); the largest one first."""
    worth = [table for table in tables if table.size >= SMALLEST and table.types <= PLAIN and _in_a_line(table)]
    worth.sort(key=lambda table: (-table.size, table.name))
    return {
        f"postgres-{number}.copy": TableCopy(table.name, table.columns) for number, table in enumerate(worth, start=2)
    }


def _in_a_line(table: StoredTable) -> bool:
    """psql's ``\\copy`` ends there."""
    return "\n" not in "".join((table.name, *table.columns))


def options(copied: Mapping[str, TableCopy]) -> list[str]:
    """For pg_dump. A quoted name is also a pattern for that name alone (manual, psql, "Patterns")."""
    return [f"--exclude-table-data={copy.table}" for copy in copied.values()]


def archives(files: Iterable[str]) -> list[str]:
    """Of a set's files those that are archives of its dump, the first one first.

    Further ones with large tables' data are in sets that were made before there were copies.
    """
    found = ((int(match[1] or 1), file) for file in files if (match := _ARCHIVES.match(file)))
    return [file for _number, file in sorted(found)]
