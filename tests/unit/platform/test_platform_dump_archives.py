"""Which archive of a dump holds which table's data."""

from __future__ import annotations

import pytest
from ansible.module_utils.erni.dump_archives import SMALLEST, Archive, archives, options, stored_archives

MB = 1 << 20


@pytest.mark.parametrize(
    ("megabytes", "most", "planned"),
    [
        pytest.param({}, 4, [()], id="no tables"),
        pytest.param({"a": 1, "b": 63}, 4, [()], id="none is worth programs of its own"),
        pytest.param({"a": 500, "b": 400}, 1, [()], id="one processor"),
        pytest.param({"a": 500}, 4, [()], id="one large table is in the first one"),
        pytest.param({"a": 500, "b": 1}, 4, [(), ("a",)], id="beside the small ones"),
        pytest.param({"a": 500, "b": 400}, 2, [(), ("b",)], id="the largest one in the first"),
        pytest.param({"a": 500, "b": 300, "c": 250}, 2, [(), ("b", "c")], id="about the same in both"),
        pytest.param({"a": 90, "b": 80, "c": 70}, 4, [(), ("b",), ("c",)], id="no archive without tables"),
        pytest.param(dict.fromkeys("abcdef", 100), 9, [(), ("b", "f"), ("c",), ("d",)], id="not more than 4"),
        pytest.param({"a": 100, "b": 100}, 2, [(), ("b",)], id="equal ones by name"),
        pytest.param({"a": 100}, 0, [()], id="an unknown number of processors"),
    ],
)
def test_tables_are_dealt_out_so_that_all_archives_take_about_as_long(
    megabytes: dict[str, int], most: int, planned: list[tuple[str, ...]]
) -> None:
    found = archives({name: size * MB for name, size in megabytes.items()}, most)
    assert [archive.tables for archive in found] == planned
    assert [archive.number for archive in found] == list(range(1, len(planned) + 1))


def test_a_table_of_the_smallest_size_is_worth_it() -> None:
    assert len(archives({"a": SMALLEST, "b": SMALLEST}, 2)) == 2
    assert len(archives({"a": SMALLEST - 1, "b": SMALLEST - 1}, 2)) == 1


def test_what_one_archive_holds_the_first_one_leaves_out() -> None:
    planned = [Archive(1), Archive(2, ("public.a", 'public."B c"')), Archive(3, ("public.d",))]
    assert options(planned[0], planned) == [
        "--exclude-table-data=public.a",
        '--exclude-table-data=public."B c"',
        "--exclude-table-data=public.d",
    ]
    assert options(planned[1], planned) == ["--data-only", "--table=public.a", '--table=public."B c"']
    assert options(Archive(1), [Archive(1)]) == []


def test_a_sets_archives_are_found_in_their_order() -> None:
    names = [f"{archive.name}.zst.age" for archive in (Archive(10), Archive(2), Archive(1))]
    assert names == ["postgres-10.dump.zst.age", "postgres-2.dump.zst.age", "postgres.dump.zst.age"]
    others = ["globals.sql.zst", "vault.yml", "postgres-x.dump.zst", "postgres.dumped"]
    assert stored_archives([*others, *names]) == names[::-1]
