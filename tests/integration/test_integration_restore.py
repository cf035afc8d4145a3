"""Restores against a real PostgreSQL, Redis and SQLite: identical, or all is as it was; whenever they are killed."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from ansible.module_utils.erni import (
    age_keys,
    backup_parts,
    dump_files,
    dump_indexes,
    dump_loading,
    engine,
    postgres_dump,
    postgres_restore,
    redis_restore,
    redis_snapshot,
    restore_flow,
    restore_postgres,
    restore_targets,
    scratch_container,
    sessions_restore,
)
from ansible.module_utils.erni.backup_publish import encrypt
from ansible.module_utils.erni.backup_set import StoredFile
from ansible.module_utils.erni.backup_unpack import COMPRESS, unpack
from ansible.module_utils.erni.dump_indexes import Indexes
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.pipeline import Program, pour_file
from ansible.module_utils.erni.restore_record import RecordFile, Restored
from ansible.module_utils.erni.restore_targets import RedisTarget, SessionsTarget
from backup_lab import AWKWARD, Lab, content, say
from kills import Operation, killed_after
from postgres_server import Server

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.fixture
def lab(client: Any, server: Server, postgres: postgres_dump.Server, database: str, folder: str) -> Iterator[Lab]:
    """The database has everything that is awkward, a set of it is made, and then it is changed."""
    server.ask(AWKWARD, database)
    part = backup_parts.postgres_part(client, postgres, database, folder, "one")
    yield Lab(client, postgres, database, Path(folder), part)
    for name in names(server, f"{database}_"):
        server.ask(f'drop database "{name}" with (force)')


@pytest.fixture
def lab_of_many(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The lab, with a file of its own for every table."""
    monkeypatch.setattr(dump_files, "SMALLEST", 1)
    monkeypatch.setattr(postgres_restore, "SMALLEST", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: dump_files.MOST_AT_ONCE)
    shutil.rmtree(lab.folder)
    lab.folder.mkdir(mode=0o711)
    part = backup_parts.postgres_part(lab.client, lab.postgres, lab.database, str(lab.folder), "one")
    assert len(part.facts["copies"]) > dump_files.MOST_AT_ONCE
    return replace(lab, part=part)


def names(server: Server, prefix: str) -> list[str]:
    everything = server.ask("select datname from pg_database order by 1")
    return [name for (name,) in everything if name.startswith(prefix)]


def databases(server: Server, lab: Lab) -> list[str]:
    """Without the prefix that is their own name."""
    return [name.removeprefix(lab.database) for name in names(server, lab.database)]


def test_what_is_restored_is_identical_in_every_row_and_everything_around_them(server: Server, lab: Lab) -> None:
    before = content(server, lab.database)
    server.ask("truncate many; drop table parts; create table later (id int)", lab.database)
    changed = content(server, lab.database)

    lab.restore()

    assert content(server, lab.database) == before
    assert without_statistics(server, lab) == []
    kept = next(name for name in databases(server, lab) if name)
    assert content(server, lab.database + kept) == changed, "what served is kept as it was"

    record = restore_flow.settle(lab.target, lab.file)
    restore_flow.undo(lab.target, lab.file, record, time.time() + 5)
    assert content(server, lab.database) == changed


def test_what_belongs_to_the_database_itself_comes_back_too(
    client: Any, server: Server, postgres: postgres_dump.Server, database: str, folder: str
) -> None:
    reader = f"{database}_reader"
    server.ask(f'create role "{reader}"')
    try:
        server.ask(
            f"""alter database "{database}" set statement_timeout = 12345;
                alter database "{database}" set search_path = public, "Other";
                alter role "{reader}" in database "{database}" set work_mem = '5MB';
                alter database "{database}" connection limit 42;
                grant connect, temporary on database "{database}" to "{reader}" with grant option"""
        )
        part = backup_parts.postgres_part(client, postgres, database, folder, "one")
        before = content(server, database)
        lab = Lab(client, postgres, database, Path(folder), part)
        lab.restore()
        assert content(server, database) == before
        kept = next(name for name in databases(server, lab) if name)
        server.ask(f'drop database "{database}{kept}"')
        server.ask(f'drop owned by "{reader}"')
    finally:
        server.ask(f'drop database "{database}" with (force)')
        server.ask(f'drop role "{reader}"')


def test_a_role_that_is_missing_is_made_without_a_login(server: Server, lab: Lab) -> None:
    name = f"{lab.database}_gone"
    facts = {**lab.part.facts, "settings": {name: ("work_mem=5MB",)}}
    try:
        _, said = replace_part(lab, facts).make()
        assert said == [f"the role {name}, which was missing, was made without a login"]
        assert (name, False) in server.ask("select rolname, rolcanlogin from pg_roles")
    finally:
        server.ask(f'drop database "{lab.target.prepared}"')
        server.ask(f'drop role "{name}"')


def replace_part(lab: Lab, facts: dict[str, Any]) -> Lab:
    return replace(lab, part=replace(lab.part, facts=facts))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("rows", r"public\.many should have 7 rows and has 50000 rows"),
        ("large objects", "there are 1 large objects and should be 3"),
        ("extensions", "the extension postgis is missing"),
        ("version", "this server is an older one"),
        ("size", "is too small for the restore"),
    ],
)
def test_what_is_not_as_the_set_says_never_serves(server: Server, lab: Lab, harm: str, said: str) -> None:
    facts = dict(lab.part.facts)
    match harm:
        case "rows":
            facts["rows"] = {**facts["rows"], "public.many": 7}
        case "large objects":
            facts["large_objects"] = 3
        case "extensions":
            facts["extensions"] = (*facts["extensions"], "postgis=3")
        case "version":
            facts["version_number"] = 160001
        case _:
            facts["size"] = 1 << 60
    before = content(server, lab.database)
    with pytest.raises(PlatformError, match=said):
        replace_part(lab, facts).restore()
    assert content(server, lab.database) == before
    assert databases(server, lab) == [""], "nothing is left of it"


def damage(file: Path, harm: str) -> None:
    held = bytearray(file.read_bytes())
    match harm:
        case "cut":
            file.write_bytes(held[: len(held) // 2])
        case "flipped":
            held[len(held) // 2] ^= 0xFF
            file.write_bytes(held)
        case "missing":
            file.unlink()
        case _:
            raise ValueError(harm)


def said_of(file: str) -> str:
    """The sentence names the damaged file, and says once what to do then."""
    once = f"(?!.*not touched.*not touched).*{postgres_restore.OTHER_SET}$"
    return f"(?s)^The dump could not be restored: {re.escape(file)}: {once}"


@pytest.mark.parametrize("harm", ["cut", "flipped", "missing", "wrong key"])
def test_a_damaged_dump_never_serves(server: Server, lab: Lab, harm: str) -> None:
    before, said = content(server, lab.database), said_of("postgres.dump.zst")
    if harm == "wrong key":
        lab, said = encrypted(lab, made_identity(), made_identity()), "age failed: .* no identity matched"
    else:
        damage(lab.folder / "postgres.dump.zst", harm)
    with pytest.raises(PlatformError, match=said):
        lab.restore()
    assert content(server, lab.database) == before
    assert databases(server, lab) == [""]


# In several files


def test_what_was_dumped_into_several_files_at_once_is_identical(server: Server, lab_of_many: Lab) -> None:
    before = content(server, lab_of_many.database)
    server.ask("truncate many; drop table parts; create table later (id int)", lab_of_many.database)
    lab_of_many.restore()
    assert content(server, lab_of_many.database) == before
    assert without_statistics(server, lab_of_many) == []


def without_statistics(server: Server, lab: Lab) -> list[Any]:
    return server.ask("select relname from pg_stat_user_tables where last_analyze is null", lab.database)


def test_beside_the_copies_a_session_brings_their_log_to_the_disk_and_goes_with_them(
    server: Server, lab_of_many: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushing = """select count(*) from pg_stat_activity
                   where query like '%pg_logical_emit_message(true, ''erni''%' and pid <> pg_backend_pid()"""
    seen, load_copy = [], dump_loading.load_copy

    def looked_at(*words: Any) -> None:
        load_copy(*words)
        seen.extend(server.ask(flushing))

    monkeypatch.setattr(dump_loading, "load_copy", looked_at)
    lab_of_many.restore()
    assert set(seen) == {(1,)}
    assert server.ask(flushing) == [(0,)]


@dataclass
class Builds:
    """What was planned of a restore's indexes; ``more`` is SQL that is run with theirs."""

    more: tuple[str, ...] = ()
    planned: list[Indexes] = field(default_factory=list)

    def plan(self, *words: Any) -> Indexes:
        found = dump_indexes.plan(*words)
        self.planned.append(found)
        return replace(found, builds=(*found.builds, *self.more))


def test_indexes_and_keys_that_were_built_at_once_are_as_they_were(
    server: Server, lab_of_many: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, builds = content(server, lab_of_many.database), Builds()
    monkeypatch.setattr(dump_loading, "plan", builds.plan)
    lab_of_many.restore()
    assert content(server, lab_of_many.database) == before
    (planned,) = builds.planned
    assert len(planned.builds) > dump_files.MOST_AT_ONCE
    assert "max_parallel_maintenance_workers" in planned.builds[0]
    # The last one's other letters are bytes of the database's encoding in the plan.
    by_pg_restore = ("typed_late_key", "typed_wide_key", "typed_pkey", '"typed gr')
    for name in ("typed_u", "typed_t_key", "messages_pkey", "messages_message_id_key", "messages_by_conversation"):
        assert any(f" {name} " in build for build in planned.builds)
    for name in by_pg_restore:
        assert not any(f" {name}" in build for build in planned.builds)
    assert "typed_t_key UNIQUE using index typed_t_key" in planned.constraints
    assert server.ask("show maintenance_work_mem", lab_of_many.database) == [("64MB",)], "that was the sessions' own"


def test_an_index_that_cannot_be_built_lets_none_serve_and_nothing_is_left_of_it(
    server: Server, lab_of_many: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As rows do that break a key: a set cannot hold them, but for a fault of its server."""
    before = content(server, lab_of_many.database)
    monkeypatch.setattr(dump_loading, "plan", Builds(("create unique index u on public.many ((1))",)).plan)
    with pytest.raises(PlatformError, match=said_of("postgres.dump.zst")) as failed:
        lab_of_many.restore()
    assert 'could not create unique index "u"' in str(failed.value)
    assert content(server, lab_of_many.database) == before
    assert databases(server, lab_of_many) == [""]
    assert [*(lab_of_many.folder / "exchange").iterdir()] == []


@pytest.mark.parametrize("name", [dump_loading.AFTER_SQL, dump_loading.LEFT_SQL, dump_loading.LEFT_LIST])
def test_a_link_that_the_servers_user_makes_leads_to_no_file_of_others(
    server: Server, lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """The folder that both sides see is that user's, and its program is the one that writes there first."""
    others, sections = tmp_path / "others", dump_loading._sections
    others.write_text("not to be seen, nor lost")
    script = sections(lab.postgres, 1, "{into}").replace("xargs ", f"rm -f {name}; ln -s {others} {name}\nxargs ")
    monkeypatch.setattr(dump_loading, "_sections", lambda *words: script.replace("{into}", words[-1]))
    before = content(server, lab.database)
    with pytest.raises(PlatformError, match=f"{name} could not be"):
        lab.restore()
    assert others.read_text() == "not to be seen, nor lost"
    assert content(server, lab.database) == before
    assert databases(server, lab) == [""]


@pytest.mark.parametrize("harm", ["cut", "flipped", "missing", "swapped"])
@pytest.mark.parametrize("number", [2, dump_files.MOST_AT_ONCE + 2])
def test_of_several_files_a_single_damaged_one_lets_none_serve(
    server: Server, lab_of_many: Lab, harm: str, number: int
) -> None:
    before = content(server, lab_of_many.database)
    copy, other = (lab_of_many.folder / f"postgres-{which}.copy.zst" for which in (number, 3))
    if harm == "swapped":
        copy.write_bytes(other.read_bytes())
    else:
        damage(copy, harm)
    with pytest.raises(PlatformError, match=said_of(copy.name)):
        lab_of_many.restore()
    assert content(server, lab_of_many.database) == before
    assert databases(server, lab_of_many) == [""]
    assert scratch_container.left_over(lab_of_many.client, lab_of_many.postgres.platform) == []


def test_a_restore_of_several_files_that_is_killed_is_finished_by_the_next(
    server: Server, lab_of_many: Lab, tried: Callable[[int], None]
) -> None:
    restored = content(server, lab_of_many.database)
    operations: list[Operation] = [
        (dump_loading, "load_sql"),
        (dump_loading, "load_copy"),
        (dump_loading, "plan"),
        (scratch_container.Running, "__init__"),
    ]
    server.ask("truncate many; create table later (id int)", lab_of_many.database)
    live = content(server, lab_of_many.database)
    for number in range(1, 40):
        if not killed_after(number, operations, lambda: lab_of_many.restore(engine.connect())):
            break
        assert content(server, lab_of_many.database) == live
    tried(number - 1)
    assert number > len(lab_of_many.part.facts["copies"])
    assert content(server, lab_of_many.database) == restored
    assert scratch_container.left_over(lab_of_many.client, lab_of_many.postgres.platform) == []


def inside(lab: Lab, *words: str) -> list[str]:
    """A command in the server's container, as an operator gives it on the host."""
    return ["docker", "exec", "--interactive", f"--env=PGPASSWORD={lab.postgres.password}", container_of(lab), *words]


def archive_of(lab: Lab, name: str, *options: str) -> StoredFile:
    """An archive, made as sets had them that were made before there were copies."""
    pg_dump = ("pg_dump", "--username=postgres", "--format=custom", "--compress=0", *options, lab.database)
    plain, packed = lab.folder / "plain", lab.folder / f"{name}.zst"
    with plain.open("wb") as file:
        subprocess.run(inside(lab, *pg_dump), stdout=file, check=True)
    packed.unlink(missing_ok=True)
    written = pour_file(str(plain), [COMPRESS], str(packed))
    plain.unlink()
    return StoredFile(packed.name, written.size, written.sha256)


def test_a_set_whose_large_tables_are_in_archives_of_their_own_is_restored_as_it_was(server: Server, lab: Lab) -> None:
    before = content(server, lab.database)
    large = ("public.many", "public.typed")
    files = [
        archive_of(lab, "postgres.dump", *(f"--exclude-table-data={table}" for table in large)),
        *(
            archive_of(lab, f"postgres-{number}.dump", "--data-only", f"--table={table}")
            for number, table in enumerate(large, start=2)
        ),
    ]
    others = [file for file in lab.part.files if file.name != "postgres.dump.zst"]
    facts = {name: value for name, value in lab.part.facts.items() if name != "copies"}
    server.ask("truncate many; drop table typed cascade", lab.database)
    replace(lab, part=replace(lab.part, files=(*others, *files), facts=facts)).restore()
    assert content(server, lab.database) == before


def test_a_dump_is_restored_by_hand_as_the_documentation_says(server: Server, lab_of_many: Lab) -> None:
    lab, scratch = lab_of_many, f"{lab_of_many.database}_by_hand"
    before = content(server, lab.database)
    rows = {name: found for name, found in before.items() if "." in name}
    server.ask(f'create database "{scratch}" template template0')
    access = ("--username=postgres", f"--dbname={scratch}")

    def give(file: str, *words: str) -> None:
        with subprocess.Popen(["zstd", "-dc", lab.folder / f"{file}.zst"], stdout=subprocess.PIPE) as plain:
            subprocess.run(inside(lab, *words, *access), stdin=plain.stdout, check=True)

    for section in ("pre-data", "data"):
        give("postgres.dump", "pg_restore", f"--section={section}")
    for file, copy in lab.part.facts["copies"].items():
        what = f"{copy['table']} ({', '.join(copy['columns'])})"
        give(file, "psql", f"--command=\\copy {what} from stdin with (format binary)")
    give("postgres.dump", "pg_restore", "--section=post-data")

    assert {name: found for name, found in content(server, scratch).items() if "." in name} == rows
    assert content(server, scratch)["constraints"] == before["constraints"]


def made_identity() -> str:
    return subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout


def encrypted(lab: Lab, identity: str, other: str) -> Lab:
    """The lab's set for whoever has ``identity``, and a restore of it by ``other``."""
    recipient = next(line.split()[-1] for line in identity.splitlines() if "public key" in line)
    files = []
    for file in lab.part.files:
        written = pour_file(str(lab.folder / file.name), [encrypt([recipient])], str(lab.folder / f"{file.name}.age"))
        (lab.folder / file.name).unlink()
        files.append(StoredFile(f"{file.name}.age", written.size, written.sha256))
    return replace(lab, part=replace(lab.part, files=tuple(files)), identity=other)


@pytest.mark.parametrize("rotated", [False, True])
def test_an_encrypted_set_is_restored_with_its_key_and_with_the_keys_that_the_next_rotation_leaves(
    server: Server, lab: Lab, rotated: bool
) -> None:
    before = content(server, lab.database)
    identity = made_identity()
    encrypted(lab, identity, age_keys.with_new_key(identity) if rotated else identity).restore()
    assert content(server, lab.database) == before


def test_a_swap_takes_less_than_a_second_from_a_client_that_asks_all_the_while(server: Server, lab: Lab) -> None:
    lab.make()
    lab.file.write(restore_flow.Record(Restored("set", state="x"), None))
    stop, answers, failures = threading.Event(), list[float](), list[str]()

    def ask() -> None:
        connected = None
        while not stop.is_set():
            try:
                connected = connected or psycopg2.connect(
                    host=server.folder, dbname=lab.database, user="postgres", password=server.password
                )
                with connected.cursor() as cursor:
                    cursor.execute("select count(*) from messages")
                answers.append(time.monotonic())
            except psycopg2.Error as error:
                failures.append(str(error))
                connected = None
            time.sleep(0.002)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for each in clients:
        each.start()
    try:
        while len(answers) < 50:
            time.sleep(0.01)
        seconds = restore_flow.switch(lab.target, lab.file, "set", time.time())
        enough = len(answers) + 50
        deadline = time.monotonic() + 20
        while len(answers) < enough and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        stop.set()
        for each in clients:
            each.join()
    assert len(answers) >= enough, "clients come back by themselves"
    longest = max(later - earlier for earlier, later in zip(sorted(answers), sorted(answers)[1:], strict=False))
    print(f"nobody was answered for {longest:.3f} s; the swap says {seconds:.3f} s; {len(failures)} attempts failed")
    assert longest < 1.0, failures[:3]


def test_a_swap_that_fails_leaves_everybody_in(server: Server, lab: Lab) -> None:
    lab.make()
    lab.file.write(restore_flow.Record(Restored("set", state="x"), None))
    server.ask(f'alter database "{lab.target.prepared}" rename to "{lab.database}_hidden"')
    with pytest.raises(PlatformError, match="PostgreSQL refused a statement"):
        restore_flow.switch(lab.target, lab.file, "set", time.time())
    assert server.ask("select 1", lab.database) == [(1,)]
    assert sorted(databases(server, lab)) == ["", "_hidden"]


POSTGRES_OPERATIONS: list[Operation] = [
    (postgres_restore, "_run"),
    (postgres_restore, "give_settings"),
    (postgres_restore, "count_rows"),
    (restore_postgres, "load_dump"),
    (scratch_container.Running, "__init__"),  # while pg_restore works
    (RecordFile, "write"),
    (restore_targets, "swap"),
]


def test_a_restore_that_is_killed_anywhere_is_finished_by_the_next_and_loses_nothing(
    server: Server, lab: Lab, tried: Callable[[int], None]
) -> None:
    restored = content(server, lab.database)
    server.ask("truncate many; create table later (id int)", lab.database)
    for number in range(1, 60):
        live = content(server, lab.database)
        if not killed_after(number, POSTGRES_OPERATIONS, lambda: lab.restore(engine.connect())):
            break
        found = content(server, lab.database)
        assert found in (live, restored), "it is the one or the other, whole"
        everything = [content(server, lab.database + name) for name in databases(server, lab)]
        assert live in everything, "what served is not lost"
        lab.restore()
        assert content(server, lab.database) == restored
        assert "_restored" not in databases(server, lab)
        assert scratch_container.left_over(lab.client, lab.postgres.platform) == []
        for name in filter(None, databases(server, lab)):
            server.ask(f'drop database "{lab.database}{name}"')
        server.ask("truncate many; create table later (id int)", lab.database)
    tried(number - 1)
    assert number > 12


# Plain dumps, as the runbook makes them


def plain_dump(lab: Lab, path: Path) -> Path:
    run = inside(lab, "pg_dump", "--username=postgres", lab.database)
    text = subprocess.run(run, stdout=subprocess.PIPE, check=True).stdout
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def container_of(lab: Lab) -> str:
    image = lab.postgres.image
    found = lab.client.containers(filters={"ancestor": image})
    name: str = next(
        each["Names"][0].removeprefix("/")
        for each in found
        if any(mount.get("Source") == lab.postgres.socket_folder for mount in each["Mounts"])
    )
    return name


def restore_plain(lab: Lab, path: Path) -> None:
    exchange = lab.folder / "exchange"
    exchange.mkdir(exist_ok=True)
    os.chown(exchange, 999, 999)
    record = restore_flow.settle(lab.target, lab.file)
    folders = (str(lab.folder), str(exchange))
    restore_flow.prepare(
        lab.file,
        record,
        path.name,
        lambda: restore_postgres.from_plain(lab.client, lab.postgres, str(path), lab.database, *folders),
    )
    restore_flow.switch(lab.target, lab.file, path.name, time.time())


@pytest.mark.parametrize("name", ["dump.sql", "dump.sql.gz"])
def test_a_plain_dump_is_restored_the_same_safe_way(server: Server, lab: Lab, tmp_path: Path, name: str) -> None:
    before = content(server, lab.database)
    path = plain_dump(lab, tmp_path / name)
    server.ask("truncate many; create table later (id int)", lab.database)
    restore_plain(lab, path)
    assert content(server, lab.database) == before


def test_a_plain_dump_that_fails_in_the_middle_never_serves(server: Server, lab: Lab, tmp_path: Path) -> None:
    path = plain_dump(lab, tmp_path / "dump.sql")
    path.write_text(
        path.read_text().replace("CREATE TABLE public.many (", "CREATE TABLE public.many (bad nonsense,", 1)
    )
    before = content(server, lab.database)
    with pytest.raises(PlatformError, match="psql ended with code"):
        restore_plain(lab, path)
    assert content(server, lab.database) == before
    assert databases(server, lab) == [""]


# Redis

FILL = ("RPUSH list a b", "SADD set a", "ZADD sorted 1.5 a", "HSET hash f v", "XADD stream 1-1 f v", "PFADD hll a")


@pytest.fixture
def keys(
    client: Any, redis: redis_snapshot.Server, tmp_path: Path
) -> tuple[RedisTarget, RecordFile, Callable[..., None]]:
    """A Redis with a key of every type, and a snapshot of it; what makes that ready."""
    say(client, redis, "MSET", *(word for number in range(100) for word in (f"key:{number}", "value")))
    for command in FILL:
        say(client, redis, *command.split())
    say(client, redis, "PEXPIREAT", "key:1", "4102444800000")
    say(client, redis, "-n", "3", "SET", "elsewhere", "x")
    folder = tmp_path / "redis-part"
    folder.mkdir()
    backup_parts.redis_part(client, redis, str(folder), "one")
    target = RedisTarget(client, redis, f"{redis.platform}-redis", str(tmp_path / "data"))
    exchange = tmp_path / "redis-exchange"

    def make(connected: Any = None) -> tuple[Restored, list[str]]:
        exchange.mkdir(exist_ok=True)
        os.chown(exchange, 999, 999)
        source = str(folder / "redis.rdb.zst")
        facts = redis_restore.prepare(
            connected or client, redis, target.data, source, unpack(source, ""), str(exchange)
        )
        return Restored("", mark=target.mark(target.prepared), facts=asdict(facts)), []

    return target, RecordFile(str(tmp_path / "records"), "redis"), make


def restore_keys(keys: tuple[RedisTarget, RecordFile, Callable[..., Any]], connected: Any = None) -> None:
    target, file, make = keys
    target = replace(target, client=connected or target.client)
    restore_flow.prepare(file, restore_flow.settle(target, file), "set", lambda: make(connected))
    restore_flow.switch(target, file, "set", time.time())


def all_keys(client: Any, redis: redis_snapshot.Server) -> dict[str, str]:
    """Every key with its serialized value and the moment at which it expires."""
    found = {}
    for database in ("0", "3"):
        keys = sorted(say(client, redis, "-n", database, "KEYS", "*").split())
        script = "local t = {} for i, k in ipairs(KEYS) do t[i] = redis.sha1hex(redis.call('DUMP', k)) .. ' ' .. "
        script += "redis.call('PEXPIRETIME', k) end return t"
        told = say(client, redis, "-n", database, "EVAL", script, str(len(keys)), *keys) if keys else ""
        found |= {f"{database}/{key}": state for key, state in zip(keys, told.splitlines(), strict=True)}
    return found


def test_redis_has_every_key_of_the_set_with_its_value_and_expiry(
    client: Any, redis: redis_snapshot.Server, keys: tuple[RedisTarget, RecordFile, Callable[..., Any]]
) -> None:
    before = all_keys(client, redis)
    say(client, redis, "FLUSHALL")
    say(client, redis, "SET", "later", "x")

    restore_keys(keys)
    assert all_keys(client, redis) == before

    client.restart(keys[0].container)  # it is what the append-only file says, too
    redis_restore.lifecycle.wait_healthy(client, keys[0].container)
    assert all_keys(client, redis) == before

    target, file, _ = keys
    restore_flow.undo(target, file, restore_flow.settle(target, file), time.time() + 5)
    assert list(all_keys(client, redis)) == ["0/later"]


def test_redis_that_does_not_load_all_keys_gets_back_what_it_had(
    client: Any, redis: redis_snapshot.Server, keys: tuple[RedisTarget, RecordFile, Callable[..., Any]]
) -> None:
    target, file, make = keys
    say(client, redis, "SET", "later", "x")
    before = all_keys(client, redis)

    def more() -> tuple[Restored, list[str]]:
        made, said = make()
        return replace(made, facts={**made.facts, "keys": 5000}), said

    restore_flow.prepare(file, restore_flow.settle(target, file), "set", more)
    with pytest.raises(PlatformError, match="has not loaded all keys of the set"):
        restore_flow.switch(target, file, "set", time.time())
    assert all_keys(client, redis) == before


REDIS_OPERATIONS: list[Operation] = [
    (redis_restore, "_stop"),
    (redis_restore, "exchange"),
    (redis_restore, "start"),
    (redis_restore, "_make_folder"),
    (RecordFile, "write"),
    (RedisTarget, "_name_kept"),
]


def test_a_restore_of_redis_that_is_killed_anywhere_is_finished_by_the_next(
    client: Any,
    redis: redis_snapshot.Server,
    keys: tuple[RedisTarget, RecordFile, Callable[..., Any]],
    tried: Callable[[int], None],
) -> None:
    target, file, _ = keys
    restored = all_keys(client, redis)
    for number in range(1, 40):
        say(client, redis, "SET", "later", str(number))
        live = all_keys(client, redis)
        if not killed_after(number, REDIS_OPERATIONS, lambda: restore_keys(keys, engine.connect())):
            break
        restore_flow.settle(target, file)  # as whatever runs next does
        assert all_keys(client, redis) in (live, restored)
        restore_keys(keys)
        assert all_keys(client, redis) == restored
        assert not target.exists(target.prepared)
        for name in target.kept():
            shutil.rmtree(os.path.join(target.data, name))
    tried(number - 1)
    assert number > 7


# The application's sessions


def sessions_file(path: Path, rows: int) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript("PRAGMA journal_mode=WAL; CREATE TABLE turns (n INTEGER); CREATE TABLE none (n)")
        database.executemany("INSERT INTO turns VALUES (?)", [(number,) for number in range(rows)])
        database.commit()


def test_sessions_are_replaced_under_the_application_that_has_them_open_and_come_back(tmp_path: Path) -> None:
    live, other = tmp_path / "live.db", tmp_path / "other.db"
    sessions_file(live, 500)
    sessions_file(other, 3)
    pour_file(str(other), [Program(("zstd", "--quiet", "--stdout"))], str(tmp_path / "sessions-one.db.zst"))
    target = SessionsTarget(str(live), str(tmp_path / "records"))
    file = RecordFile(target.folder, "sessions")
    before = target.state()

    def make() -> tuple[Restored, list[str]]:
        os.makedirs(target.folder, exist_ok=True)
        source = str(tmp_path / "sessions-one.db.zst")
        sessions_restore.prepare(source, unpack(source, ""), os.path.join(target.folder, target.prepared))
        state = target.mark(target.prepared)
        return Restored("", state=state, mark=state), []

    def count(application: sqlite3.Connection) -> int:
        return int(application.execute("SELECT count(*) FROM turns").fetchone()[0])

    with closing(sqlite3.connect(live)) as application:
        assert count(application) == 500
        restore_flow.prepare(file, restore_flow.settle(target, file), "set", make)
        restore_flow.switch(target, file, "set", time.time())
        assert count(application) == 3, "the application sees it without a restart"
        application.execute("INSERT INTO turns VALUES (1)")
        application.commit()
        restore_flow.undo(target, file, restore_flow.settle(target, file), time.time() + 5)
        assert count(application) == 500
    assert target.state() == before


def test_a_replacement_of_sessions_that_is_killed_leaves_the_one_or_the_other(tmp_path: Path) -> None:
    live, other = tmp_path / "live.db", tmp_path / "other.db"
    sessions_file(live, 5000)
    sessions_file(other, 3)
    states = {sessions_restore.state(str(live)), sessions_restore.state(str(other))}
    operations: list[Operation] = [(sessions_restore, "_open"), (sessions_restore, "closing")]
    for number in range(1, 6):
        killed_after(number, operations, lambda: sessions_restore.replace(str(live), str(other)))
        assert sessions_restore.state(str(live)) in states
