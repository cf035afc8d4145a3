"""Rows are counted in a dump's SQL, wherever a block of it happens to end."""

from __future__ import annotations

import pytest
from ansible.module_utils.erni.copy_rows import RowCounter

SQL = b"""--
-- Data for Name: messages; Type: TABLE DATA; Schema: public; Owner: erni_user
--

COPY public.messages (id, content) FROM stdin;
1\tone
2\ttwo\\nlines, and a \\\\. that ends nothing
3\tCOPY public.forged (id) FROM stdin;
\\.


COPY public."Odd ""name"", with (brackets)" (id) FROM stdin;
\\.


COPY public.without_columns  FROM stdin;


\\.

SELECT pg_catalog.setval('public.messages_id_seq', 3, true);
"""
ROWS = {"public.messages": 3, 'public."Odd ""name"", with (brackets)"': 0, "public.without_columns": 2}


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, len(SQL)])
def test_every_row_is_counted_once_however_the_text_is_cut(size: int) -> None:
    counter = RowCounter()
    for begin in range(0, len(SQL), size):
        counter.feed(SQL[begin : begin + size])
    assert counter.rows == ROWS
    assert counter.complete()
    assert counter.bytes == len(SQL)


@pytest.mark.parametrize("missing", [b"\\.\n\n\nCOPY", b"3\tCOPY", b"one\n"])
def test_a_dump_that_breaks_off_within_a_table_is_not_complete(missing: bytes) -> None:
    counter = RowCounter()
    counter.feed(SQL[: SQL.index(missing)])
    assert not counter.complete()


def test_a_dump_without_data_has_no_tables() -> None:
    counter = RowCounter()
    counter.feed(b"SET statement_timeout = 0;\n")
    assert (counter.rows, counter.complete()) == ({}, True)
