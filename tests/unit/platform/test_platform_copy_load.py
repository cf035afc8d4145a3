"""A dump's SQL reaches the server whole, each table in a transaction of its own, wherever a block of it ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible.module_utils.erni import copy_load
from ansible.module_utils.erni.dump_files import TableCopy
from ansible.module_utils.erni.errors import PlatformError

OWN = {"public.messages", "public.empty"}
HEAD = b"SET client_encoding = 'UTF8';\nSELECT pg_catalog.set_config('search_path', '', false);\n"
SQL = (
    b"--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n"
    + HEAD
    + b"""
--
-- Data for Name: messages; Type: TABLE DATA
--

COPY public.messages (id, content) FROM stdin;
1\tone
2\tan \\\\. that ends nothing
3\tCOPY public.forged (id) FROM stdin;
\\.


COPY public.empty (id) FROM stdin;
\\.


COPY of.an_extension (id) FROM stdin;
7
\\.


SELECT pg_catalog.setval('public.messages_id_seq', 3, true);


\\unrestrict abc

"""
)
MESSAGES = b"1\tone\n2\tan \\\\. that ends nothing\n3\tCOPY public.forged (id) FROM stdin;\n"
SENT: list[Any] = [
    HEAD,
    "begin",
    "truncate only public.messages",
    (b"COPY public.messages (id, content) FROM stdin WITH (FREEZE);\n", MESSAGES),
    "commit",
    "begin",
    "truncate only public.empty",
    (b"COPY public.empty (id) FROM stdin WITH (FREEZE);\n", b""),
    "commit",
    "begin",
    (b"COPY of.an_extension (id) FROM stdin;\n", b"7\n"),
    "commit",
    b"SELECT pg_catalog.setval('public.messages_id_seq', 3, true);\n",
]


class RefusedError(Exception):
    """As psycopg2 tells of whatever went wrong while it was reading."""


class Cursor:
    """Remembers what it was given, and reads rows as psycopg2 does."""

    def __init__(self, refused: str = "") -> None:
        self.sent: list[Any] = []
        self._refused = refused

    def execute(self, statement: str | bytes) -> None:
        self.sent.append(statement)

    def copy_expert(self, statement: bytes, file: Any, size: int) -> None:
        if self._refused:
            raise RefusedError(self._refused)
        rows = b""
        try:
            while block := file.read(size):
                rows += block
        except BaseException as error:
            raise RefusedError("error in .read() call") from error
        self.sent.append((statement, rows))


@contextmanager
def flowing(text: bytes) -> Iterator[int]:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(text)

    thread = threading.Thread(target=write)
    thread.start()
    yield reading
    os.close(reading)
    thread.join()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, len(SQL)])
def test_every_statement_and_row_arrives_in_its_order_however_the_text_is_cut(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(copy_load, "BLOCK", size)
    cursor = Cursor()
    with flowing(SQL) as source:
        copy_load.load_sql(source, cursor, OWN)
    assert cursor.sent == SENT


@pytest.mark.parametrize("size", [1, 3, 1 << 16])
@pytest.mark.parametrize("until", [b"\\.\n\n\nCOPY public.empty", b"3\tCOPY", b"one\n", b"\n\n\nCOPY public.empty"])
def test_a_table_whose_data_break_off_is_not_committed(
    monkeypatch: pytest.MonkeyPatch, size: int, until: bytes
) -> None:
    monkeypatch.setattr(copy_load, "BLOCK", size)
    cursor = Cursor()
    with flowing(SQL[: SQL.index(until)]) as source, pytest.raises(EOFError, match="within a table's data"):
        copy_load.load_sql(source, cursor, OWN)
    assert cursor.sent == SENT[:3]


def test_many_statements_are_sent_in_parts_and_none_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_load, "STATEMENTS", 10)
    lines = [b"SELECT pg_catalog.lowrite(0, '\\x%02d');\n" % number for number in range(10)]
    in_two_lines = b"SELECT pg_catalog.setval('public.\"a\n--\nb\"', 3, true);\n"
    cursor = Cursor()
    with flowing(b"".join(lines) + in_two_lines) as source:
        copy_load.load_sql(source, cursor, OWN)
    assert b"".join(cursor.sent) == b"".join(lines) + in_two_lines
    assert len(cursor.sent) > 4
    assert all(sent.endswith(b";\n") for sent in cursor.sent)


def test_a_binary_copy_arrives_whole_and_frozen() -> None:
    cursor, rows = Cursor(), b"PGCOPY" + bytes(range(256)) * 1000
    copy = TableCopy("public.messages", ("id", '"a b"'))
    with flowing(rows) as source, os.fdopen(os.dup(source), "rb", buffering=0) as file:
        copy_load.load_copy(file, cursor, copy)
    statement = 'copy public.messages (id, "a b") from stdin with (format binary, freeze)'
    begin = ["begin", "truncate only public.messages"]
    assert cursor.sent == [copy_load.SESSION, *begin, (statement, rows), "commit"]


def test_what_the_server_refuses_is_told_as_it_is() -> None:
    cursor = Cursor(refused="no space left on device")
    with flowing(SQL) as source, pytest.raises(RefusedError, match="no space left"):
        copy_load.load_sql(source, cursor, OWN)
    assert "commit" not in cursor.sent


def test_whoever_watches_ends_it_with_what_it_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_load, "POLL_SECONDS", -1.0)
    asked = 0

    def watch() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise PlatformError("The disk is nearly full")

    cursor = Cursor()
    with flowing(SQL) as source, pytest.raises(PlatformError, match="nearly full"):
        copy_load.load_sql(source, cursor, OWN, watch)
    assert "commit" not in cursor.sent
