"""Plain dumps as the runbook makes them: what is whole, what breaks off, and what would leave its database."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.postgres_plain import check
from ansible.module_utils.erni.postgres_roles import roles_in

HEAD = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\nSET client_encoding = 'UTF8';\n"
TABLE = "COPY public.notes (id, body) FROM stdin;\n1\tone\n2\t\\\\connect elsewhere\n3\tDROP DATABASE x\n\\.\n"
TAIL = "\n\\unrestrict abc\n--\n-- PostgreSQL database dump complete\n--\n\n"


@pytest.mark.parametrize("name", ["dump.sql", "dump.sql.gz"])
def test_a_whole_dump_tells_its_rows(tmp_path: Path, name: str) -> None:
    path, text = tmp_path / name, (HEAD + TABLE + TAIL).encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert check(str(path)) == {"public.notes": 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + TABLE, "it breaks off before its end"),
        (HEAD + TABLE[:-3], "it breaks off before its end"),
        (HEAD, "it breaks off before its end"),
        ("", "it does not begin as a dump"),
        ("pg_dump: error: connection refused\n", "it does not begin as a dump"),
        (HEAD + "\\connect erni_agents\n" + TABLE + TAIL, "leads out of the database"),
        (HEAD + "\\c erni_agents\n" + TABLE + TAIL, "leads out of the database"),
        (HEAD + "\\! rm -r /\n" + TABLE + TAIL, "leads out of the database"),
        (HEAD + "CREATE DATABASE erni_agents;\n" + TABLE + TAIL, "leads out of the database"),
        (HEAD + "drop database erni_agents;\n" + TABLE + TAIL, "leads out of the database"),
    ],
)
def test_what_is_no_whole_dump_of_one_database_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "dump.sql"
    path.write_text(text)
    with pytest.raises(PlatformError, match=rf"dump.sql could not be restored: .*{said}"):
        check(str(path))


def test_a_damaged_gzip_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dump.sql.gz"
    path.write_bytes(gzip.compress((HEAD + TABLE + TAIL).encode())[:-9])
    with pytest.raises(PlatformError, match="gzip failed"):
        check(str(path))


def test_roles_are_found_by_their_names_as_pg_dumpall_writes_them() -> None:
    text = (
        'CREATE ROLE erni_user;\nALTER ROLE erni_user WITH NOLOGIN;\nCREATE ROLE "Odd ""one""";\n-- CREATE ROLE none\n'
    )
    assert roles_in(text) == ["erni_user", 'Odd "one"']
