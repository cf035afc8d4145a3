"""Which archive of a dump holds which table's data: what lies in several is dumped, read and loaded at once. Pure.

The first archive holds all but the data of the tables that others hold. Each is one that pg_restore reads by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MOST = 4  # archives: each keeps a session, three programs and up to two processors busy
SMALLEST = 64 << 20  # bytes: the data of smaller tables are not worth programs of their own
_NAME = re.compile(r"postgres(?:-(\d+))?\.dump\.")


@dataclass(frozen=True)
class Archive:
    """``tables`` are those whose data it holds, as PostgreSQL quotes their names; the first one's are all others."""

    number: int
    tables: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of its file, before it is packed."""
        return "postgres.dump" if self.number == 1 else f"postgres-{self.number}.dump"


def archives(sizes: Mapping[str, int], most: int) -> list[Archive]:
    """The first archive, and as many others as are worth it, so that all take about the same time.

    :param sizes: bytes of each table.
    :param most: archives at once.
    """
    large = sorted((name for name in sizes if sizes[name] >= SMALLEST), key=lambda name: (-sizes[name], name))
    holding: list[list[str]] = [[] for _ in range(max(1, min(most, MOST)))]
    loads = [sum(size for size in sizes.values() if size < SMALLEST), *(0 for _ in holding[1:])]
    for name in large:
        least = loads.index(min(loads))
        holding[least].append(name)
        loads[least] += sizes[name]
    others = [tables for tables in holding[1:] if tables]
    return [Archive(1), *(Archive(number, tuple(tables)) for number, tables in enumerate(others, start=2))]


def options(archive: Archive, of: Iterable[Archive]) -> list[str]:
    """For pg_dump. A quoted name is also a pattern for that name alone (manual, psql, "Patterns")."""
    if archive.number > 1:
        return ["--data-only", *(f"--table={table}" for table in archive.tables)]
    return [f"--exclude-table-data={table}" for other in of for table in other.tables]


def stored_archives(files: Iterable[str]) -> list[str]:
    """Of a set's files those that are archives of its dump, the first one first."""
    found = ((int(match[1] or 1), file) for file in files if (match := _NAME.match(file)))
    return [file for _number, file in sorted(found)]
