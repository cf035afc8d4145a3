"""Parts of a backup set against a real PostgreSQL and a real Redis: whole, of one moment, or none at all."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import backup_parts, dump_archives, engine, postgres_dump, progress, redis_snapshot
from ansible.module_utils.erni.backup_set import Part
from ansible.module_utils.erni.backup_unpack import EXPAND
from ansible.module_utils.erni.database_plan import DatabaseSpec
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.pipeline import pour_file
from ansible.module_utils.erni.scratch_container import left_over
from backup_lab import AWKWARD, ROWS, say
from postgres_server import Server

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def take(client: Any, postgres: postgres_dump.Server, database: str, folder: str) -> Part:
    return backup_parts.postgres_part(client, postgres, database, folder, "one")


def test_a_dump_holds_every_row_and_what_a_restore_needs_to_know(
    client: Any, server: Server, postgres: postgres_dump.Server, database: str, folder: str
) -> None:
    server.ask(AWKWARD, database)
    server.ask(f'alter database "{database}" set statement_timeout = 12345')

    part = take(client, postgres, database, folder)

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
    client: Any, server: Server, postgres: postgres_dump.Server, database: str, folder: str
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
        rows = take(client, postgres, database, folder).facts["rows"]["public.pairs"]
        during = written - before
    finally:
        stop.set()
        writer.join()
    assert rows % 2 == 0
    assert during > 0, "writes go on while a backup is made"


def test_when_one_of_several_archives_fails_the_others_are_ended_and_there_is_no_part(
    client: Any,
    server: Server,
    postgres: postgres_dump.Server,
    database: str,
    folder: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.ask("create table large as select n, repeat('x', 500) from generate_series(1, 300000) n", database)
    server.ask("create table other as select n from generate_series(1, 1000) n", database)
    monkeypatch.setattr(dump_archives, "SMALLEST", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    options = postgres_dump.options
    monkeypatch.setattr(
        postgres_dump, "options", lambda one, of: ["--no-such-option"] if one.number == 2 else options(one, of)
    )
    with pytest.raises(PlatformError, match="no-such-option"):
        take(client, postgres, database, folder)
    assert left_over(client, postgres.platform) == []


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

    dumped, text = part.facts["dumped"], 200_000 * len("123456\t" + 500 * "x" + "\n")
    assert text * 0.99 < dumped < text * 1.05
    archives = dump_archives.stored_archives(file.name for file in part.files)
    assert len(archives) == 2, "the large table has one of its own"
    stored = sum(file.size for file in part.files if file.name in archives)
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
        take(client, postgres, spec.name, folder)


def test_a_server_that_refuses_is_told_with_its_own_words(
    client: Any, postgres: postgres_dump.Server, database: str, folder: str
) -> None:
    Path(postgres.configuration, "pgpass").write_text("*:*:*:postgres:wrong\n")
    with pytest.raises(PlatformError, match=r"could not be dumped: pg_dump ended with code 1.*password authentication"):
        take(client, postgres, database, folder)
    assert "postgres.dump.zst" not in os.listdir(folder)


@pytest.mark.parametrize("victim", ["dump", "server's session"])
def test_what_dies_in_the_middle_leaves_no_dump(
    client: Any, server: Server, postgres: postgres_dump.Server, database: str, folder: str, victim: str
) -> None:
    server.ask("create table big as select n, repeat('x', 500) from generate_series(1, 400000) n", database)
    job = postgres.job("dump", ("x",)).name

    def kill() -> None:
        sessions = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'pg_dump'"
        for _ in range(2000):
            if victim == "dump":
                with suppress(engine.docker_errors.APIError):
                    client.kill(job)
                    return
            elif server.ask(f"{sessions} and query like 'COPY%'")[0][0]:
                return
            time.sleep(0.005)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(PlatformError, match="could not be dumped"):
        take(client, postgres, database, folder)
    killer.join()
    assert "postgres.dump.zst" not in os.listdir(folder)


@pytest.mark.parametrize(
    "harm", ["cut", "cut within the compression's last block", "flipped", "emptied", "of another kind"]
)
def test_a_damaged_dump_is_found_by_reading_it_whole(
    client: Any, server: Server, postgres: postgres_dump.Server, database: str, folder: str, harm: str
) -> None:
    server.ask(AWKWARD, database)
    take(client, postgres, database, folder)
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
        postgres_dump.read_whole(client, postgres, str(dump), [EXPAND], str(exchange))
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
