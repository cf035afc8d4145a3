"""Parts of a backup set against a real PostgreSQL and a real Redis: whole, of one moment, or none at all."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import (
    backup_parts,
    dump_files,
    dump_reading,
    engine,
    postgres_dump,
    progress,
    redis_snapshot,
)
from ansible.module_utils.erni.backup_set import Part
from ansible.module_utils.erni.backup_unpack import COMPRESS, EXPAND
from ansible.module_utils.erni.database_plan import DatabaseSpec
from ansible.module_utils.erni.dump_files import TableCopy
from ansible.module_utils.erni.dump_reading import Packed
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.growing_file import GrowingFile
from ansible.module_utils.erni.pipeline import pour_file
from ansible.module_utils.erni.postgres_facts import count_rows, stored_tables
from ansible.module_utils.erni.scratch_container import left_over
from backup_lab import AWKWARD, ROWS, say
from postgres_server import Server

pytestmark = pytest.mark.usefixtures("nothing_is_left")


Take = Callable[[], Part]


@pytest.fixture
def take(client: Any, postgres: postgres_dump.Server, database: str, folder: str) -> Take:
    """Makes the part of the test's own database."""
    return lambda: backup_parts.postgres_part(client, postgres, database, folder, "one")


def test_a_dump_holds_every_row_and_what_a_restore_needs_to_know(
    server: Server, database: str, folder: str, take: Take
) -> None:
    server.ask(AWKWARD, database)
    server.ask(f'alter database "{database}" set statement_timeout = 12345')

    part = take()

    rows = part.facts["rows"]
    assert {name: rows.get(name) for name in ROWS} == ROWS
    assert "public.parts" not in rows, "its rows are its partitions'"
    assert "public.messages" in rows
    assert part.facts["large_objects"] == 1
    assert part.facts["settings"] == {"": ("statement_timeout=12345",)}
    assert part.facts["version_number"] // 10_000 == 15
    assert any(entry.startswith("uuid-ossp=") for entry in part.facts["extensions"])
    assert sorted(os.listdir(folder)) == ["globals.sql.zst", "postgres.dump.zst"]
    assert {file.name: file.size for file in part.files} == {
        name: os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder)
    }


def test_the_dump_and_its_count_are_of_one_moment_though_somebody_writes_all_the_while(
    server: Server, database: str, take: Take
) -> None:
    server.ask("create table pairs as select n from generate_series(1, 200000) n", database)
    stop, written = threading.Event(), 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            server.ask("begin; insert into pairs values (0); insert into pairs values (0); commit", database)
            written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not written:
            time.sleep(0.01)
        before = written
        rows = take().facts["rows"]["public.pairs"]
        during = written - before
    finally:
        stop.set()
        writer.join()
    assert rows % 2 == 0
    assert during > 0, "writes go on while a backup is made"


@pytest.fixture
def every_table_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump_files, "SMALLEST", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


TYPES = """
    create type mood as enum ('glad', 'sad');
    create domain positive as numeric check (value > 0);
    create type pair as (one int, other int);
    create table plain (a positive, b mood, c text[], d jsonb[], e int4range, f name, g char(3), h bit varying(5),
                        i int generated always as (7) stored, gone int, z timestamptz[]);
    alter table plain drop column gone;
    create table of_a_composite (p pair);
    create table of_enums (m mood[]);
    create table of_tables (r regclass);
    create table of_positives (a positive[]);
"""


def test_what_may_be_copied_in_binary_form_is_known_by_the_columns_types(
    server: Server, postgres: postgres_dump.Server, database: str
) -> None:
    server.ask(TYPES + "".join(f"insert into {name} default values;" for name in ("plain", "of_tables")), database)
    with postgres_dump.snapshot(postgres, database) as (_name, cursor):
        tables = {table.name: table for table in stored_tables(cursor)}
    assert tables["public.plain"].columns == (*"abcdefgh", "z")
    plain = {name for name, table in tables.items() if table.types <= dump_files.PLAIN}
    assert "public.plain" in plain
    assert plain.isdisjoint({f"public.of_{kind}" for kind in ("a_composite", "enums", "tables", "positives")})


@pytest.mark.usefixtures("every_table_is_large")
def test_large_tables_have_files_of_their_own_and_count_like_all_others(
    server: Server, database: str, folder: str, take: Take
) -> None:
    server.ask(AWKWARD, database)
    part = take()
    assert {name: part.facts["rows"].get(name) for name in ROWS} == ROWS
    copied = [copy["table"] for copy in part.facts["copies"].values()]
    assert copied[0] == "public.many", "the largest one"
    assert set(ROWS) - {"public.empty"} <= {*copied}
    files = {f"{name}.zst" for name in part.facts["copies"]}
    assert {file.name for file in part.files} == {"globals.sql.zst", "postgres.dump.zst", *files}
    assert {*os.listdir(folder)} == {file.name for file in part.files}


@pytest.mark.usefixtures("every_table_is_large")
def test_a_copy_of_less_rows_than_there_are_makes_no_part(
    server: Server, database: str, monkeypatch: pytest.MonkeyPatch, take: Take
) -> None:
    """As if a table were emptied after the snapshot was taken, which PostgreSQL shows to it, too."""
    server.ask("create table large as select n from generate_series(1, 1000) n", database)
    less, what = "(select * from public.large limit 999)", TableCopy.what.fget
    monkeypatch.setattr(TableCopy, "what", property(lambda copy: less if copy.table == "public.large" else what(copy)))
    with pytest.raises(PlatformError, match=r"public\.large should have 1000 rows and has 999"):
        take()


@pytest.mark.usefixtures("every_table_is_large")
def test_nobody_empties_a_table_that_is_still_to_be_copied(
    server: Server, database: str, monkeypatch: pytest.MonkeyPatch, take: Take
) -> None:
    server.ask("create table large as select n from generate_series(1, 1000) n", database)
    tried, emptied = threading.Event(), list[bool]()

    def count_late(cursor: Any) -> dict[str, int]:
        """What is counted is locked by that; a large database's last table is counted late."""
        assert tried.wait(30)
        return count_rows(cursor)

    def try_before(*how: Any) -> Any:
        with suppress(PlatformError):
            server.ask("set lock_timeout = '10ms'; truncate large", database)
            emptied.append(True)
        tried.set()
        return through_pipe(*how)

    through_pipe = postgres_dump._through_pipe
    monkeypatch.setattr(postgres_dump, "_through_pipe", try_before)
    monkeypatch.setattr(postgres_dump, "count_rows", count_late)
    assert take().facts["rows"]["public.large"] == 1000
    assert emptied == [True], "once all of the database is written, and only then"


@pytest.mark.usefixtures("every_table_is_large")
def test_when_one_of_several_files_fails_the_others_are_ended_and_there_is_no_part(
    client: Any,
    server: Server,
    postgres: postgres_dump.Server,
    database: str,
    folder: str,
    monkeypatch: pytest.MonkeyPatch,
    take: Take,
) -> None:
    server.ask("create table large as select n, repeat('x', 500) from generate_series(1, 300000) n", database)
    monkeypatch.setattr(postgres_dump, "options", lambda _copies: ["--no-such-option"])
    with pytest.raises(PlatformError, match="no-such-option"):
        take()
    assert left_over(client, postgres.platform) == []
    assert [file for file in os.listdir(folder) if file != "exchange"] == []


@pytest.mark.parametrize("harm", ["cut", "flipped", "emptied", "cut before it was compressed", "another file"])
def test_a_damaged_copy_is_found_by_reading_it_whole(folder: str, harm: str) -> None:
    whole = dump_reading.SIGNATURE + bytes(9) + 5000 * b"some rows" + dump_reading.TRAILER
    plain, copy = Path(folder, "plain"), Path(folder, "postgres-2.copy.zst")
    plain.write_bytes({"cut before it was compressed": whole[:-1], "another file": b"x" * 100}.get(harm, whole))
    pour_file(str(plain), [COMPRESS], str(copy))
    content = bytearray(copy.read_bytes())
    match harm:
        case "cut":
            content = content[:-5]
        case "flipped":
            content[-1] ^= 0xFF
        case "emptied":
            content = bytearray()
    copy.write_bytes(content)
    growing = GrowingFile(str(copy))
    growing.is_whole()
    with pytest.raises(PlatformError):
        dump_reading.read_copy(Packed(str(copy), [EXPAND]), growing)


def test_while_it_works_it_tells_how_much_was_dumped_and_read_again(
    client: Any,
    server: Server,
    postgres: postgres_dump.Server,
    database: str,
    folder: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.ask("create table big as select n, repeat('x', 500) from generate_series(1, 200000) n", database)
    told: list[progress.Standing] = []
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(progress, "WRITE_SECONDS", 0.0)
    monkeypatch.setattr(progress.Progress, "_write", lambda _self, standing: told.append(standing))

    telling = progress.Progress("x", "postgres")
    part = backup_parts.postgres_part(client, postgres, database, folder, "one", telling, 7_000_000)

    dumped, copied = part.facts["dumped"], 200_000 * (2 + 4 + 4 + 4 + 500)  # fields, two lengths, a number, a text
    assert copied * 0.99 < dumped < copied * 1.05
    dump = {"postgres.dump.zst", "postgres-2.copy.zst"}
    stored = sum(file.size for file in part.files if file.name in dump)
    assert list(dict.fromkeys((one.phase, one.total) for one in told)) == [
        ("dumping", 7_000_000),
        ("counting its rows", 0),
        ("reading it back", stored),
    ]
    done = {phase: [one.done for one in told if one.phase == phase] for phase in ("dumping", "reading it back")}
    assert all(values == sorted(values) for values in done.values())
    assert len(set(done["dumping"])) > 10
    assert 0.9 * dumped < done["dumping"][-1] < 1.05 * dumped
    assert done["reading it back"][-1] == stored


def test_a_database_without_tables_makes_no_part(
    client: Any, server: Server, postgres: postgres_dump.Server, spec: DatabaseSpec, folder: str
) -> None:
    server.ask(f'create database "{spec.name}"')
    with pytest.raises(PlatformError, match="has no tables"):
        backup_parts.postgres_part(client, postgres, spec.name, folder, "one")


def test_a_server_that_refuses_is_told_with_its_own_words(
    postgres: postgres_dump.Server, folder: str, take: Take
) -> None:
    Path(postgres.configuration, "pgpass").write_text("*:*:*:postgres:wrong\n")
    with pytest.raises(PlatformError, match=r"could not be dumped: pg_dump ended with code 1.*password authentication"):
        take()
    assert "postgres.dump.zst" not in os.listdir(folder)


@pytest.mark.parametrize("victim", ["dump", "dump-2", "server's session"])
def test_what_dies_in_the_middle_leaves_no_dump(
    client: Any, server: Server, postgres: postgres_dump.Server, database: str, folder: str, victim: str, take: Take
) -> None:
    server.ask("create table big as select n, repeat('x', 500) from generate_series(1, 400000) n", database)

    def kill() -> None:
        sessions = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'psql'"
        for _ in range(2000):
            if victim == "server's session":
                if server.ask(f"{sessions} and query like 'COPY%'")[0][0]:
                    return
            else:
                with suppress(engine.docker_errors.APIError):
                    client.kill(postgres.job(victim, ("x",)).name)
                    return
            time.sleep(0.005)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(PlatformError, match="could not be dumped"):
        take()
    killer.join()
    assert [file for file in os.listdir(folder) if file != "exchange"] == []


@pytest.mark.parametrize(
    "harm", ["cut", "cut within the compression's last block", "flipped", "emptied", "of another kind"]
)
def test_a_damaged_dump_is_found_by_reading_it_whole(
    client: Any, server: Server, postgres: postgres_dump.Server, database: str, folder: str, harm: str, take: Take
) -> None:
    server.ask(AWKWARD, database)
    take()
    dump = Path(folder, "postgres.dump.zst")
    content = bytearray(dump.read_bytes())
    match harm:
        case "cut":
            content = content[: len(content) // 2]
        case "cut within the compression's last block":
            content = content[:-3]
        case "flipped":
            content[len(content) // 2] ^= 0xFF
        case "emptied":
            content = bytearray()
        case _:
            content = bytearray(Path(folder, "globals.sql.zst").read_bytes())
    dump.write_bytes(content)
    exchange = Path(folder, "exchange")
    exchange.mkdir()
    os.chown(exchange, 999, 999)
    with pytest.raises(PlatformError):
        dump_reading.read_whole(client, postgres, Packed(str(dump), [EXPAND]), str(exchange))
    assert os.listdir(exchange) == []


# Redis


def test_a_snapshot_of_redis_holds_every_key_with_its_expiry(
    client: Any, redis: redis_snapshot.Server, folder: str
) -> None:
    say(client, redis, "MSET", *(word for n in range(100) for word in (f"key:{n}", "value")))
    for command in (
        "RPUSH list a b",
        "SADD set a",
        "ZADD sorted 1 a",
        "HSET hash f v",
        "XADD stream * f v",
        "PFADD hll a",
    ):
        say(client, redis, *command.split())
    for number in range(10):
        say(client, redis, "EXPIRE", f"key:{number}", "3600")
    say(client, redis, "-n", "3", "SET", "elsewhere", "x")

    part = backup_parts.redis_part(client, redis, folder, "one")

    assert (part.facts["keys"], part.facts["expiring"], part.facts["expired"]) == (107, 10, 0)
    assert part.facts["version"].startswith("7.")
    assert os.listdir(folder) == ["redis.rdb.zst"]
    assert left_over(client, redis.platform) == []


def test_a_redis_that_refuses_makes_no_part(client: Any, redis: redis_snapshot.Server, folder: str) -> None:
    Path(redis.configuration, "operator_password").write_text("wrong")
    with pytest.raises(PlatformError, match="The snapshot of Redis could not be taken"):
        backup_parts.redis_part(client, redis, folder, "one")
    assert os.listdir(folder) in ([], ["exchange"])


@pytest.mark.parametrize("harm", ["cut", "flipped", "emptied"])
def test_a_damaged_snapshot_is_found_by_reading_it_whole(
    client: Any, redis: redis_snapshot.Server, folder: str, harm: str
) -> None:
    say(client, redis, "MSET", *(word for n in range(1000) for word in (f"key:{n}", "value")))
    backup_parts.redis_part(client, redis, folder, "one")
    exchange = Path(folder, "exchange")
    exchange.mkdir()
    os.chown(exchange, 999, 999)
    pour_file(f"{folder}/redis.rdb.zst", [EXPAND], f"{exchange}/redis.rdb", 0o644)
    content = bytearray((exchange / "redis.rdb").read_bytes())
    assert redis_snapshot.read_whole(client, redis, str(exchange), "x").keys == 1000
    match harm:
        case "cut":
            content = content[: len(content) // 2]
        case "flipped":
            content[len(content) // 2] ^= 0xFF
        case _:
            content = bytearray()
    (exchange / "redis.rdb").write_bytes(content)
    with pytest.raises(PlatformError, match="x: "):
        redis_snapshot.read_whole(client, redis, str(exchange), "x")
