"""Which of a dump's indexes are built at once, and what is left to pg_restore."""

from __future__ import annotations

import re

import pytest
from ansible.module_utils.erni.dump_indexes import Indexes, plan

HEAD = """--
-- PostgreSQL database dump
--

\\restrict x

SET client_encoding = 'UTF8';

SET default_tablespace = '';

"""
TAIL = "\n\n-- Completed on 2026-01-02\n\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict x\n\n"
PKEY = "ALTER TABLE ONLY public.a\n    ADD CONSTRAINT a_pkey PRIMARY KEY (id);"
UNIQUE = 'ALTER TABLE ONLY public.a\n    ADD CONSTRAINT "a B_key" UNIQUE (number, "a ""b");'
INDEX = "CREATE INDEX a_by_time ON public.a USING btree (made_at) WHERE (kind = 'x'::text);"
TABLES = ("public.a",)


def entry(number: int, statement: str, kind: str = "INDEX", more: str = "") -> str:
    head = f"-- Dependencies: 215\n-- Name: a x; Type: {kind}; Schema: public; Owner: postgres{more}\n-- Data Pos: 0\n"
    return f"--\n-- TOC entry {number} (class 2606 OID {10_000 + number})\n{head}--\n\n{statement}\n\n\n"


def planned(*statements: str, more: str = "", processors: int = 8, tables: tuple[str, ...] = TABLES) -> Indexes:
    """Of entries whose numbers are 1, 2 …"""
    entries = "".join(entry(number, statement, more=more) for number, statement in enumerate(statements, start=1))
    return plan(HEAD + entries + TAIL, listed(len(statements)), tables, processors)


def listed(number: int, *without: int) -> str:
    lines = [f"{each}; 2606 {10_000 + each} INDEX public x postgres\n" for each in range(1, number + 1)]
    return ";\n; Archive created\n" + "".join(line for each, line in enumerate(lines, start=1) if each not in without)


FOREIGN = "ALTER TABLE ONLY public.a\n    ADD CONSTRAINT f FOREIGN KEY (b) REFERENCES public.b(id);"


@pytest.mark.parametrize(
    ("statement", "create", "constrain"),
    [
        pytest.param(
            PKEY,
            "create unique index a_pkey on public.a (id);",
            "alter table only public.a add constraint a_pkey PRIMARY KEY using index a_pkey;",
            id="a primary key",
        ),
        pytest.param(
            UNIQUE,
            'create unique index "a B_key" on public.a (number, "a ""b");',
            'alter table only public.a add constraint "a B_key" UNIQUE using index "a B_key";',
            id="a unique constraint",
        ),
        pytest.param(INDEX, INDEX, "", id="an index"),
        pytest.param(
            INDEX.replace("INDEX", "UNIQUE INDEX"), INDEX.replace("INDEX", "UNIQUE INDEX"), "", id="a unique one"
        ),
    ],
)
def test_what_is_plain_is_built_at_once_and_not_by_pg_restore(statement: str, create: str, constrain: str) -> None:
    found = planned(statement, FOREIGN)
    assert found == Indexes((create,), constrain, listed(2, 1))


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(PKEY.replace("(id)", "(id) INCLUDE (b)"), id="a key that includes more"),
        pytest.param(PKEY.replace("(id)", "(id) DEFERRABLE INITIALLY DEFERRED"), id="a deferrable key"),
        pytest.param(PKEY.replace("(id)", "(id) WITH (fillfactor='70')"), id="a key with storage parameters"),
        pytest.param(UNIQUE.replace("UNIQUE", "UNIQUE NULLS NOT DISTINCT"), id="nulls that are not distinct"),
        pytest.param(PKEY + "\n\nALTER TABLE public.a CLUSTER ON a_pkey;", id="more than the key"),
        pytest.param(
            INDEX + "\n\nALTER TABLE ONLY public.a REPLICA IDENTITY USING INDEX a_by_time;", id="more than it"
        ),
        pytest.param(INDEX + "\n\n\nSET default_tablespace = fast;", id="what the next one's tablespace is"),
        pytest.param(INDEX.replace("'x'", "'x\ny'"), id="more than a line"),
        pytest.param(INDEX.replace("public.a", "ONLY public.a"), id="a partitioned table's"),
        pytest.param(INDEX.replace("public.a", "public.b"), id="a small table's"),
        pytest.param(PKEY.replace("a_pkey", '"größe"'), id="a name that is not ASCII"),
        pytest.param(
            "ALTER TABLE ONLY public.a\n    ADD CONSTRAINT a_x EXCLUDE USING gist (b WITH &&);", id="exclusion"
        ),
        pytest.param("CREATE TRIGGER t BEFORE UPDATE ON public.a FOR EACH ROW EXECUTE FUNCTION f();", id="a trigger"),
        pytest.param(FOREIGN, id="a foreign key"),
    ],
)
def test_what_is_not_plain_is_left_to_pg_restore(statement: str) -> None:
    assert planned(statement) == Indexes((), "", listed(1))


def test_an_index_in_another_tablespace_is_left() -> None:
    assert planned(PKEY, INDEX, more="; Tablespace: fast").builds == ()


def test_of_a_text_that_has_other_entries_than_the_list_nothing_is_taken() -> None:
    """A comment's text may look like an entry."""
    forged = "COMMENT ON INDEX public.x IS '\n" + entry(2, PKEY) + "';"
    assert planned(forged) == Indexes((), "", listed(1))
    assert planned(forged, FOREIGN) == Indexes((), "", listed(2))
    assert planned(forged, FOREIGN, PKEY).builds == ()


def test_an_entrys_words_may_look_like_another_ones_head() -> None:
    name = "-- Name: a; Type: INDEX"
    assert planned(PKEY, more=f"\n{name}").builds == ("create unique index a_pkey on public.a (id);",)


def test_more_of_them_than_processors_are_built_by_one_process_each_in_little_memory() -> None:
    few, many = planned(PKEY, INDEX, processors=2), planned(PKEY, INDEX, processors=1)
    assert few.builds == ("create unique index a_pkey on public.a (id);", INDEX)
    for build, plain in zip(many.builds, few.builds, strict=True):
        assert build.endswith(plain)
        assert "max_parallel_maintenance_workers = 0" in build
        assert "pg_table_size('public.a')" in build
    assert (many.constraints, many.left) == (few.constraints, few.left)


def test_a_tables_name_is_written_as_a_literal() -> None:
    table = """public."it's {a}\""""
    found = planned(PKEY.replace("public.a", table), INDEX.replace("public.a", table), processors=1, tables=(table,))
    assert len(found.builds) == 2
    assert all("""pg_table_size('public."it''s {a}"')""" in build for build in found.builds)


def test_their_order_is_the_texts() -> None:
    found = planned(UNIQUE, FOREIGN, PKEY, INDEX)
    names = re.findall(r'index ("a B_key"|a_pkey|a_by_time) on', "\n".join(found.builds), re.IGNORECASE)
    assert names == ['"a B_key"', "a_pkey", "a_by_time"]
    assert found.left == listed(4, 1, 3, 4)


def test_a_dump_without_anything_after_its_data_is_one_without_indexes() -> None:
    assert plan(HEAD + TAIL, listed(0), TABLES, 2) == Indexes((), "", listed(0))
