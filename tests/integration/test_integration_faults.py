"""What can go wrong around a backup and a restore, one thing after another, with real processes, disks and servers.

After each: what serves is byte for byte what it was, no half of a set can be seen, and the next run leaves no scratch.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import backup_set
import psycopg2
import pytest
from ansible.module_utils.erni import (
    backup_parts,
    backup_publish,
    backup_store,
    dump_files,
    engine,
    postgres_dump,
    postgres_restore,
    redis_snapshot,
    restore_flow,
    restore_postgres,
    scratch_container,
    sessions_copy,
)
from ansible.module_utils.erni.backup_store import Store
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.progress import Progress
from backup_lab import AWKWARD, Lab, content
from kills import Operation, killed_after
from postgres_server import Server, running_server

MEGABYTE = 1 << 20
PARAMETERS: dict[str, Any] = {
    "environment": "test",
    "platform": "erni",
    "operator": "",
    "reason": "",
    "host": "one",
    "max_age": 0,
    "safety": False,
    "accept_collapse": True,
    "recipients": [],
    "retention": {"days": 0, "daily": 0, "weekly": 0, "monthly": 0, "minimum": 1},
}


@dataclass
class Plant:
    """A database and Redis, and the folder of their sets."""

    server: Server
    postgres: postgres_dump.Server
    redis: redis_snapshot.Server
    database: str
    store: Store

    def back_up(self, client: Any = None, node: str = "here") -> str:
        """A set, as the modules make it one after the other; its id."""
        client = client or engine.connect()
        known = {**PARAMETERS, "node": node}
        identifier = str(backup_set.begin(self.store, known, check_mode=False)["set"])
        parts = []
        for kind in ("postgres", "redis"):
            with self.store.part_folder(identifier, kind) as folder:
                if kind == "postgres":
                    part = backup_parts.postgres_part(client, self.postgres, self.database, folder, "one")
                else:
                    part = backup_parts.redis_part(client, self.redis, folder, "one")
                parts.append({"part": asdict(part), "folder": folder})
        backup_set.publish(self.store, {**known, "set": identifier, "parts": parts}, Progress())
        return identifier

    def whole_sets(self) -> list[str]:
        """Their ids. A folder that looks like a set, and is none or a damaged one, is a failure."""
        sets, troubles = self.store.manifests()
        assert troubles == []
        assert [damage for one in sets if (damage := self.store.damage(one))] == []
        return [one.id for one in sets]

    def scratch(self) -> list[str]:
        """What should not be there any more once a run has ended well."""
        folder = Path(self.store.folder) / ".partial"
        left = [str(path) for path in folder.iterdir()] if folder.exists() else []
        return left + scratch_container.left_over(engine.connect(), self.postgres.platform)


@pytest.fixture
def plant(
    server: Server, postgres: postgres_dump.Server, redis: redis_snapshot.Server, database: str, tmp_path: Path
) -> Iterator[Plant]:
    server.ask(AWKWARD, database)
    tmp_path.chmod(0o711)
    made = Plant(server, postgres, redis, database, Store(str(tmp_path / "backups")))
    yield made
    for name in databases(server, f"{database}_"):
        server.ask(f'drop database "{name}" with (force)')


def databases(server: Server, prefix: str) -> list[str]:
    return [name for (name,) in server.ask("select datname from pg_database order by 1") if name.startswith(prefix)]


# Killed

BACKUP_OPERATIONS: list[Operation] = [
    (postgres_dump, "pour"),
    (backup_parts, "read_whole"),
    (backup_parts, "read_copy"),
    (redis_snapshot, "pour_file"),
    (sessions_copy, "copy"),
    (scratch_container.Running, "__init__"),  # while a program of the service works
    (backup_publish, "pour_file"),
    (backup_store, "write_atomically"),
    (backup_store, "sync_folder"),
    (os, "rename"),
    (shutil, "rmtree"),
]


# Those of a dump whose large tables have files of their own; all else is the same.
COPYING_OPERATIONS: list[Operation] = [
    (postgres_dump, "pour"),
    (backup_parts, "read_copy"),
    (scratch_container.Running, "__init__"),
    (postgres_dump._Dumping, "_told"),
]


@pytest.mark.parametrize(
    ("smallest", "operations", "least"),
    [(dump_files.SMALLEST, BACKUP_OPERATIONS, 20), (100_000, COPYING_OPERATIONS, 8)],
    ids=["of one file", "of several files"],
)
def test_a_backup_that_is_killed_anywhere_is_no_set_and_the_next_one_clears_up(
    plant: Plant,
    tried: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    smallest: int,
    operations: list[Operation],
    least: int,
) -> None:
    monkeypatch.setattr(dump_files, "SMALLEST", smallest)
    live, first = content(plant.server, plant.database), plant.back_up()
    whole = [first]
    for number in range(1, 60):
        if not killed_after(number, operations, lambda: plant.back_up() and None):
            break
        found = plant.whole_sets()
        assert found[: len(whole)] == whole, "those that were there stay"
        assert len(found) <= len(whole) + 1, "a set is there once it is whole, and at once"
        whole = found
    plant.back_up()
    assert plant.scratch() == []
    assert content(plant.server, plant.database) == live
    tried(number - 1)
    assert number > least


RETENTION_OPERATIONS: list[Operation] = [(os, "rename"), (backup_store, "sync_folder"), (os, "unlink"), (os, "rmdir")]


def test_a_retention_that_is_killed_anywhere_leaves_whole_sets_alone(
    plant: Plant, tried: Callable[[int], None]
) -> None:
    made = [plant.back_up() for _ in range(3)]
    newest, killed = made[-1], 0
    for number in range(1, 60):
        if not killed_after(
            number, RETENTION_OPERATIONS, lambda: backup_set.prune(plant.store, PARAMETERS, False) and None
        ):
            break
        killed += 1
        found = plant.whole_sets()
        assert newest in found
        assert found == made[-len(found) :], "the oldest goes first"
        if len(found) == 1:  # all that could go has gone
            made = [*found, plant.back_up(), plant.back_up()]
            newest = made[-1]
            assert plant.scratch() == [], "what the killed one left has gone with the next backup"
        if killed >= 9:
            break
    tried(killed)
    assert killed >= 8


# A disk that is full


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """The folder lies on a file system of its own, of so many bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={size},mode=0711"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full_at_whatever_point_makes_no_set_and_costs_none(
    plant: Plant, tmp_path: Path, tried: Callable[[int], None]
) -> None:
    live, folder = content(plant.server, plant.database), tmp_path / "small"
    plant.store = Store(str(folder))
    plant.back_up()
    whole = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder)
    refused: list[str] = []
    # From a disk that takes hardly a file to one that takes the parts and not the set that is made of them.
    for share in (0.1, 0.5, 0.9, 1.0, 1.2, 1.5):
        with small_disk(folder, int(share * whole) // 4096 * 4096 + 8192):
            try:
                plant.back_up()
            except (PlatformError, OSError) as error:
                refused.append(str(error))
                assert plant.whole_sets() == []
    assert content(plant.server, plant.database) == live
    assert scratch_container.left_over(engine.connect(), plant.postgres.platform) == []
    assert len(refused) >= 4
    assert [said for said in refused if "No space left on device" not in said] == []
    tried(len(refused))


@dataclass
class Restoring(Lab):
    """On a server of its own, where need be."""

    server: Server = field(kw_only=True)


@pytest.fixture
def restoring(
    client: Any, server: Server, postgres: postgres_dump.Server, database: str, folder: str
) -> Iterator[Restoring]:
    """A table that takes a while, so that there is a middle."""
    server.ask(AWKWARD, database)
    server.ask(
        "create table long as select n, md5(n::text) as t from generate_series(1, 600000) n;"
        "alter table long add primary key (n); create index on long (t)",
        database,
    )
    part = backup_parts.postgres_part(client, postgres, database, folder, "one")
    yield Restoring(client, postgres, database, Path(folder), part, server=server)
    for name in databases(server, f"{database}_"):
        server.ask(f'drop database "{name}" with (force)')


def test_a_table_of_millions_of_rows_comes_back_identical(restoring: Restoring) -> None:
    server, database = restoring.server, restoring.database
    server.ask("insert into long select n, md5(n::text) from generate_series(600001, 2000000) n", database)
    shutil.rmtree(restoring.folder)
    restoring.folder.mkdir(mode=0o711)
    restoring.part = backup_parts.postgres_part(
        restoring.client, restoring.postgres, database, str(restoring.folder), "one"
    )
    before = content(server, database)
    server.ask("delete from long where n % 3 = 0", database)
    restoring.restore()
    assert content(server, database) == before
    # Frozen rows are all that is on its pages: nobody who reads them writes them once more.
    seen = "select relpages > 1000 and relallvisible = relpages from pg_class where relname = 'long'"
    assert server.ask(seen, database) == [(True,)]


@contextmanager
def in_the_middle(restoring: Restoring, action: Callable[[], None]) -> Iterator[None]:
    """The action, as soon as the scratch database has grown: data flow into it then."""
    scratch, failures = postgres_restore.scratch_name(restoring.database), list[BaseException]()

    def watch() -> None:
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                sizes = dict(restoring.server.ask("select datname, pg_database_size(oid) from pg_database"))
                if (sizes.get(scratch) or 0) > 20 * MEGABYTE:  # none once it is dropped
                    action()
                    return
                time.sleep(0.02)
            raise AssertionError("it did not begin")
        except BaseException as error:  # noqa: BLE001 (raised below)
            failures.append(error)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        watching.join()
        assert failures == []


def test_a_server_that_dies_in_the_middle_of_a_restore_keeps_what_serves(restoring: Restoring) -> None:
    """One of its processes gets SIGKILL: PostgreSQL ends all sessions then, and recovers from its log. Sequences may go
    on some numbers later after that (its manual, nextval); all else is what it was."""
    server, database = restoring.server, restoring.database
    whole = content(server, database)
    live = {name: found for name, found in whole.items() if name != "sequences"}

    def kill_one() -> None:
        ((process,),) = server.ask("select pid from pg_stat_activity where backend_type = 'checkpointer'")
        assert engine.run_inside(restoring.client, server.container, ("sh", "-c", f"kill -9 {process}"))[0] == 0

    with in_the_middle(restoring, kill_one), pytest.raises((PlatformError, psycopg2.Error)):
        restoring.restore()

    assert live.items() <= content(server, database).items()
    restoring.restore()
    assert content(server, database) == whole, "the set is of the same state"
    assert postgres_restore.scratch_name(database) not in databases(server, database)
    assert scratch_container.left_over(restoring.client, restoring.postgres.platform) == []


def test_of_two_restores_at_once_one_serves_and_the_other_says_so(restoring: Restoring) -> None:
    """Each from a control node of its own: a lock holds for a step, and the steps of the two alternate."""
    server, database = restoring.server, restoring.database
    restored = content(server, database)
    server.ask("drop table long", database)
    live = content(server, database)
    restoring.prepare(source="first")
    restoring.prepare(source="second")

    with pytest.raises(PlatformError, match="another run has prepared something else meanwhile"):
        restore_flow.switch(restoring.target, restoring.file, "first", time.time())
    assert content(server, database) == live

    restore_flow.switch(restoring.target, restoring.file, "second", time.time())
    assert content(server, database) == restored


def test_a_disk_that_others_fill_in_the_middle_of_a_restore_stops_it_long_before_the_server(
    client: Any, image_of: Callable[[str], str], postgres: postgres_dump.Server, tmp_path: Path
) -> None:
    data, folder = tmp_path / "data", tmp_path / "part"
    folder.mkdir(mode=0o711)
    tmp_path.chmod(0o711)
    with small_disk(data, 1200 * MEGABYTE):
        os.chown(data, 999, 999)
        data.chmod(0o700)
        with running_server(client, image_of("postgres"), str(data)) as server:
            (tmp_path / "configuration" / "pgpass").write_text(f"*:*:*:postgres:{server.password}\n")
            own = postgres_dump.Server(
                f"erni-test-{secrets.token_hex(4)}",
                postgres.image,
                999,
                999,
                server.folder,
                postgres.configuration,
                server.password,
            )
            server.ask("create database live")
            server.ask("alter system set max_wal_size = '128MB'")
            server.ask("select pg_reload_conf()")
            server.ask("create table long as select n, md5(n::text) as t from generate_series(1, 2000000) n", "live")
            part = backup_parts.postgres_part(client, own, "live", str(folder), "one")
            live = content(server, "live")
            restoring = Restoring(client, own, "live", folder, part, server=server)

            def fill() -> None:
                with (data / "filling").open("wb") as file:
                    left = restore_postgres.RESERVE - 8 * MEGABYTE
                    os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(data).free - left)

            with in_the_middle(restoring, fill), pytest.raises(PlatformError, match="is nearly full"):
                restoring.restore(volume=data)

            assert content(server, "live") == live
            assert databases(server, "live") == ["live"], "what it had written is gone"
            (data / "filling").unlink()
            restoring.restore(volume=data)
            assert content(server, "live") == live
