"""Which file of a dump holds which table's data."""

from __future__ import annotations

import pytest
from ansible.module_utils.erni.dump_files import (
    PLAIN,
    SMALLEST,
    StoredTable,
    TableCopy,
    archives,
    copies,
    options,
)


def table(name: str = "public.a", size: int = SMALLEST, types: tuple[str, ...] = ("int4", "text")) -> StoredTable:
    return StoredTable(name, size, ("id", "body"), frozenset(types))


@pytest.mark.parametrize(
    ("tables", "copied"),
    [
        pytest.param([], [], id="no tables"),
        pytest.param([table(size=SMALLEST - 1)], [], id="small"),
        pytest.param([table()], ["public.a"], id="large"),
        pytest.param(
            [table("public.a"), table("public.b", 3 * SMALLEST), table("public.c", 2 * SMALLEST)],
            ["public.b", "public.c", "public.a"],
            id="the largest one first",
        ),
        pytest.param([table("b"), table("a")], ["a", "b"], id="equal ones by name"),
        pytest.param([table(types=tuple(PLAIN))], ["public.a"], id="all plain types"),
        pytest.param([table(types=("int4", "regclass"))], [], id="a number of the database's own"),
        pytest.param([table(types=("int4", ""))], [], id="a type of the database's own"),
        pytest.param([table('public."a\nb"')], [], id="a name that psql would end in the middle"),
        pytest.param([StoredTable("a", SMALLEST, ('"b\n"',), frozenset(["int4"]))], [], id="such a column"),
    ],
)
def test_large_tables_of_plain_types_have_files_of_their_own(tables: list[StoredTable], copied: list[str]) -> None:
    found = copies(tables)
    assert [copy.table for copy in found.values()] == copied
    assert [*found] == [f"postgres-{number}.copy" for number in range(2, len(copied) + 2)]


def test_what_a_file_of_its_own_holds_the_archive_leaves_out() -> None:
    copied = copies([table("public.a"), table('public."B c"')])
    assert options(copied) == ['--exclude-table-data=public."B c"', "--exclude-table-data=public.a"]
    assert options({}) == []


def test_a_copy_says_its_table_and_its_columns_in_their_order() -> None:
    assert TableCopy('public."B c"', ("id", '"a b"')).what == 'public."B c" (id, "a b")'


def test_a_sets_archives_are_found_in_their_order() -> None:
    names = ["postgres.dump.zst.age", "postgres-2.dump.zst.age", "postgres-10.dump.zst.age"]
    others = ["globals.sql.zst", "vault.yml", "postgres-x.dump.zst", "postgres.dumped", "postgres-3.copy.zst"]
    assert archives([*others, *names[::-1]]) == names
