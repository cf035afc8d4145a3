"""The archive and recovery to a moment, against a real PostgreSQL with a real pgBackRest."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from ansible.module_utils.erni import archive_apply, archive_plan, dump_reading, engine, point_in_time
from ansible.module_utils.erni.archive_plan import parse_moment, told
from ansible.module_utils.erni.backup_unpack import EXPAND
from ansible.module_utils.erni.dump_reading import Packed
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.point_in_time import Recovered
from archive_lab import ArchivedServer, archived_server

DATABASE = "agents"


@pytest.fixture(scope="module")
def shared(client: Any, image_of: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One archived server for the tests that do it no harm, with a base backup of an empty table."""
    with archived_server(client, image_of("postgres"), tmp_path_factory.mktemp("archived")) as server:
        server.ask(f"create database {DATABASE}")
        server.ask("create table orders (id int, placed timestamptz default clock_timestamp())", DATABASE)
        archive_apply.back_up(client, server.archive(), archive_plan.FULL)
        pass_second()
        yield server


def pass_second() -> None:
    """A moment is possible from the second after a base backup's last one."""
    end = int(time.time()) + 1
    while time.time() <= end:
        time.sleep(0.05)


@pytest.fixture
def harmed(client: Any, image_of: Callable[[str], str], tmp_path: Path) -> Iterator[ArchivedServer]:
    """One of its own for a test that damages or loses it."""
    with archived_server(client, image_of("postgres"), tmp_path) as server:
        server.ask(f"create database {DATABASE}")
        server.ask("create table orders (id int)", DATABASE)
        archive_apply.back_up(client, server.archive(), archive_plan.FULL)
        pass_second()
        yield server


def recover(client: Any, server: ArchivedServer, moment: str, folder: Path, *, live: bool = True) -> Recovered:
    return point_in_time.recover(
        client, server.archive(), DATABASE, parse_moment(moment), str(folder), "one", live=live
    )


def nothing_is_left(client: Any, server: ArchivedServer) -> bool:
    label = [f"ch.erni.platform={server.platform}", "ch.erni.job"]
    containers = client.containers(all=True, filters={"label": label})
    volumes = client.volumes(filters={"label": label})["Volumes"] or []
    return not containers and not volumes


def segments(server: ArchivedServer) -> list[Path]:
    """The archived WAL, oldest first."""
    return sorted(server.repository.rglob("0000000?????????????????-*.zst"), key=lambda path: path.name)


def test_an_archive_is_begun_once_and_then_left_alone(client: Any, shared: ArchivedServer) -> None:
    archive = shared.archive()
    before = {str(path): path.stat().st_mtime_ns for path in shared.repository.rglob("*.info*")}

    system = archive_apply.system_of(archive.server)
    assert archive_plan.plan_stanza(archive_apply.observe(client, archive), system).changed is False
    archive_apply.create(client, archive)

    assert {str(path): path.stat().st_mtime_ns for path in shared.repository.rglob("*.info*")} == before
    with pytest.raises(PlatformError, match="The archive holds the cluster"):
        archive_plan.plan_stanza(archive_apply.observe(client, archive), "1234")


def test_what_is_written_is_proven_to_arrive_and_nothing_of_it_is_readable_without_the_passphrase(
    client: Any, shared: ArchivedServer
) -> None:
    marker = f"marker{secrets.token_hex(8)}"
    shared.ask(f"create table {marker} as select '{marker}' as text", DATABASE)
    archive_apply.check(client, shared.archive())
    archive_apply.read_whole(client, shared.archive())
    assert segments(shared)
    assert not [p for p in shared.repository.rglob("*") if p.is_file() and marker.encode() in p.read_bytes()]
    right = (shared.configuration / "pgbackrest.conf").read_text()
    shared.write("pgbackrest.conf", right.replace("not a secret", "another secret"))
    try:
        with pytest.raises(PlatformError, match=r"archive cannot be read: .*passphrase"):
            archive_apply.observe(client, shared.archive())
    finally:
        shared.write("pgbackrest.conf", right)


def test_the_rows_are_as_they_were_just_before_the_mistake_and_the_live_server_is_as_it_is(
    client: Any, shared: ArchivedServer, tmp_path: Path
) -> None:
    shared.ask("insert into orders (id) select generate_series(1, 100)", DATABASE)
    shared.ask("create table precious as select n from generate_series(1, 1000) n", DATABASE)
    before = shared.now()
    shared.ask("drop table precious", DATABASE)
    shared.ask("insert into orders (id) values (101)", DATABASE)

    made = recover(client, shared, before, tmp_path / "made")

    rows = made.part.facts["rows"]
    assert rows["public.precious"] == 1000
    assert rows["public.orders"] == 100
    assert parse_moment(made.last_commit) <= parse_moment(before)
    assert made.part.taken == parse_moment(before).timestamp()
    assert parse_moment(made.oldest) < parse_moment(before) <= parse_moment(made.newest) + dt.timedelta(seconds=1)
    assert made.part.facts["system"] == archive_apply.system_of(shared.archive().server)
    assert sorted(os.listdir(tmp_path / "made")) == ["globals.sql.zst", "postgres.dump.zst"]
    assert shared.ask("select count(*) from orders", DATABASE) == [(101,)]
    assert shared.ask("select to_regclass('precious')::text", DATABASE) == [(None,)]
    assert shared.ask("select timeline_id from pg_control_checkpoint()") == [(1,)]
    assert not list(shared.repository.rglob("00000002*")), "the scratch server's history must not reach the archive"
    assert nothing_is_left(client, shared)
    exchange = tmp_path / "exchange"
    exchange.mkdir()
    os.chown(exchange, 999, 999)
    server = shared.archive().server
    dump = str(tmp_path / "made" / "postgres.dump.zst")
    assert dump_reading.read_whole(client, server, Packed(dump, [EXPAND]), str(exchange)) == rows


def test_a_moment_after_which_nothing_was_written_is_reached_too(
    client: Any, shared: ArchivedServer, tmp_path: Path
) -> None:
    shared.ask("insert into orders (id) values (999)", DATABASE)
    made = recover(client, shared, shared.now(), tmp_path / "made")
    assert made.part.facts["rows"]["public.orders"] == shared.ask("select count(*) from orders", DATABASE)[0][0]


def test_a_setting_that_the_data_carry_cannot_make_the_scratch_server_archive(
    client: Any, shared: ArchivedServer, tmp_path: Path
) -> None:
    for setting in ("archive_mode = always", "listen_addresses = '*'"):
        shared.ask(f"alter system set {setting}")
    try:
        archive_apply.back_up(client, shared.archive(), archive_plan.DIFFERENTIAL)
        pass_second()
        seen: dict[str, Any] = {}
        watched = threading.Thread(target=look_at_scratch_server, args=(client, shared, seen))
        watched.start()
        recover(client, shared, shared.now(), tmp_path / "made")
        watched.join()
    finally:
        for name in ("archive_mode", "listen_addresses"):
            shared.ask(f"alter system reset {name}")
    assert seen["network"] == "none"
    assert seen["settings"] == [("off", "(disabled)", "")]
    assert seen["repository writable"] is False


def look_at_scratch_server(client: Any, server: ArchivedServer, seen: dict[str, Any]) -> None:
    """What it is while it serves for its dump."""
    volume = point_in_time.volume_name(server.platform)
    for _ in range(3000):
        with suppress(engine.docker_errors.APIError, psycopg2.Error):
            socket = f"{client.inspect_volume(volume)['Mountpoint']}/socket"
            with psycopg2.connect(host=socket, dbname="postgres", user="postgres") as asked, asked.cursor() as cursor:
                names = ("archive_mode", "archive_command", "listen_addresses")
                cursor.execute("select " + ", ".join(f"current_setting('{name}')" for name in names))
                seen["settings"] = cursor.fetchall()
            inspected = client.inspect_container(server.archive_job("archive-recover"))
            seen["network"] = inspected["HostConfig"]["NetworkMode"]
            mounts = {mount["Destination"]: mount["RW"] for mount in inspected["Mounts"]}
            seen["repository writable"] = mounts[archive_apply.REPOSITORY]
            return
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("moment", "why"),
    [("2020-01-01 00:00:00Z", "no base backup is as old"), ("2999-01-01 00:00:00Z", "it is in the future")],
)
def test_a_moment_that_cannot_be_had_is_refused_with_those_that_can(
    client: Any, shared: ArchivedServer, tmp_path: Path, moment: str, why: str
) -> None:
    oldest = archive_plan.oldest_moment(archive_apply.observe(client, shared.archive()).backups)
    assert oldest is not None
    with pytest.raises(PlatformError, match=f"{why}. Possible is any moment from ") as refused:
        recover(client, shared, moment, tmp_path / "made")
    assert told(oldest) in str(refused.value)
    assert not (tmp_path / "made").exists()
    assert nothing_is_left(client, shared)


@pytest.mark.parametrize("victim", ["archive-restore", "archive-recover", "dump"])
def test_a_recovery_that_is_killed_in_the_middle_leaves_nothing_and_the_next_one_works(
    client: Any, shared: ArchivedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    folder, moment = tmp_path / "made", shared.now()
    start = client.start

    def start_and_kill(container: str, *arguments: Any, **options: Any) -> None:
        start(container, *arguments, **options)
        if client.inspect_container(container)["Name"].lstrip("/") == shared.archive_job(victim):
            client.kill(container)

    with monkeypatch.context() as broken:
        broken.setattr(client, "start", start_and_kill)
        with pytest.raises(PlatformError):
            recover(client, shared, moment, folder)
    assert nothing_is_left(client, shared)
    assert not folder.exists()
    assert recover(client, shared, moment, folder).part.facts["rows"]


def test_what_a_killed_run_left_goes_with_the_next_one(client: Any, shared: ArchivedServer, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "postgres.dump.zst").write_text("half a dump")
    volume = point_in_time.volume_name(shared.platform)
    client.create_volume(volume)
    left = shared.archive_job("archive-recover")
    host = client.create_host_config(binds={volume: {"bind": "/exchange"}}, network_mode="none")
    client.create_container(shared.image, entrypoint=["sleep", "600"], name=left, host_config=host)
    client.start(left)

    recover(client, shared, shared.now(), folder)

    assert sorted(os.listdir(folder)) == ["globals.sql.zst", "postgres.dump.zst"]
    assert nothing_is_left(client, shared)


@pytest.mark.parametrize("harm", ["removed", "flipped", "cut"])
def test_a_damaged_archive_gives_a_sentence_and_no_result(
    client: Any, harmed: ArchivedServer, tmp_path: Path, harm: str
) -> None:
    for number in range(3):
        harmed.ask(f"insert into orders select generate_series(1, 1000) + {number}", DATABASE)
        archive_apply.settle(harmed.archive().server)
    moment = harmed.now()
    damage(segments(harmed)[-2], harm)

    with pytest.raises(PlatformError, match="cannot be recovered: the archive breaks off after the transaction of"):
        recover(client, harmed, moment, tmp_path / "made")

    assert not (tmp_path / "made").exists()
    assert nothing_is_left(client, harmed)
    if harm != "removed":  # what is not there has no checksum that could be wrong
        with pytest.raises(PlatformError, match="The archive is damaged: archiveId: 15-1: 1 "):
            archive_apply.read_whole(client, harmed.archive())


def damage(path: Path, harm: str) -> None:
    content = bytearray(path.read_bytes())
    match harm:
        case "removed":
            path.unlink()
            return
        case "flipped":
            content[len(content) // 2] ^= 0xFF
        case _:
            content = content[: len(content) // 2]
    path.write_bytes(content)


def test_a_damaged_base_backup_gives_a_sentence_and_no_result(
    client: Any, harmed: ArchivedServer, tmp_path: Path
) -> None:
    bundles = [path for path in harmed.repository.rglob("bundle/*") if path.is_file()]
    damage(max(bundles, key=lambda path: path.stat().st_size), "flipped")
    with pytest.raises(PlatformError, match="could not be restored"):
        recover(client, harmed, harmed.now(), tmp_path / "made")
    assert nothing_is_left(client, harmed)
    with pytest.raises(PlatformError, match="The archive is damaged: "):
        archive_apply.read_whole(client, harmed.archive())


def test_when_the_server_is_lost_at_most_the_setting_of_committed_data_is(
    client: Any, image_of: Callable[[str], str], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Commits every 0.1 s until the server is killed and its data removed; the archive alone brings the rest back."""
    setting, lost = 5, []
    with archived_server(client, image_of("postgres"), tmp_path, f"archive_timeout={setting}") as server:
        server.ask(f"create database {DATABASE}")
        server.ask("create table orders (id int, placed timestamptz)", DATABASE)
        archive_apply.back_up(client, server.archive(), archive_plan.FULL)
        committed = commit_for(server, 17.3)
        server.lose()
        ended = committed[-1]

        with pytest.raises(PlatformError, match="the archive ends after the transaction of") as refused:
            recover(client, server, told(ended), tmp_path / "made", live=False)
        taken = str(refused.value).partition('TIME="')[2].partition('"')[0]
        made = recover(client, server, taken, tmp_path / "made", live=False)

        kept = made.part.facts["rows"]["public.orders"]
        assert 0 < kept < len(committed)
        lost.append((ended - committed[kept - 1]).total_seconds())
    record_property("seconds of committed data lost", lost)
    print(f"archive_timeout {setting} s: {len(committed)} commits, {kept} kept, {lost[0]:.1f} s lost")
    assert lost[0] <= setting + 2, "the push itself takes a moment, too"


def commit_for(server: ArchivedServer, seconds: float) -> list[dt.datetime]:
    committed: list[dt.datetime] = []
    with server.as_admin(DATABASE) as connected, connected.cursor() as cursor:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            cursor.execute("insert into orders values (%s, clock_timestamp())", (len(committed),))
            committed.append(dt.datetime.now(dt.UTC))
            time.sleep(0.1)
    return committed


def test_a_push_that_fails_costs_no_session(harmed: ArchivedServer) -> None:
    """As process 1 the server would take a failing push in the background for a crash of its own."""
    away = harmed.repository.with_name("away")
    with harmed.as_admin(DATABASE) as connected, connected.cursor() as cursor:
        cursor.execute("create temp table mine as select 1")
        harmed.repository.joinpath("archive").rename(away)
        try:
            cursor.execute("select pg_switch_wal()")
            deadline = time.monotonic() + 60
            while not (state := archive_apply.archiver_state(harmed.archive().server)).failing:
                assert time.monotonic() < deadline, "it never failed"
                time.sleep(0.2)
        finally:
            away.rename(harmed.repository.joinpath("archive"))
        cursor.execute("select count(*) from mine")
        assert cursor.fetchone() == (1,)
        assert state.failed_count >= 1
        assert state.waiting >= 1
        assert state.waiting_seconds > 0
        archive_apply.settle(harmed.archive().server)
        state = archive_apply.archiver_state(harmed.archive().server)
        assert (state.failing, state.waiting) == (False, 0)


def test_whether_an_image_can_archive_is_seen_without_running_it(client: Any, image_of: Callable[[str], str]) -> None:
    platform = f"erni-test-{secrets.token_hex(4)}"
    seen = {
        service: engine.image_has(client, platform, image_of(service), "/usr/bin/pgbackrest")
        for service in ("postgres", "redis")
    }
    assert seen == {"postgres": True, "redis": False}
    assert engine.image_has(client, platform, "no/such:image", "/usr/bin/pgbackrest"), "up looks once it is pulled"
    assert not [name for one in client.containers(all=True) for name in one["Names"] if platform in name]
