"""A backup and a restore of a generated database, side by side: ours, the runbook's script, `pg_dump -Fc`, pgBackRest.

Each way works on the same server, which is set up as the platform sets up its own, one after the other, in turns
(ROUNDS=3), so that all meet the same machine. Ours is shown twice: as it is (dumped, read whole again and compared with
what the database holds), and the dump alone, which is all that the others do. Its restore compares, replays settings,
analyzes, and swaps; the others write into a database that nobody can use meanwhile, so that their outage is as long as
they take. pgBackRest copies the files of the whole cluster, compressed by zstd with a process for each processor, and
back into a folder; of the log that it would need to start on them nothing is in its time.

Both are measured twice: with nearly all data in one table, which a single session copies into, and with data in all
tables, as they come with use. Prints two tables for each: seconds (medians), what is stored, processor seconds of the
whole machine, and how many times faster than the runbook's. Ends with 1 when a backup of ours is not 2.5 times as fast
as the runbook's or larger, a restore not twice as fast, or nobody can use the database for a second.
Run: make bench, or this file; MEGABYTES=2000 is the size of the database as the server stores it. FOLDER=/var/tmp is
where all of it lies, server and sets; one in memory (a tmpfs) shows what the processors do without the disk's waits.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ansible.module_utils

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "integration"), str(ROOT / "library")]


ansible.module_utils.__path__.append(str(ROOT / "module_utils"))

from ansible.module_utils.erni import backup_parts, engine, postgres_dump, restore_flow, restore_postgres  # noqa: E402 (its path is set above)
from ansible.module_utils.erni.backup_set import Part  # noqa: E402 (likewise)
from ansible.module_utils.erni.restore_record import Record, RecordFile  # noqa: E402 (likewise)
from ansible.module_utils.erni.restore_targets import PostgresTarget  # noqa: E402 (likewise)
from ansible.module_utils.erni.text_table import text_table  # noqa: E402 (likewise)
from postgres_server import SCHEMA, Server  # noqa: E402 (likewise)

MEGABYTES = int(os.environ.get("MEGABYTES", "2000"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
FOLDER = os.environ.get("FOLDER", "/var/tmp")  # noqa: S108 (what lies in it has a name of its own)
DATABASE, OWNER = "erni_agents", "erni_user"
BACKUP_FACTOR, RESTORE_FACTOR, LONGEST_OUTAGE = 2.5, 2.0, 1.0
TEXTS = 20_000
UID = 999


@dataclass
class Way:
    """A way of doing it: ``seconds`` and ``processor`` of each round, ``size`` in bytes, ``outage`` in seconds."""

    name: str
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    size: int = 0
    outage: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @contextmanager
    def measured(self, server: Server) -> Iterator[None]:
        """Begins when nothing that others left in memory is still to be written, which would be this one's time."""
        server.ask("checkpoint")
        os.sync()
        began, busy = time.monotonic(), processor_seconds()
        yield
        self.seconds.append(time.monotonic() - began)
        self.processor.append(processor_seconds() - busy)


def processor_seconds() -> float:
    """That the whole machine has been busy for (proc(5), /proc/stat): servers and clients alike."""
    first = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _waiting, interrupt, soft = map(int, first[:7])
    return (user + nice + system + interrupt + soft) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server_on_disk(client: Any, image: str, folder: Path) -> Iterator[tuple[Server, postgres_dump.Server]]:
    """A PostgreSQL whose data are on this machine's disk, set up as the platform sets up its own."""
    password = secrets.token_urlsafe(16)
    for name in ("sockets", "configuration", "data", "repository"):
        (folder / name).mkdir()
        os.chown(folder / name, UID, UID)
    pgpass = folder / "configuration" / "pgpass"
    pgpass.write_text(f"*:*:*:postgres:{password}\n")
    os.chown(pgpass, UID, UID)
    pgpass.chmod(0o600)
    platform = f"erni-bench-{secrets.token_hex(4)}"
    container = f"{platform}-postgres"
    host = client.create_host_config(
        binds={
            str(folder / "sockets"): {"bind": "/var/run/postgresql", "mode": "rw"},
            str(folder / "configuration"): {"bind": "/etc/erni", "mode": "ro"},
            str(folder / "data"): {"bind": "/var/lib/postgresql/data", "mode": "rw"},
            str(folder / "repository"): {"bind": "/repository", "mode": "rw"},
        },
        shm_size="1g",
    )
    # What the postgres role sets for a server that may use 2 GB (roles/postgres/defaults/main.yml).
    settings = ("shared_buffers=512MB", "maintenance_work_mem=128MB", "random_page_cost=1.1")
    client.create_container(
        image,
        command=["postgres", *(word for setting in settings for word in ("-c", setting))],
        name=container,
        user=f"{UID}:{UID}",
        environment={
            "POSTGRES_PASSWORD": password,
            "POSTGRES_INITDB_ARGS": "--data-checksums --encoding=UTF8 --locale=C.UTF-8",
            "PGPASSFILE": "/etc/erni/pgpass",
        },
        host_config=host,
    )
    try:
        client.start(container)
        ready = ("pg_isready", "--quiet", "--host=/var/run/postgresql")
        while engine.run_inside(client, container, ready)[0] != 0:
            time.sleep(0.2)
        sockets = str(folder / "sockets")
        configuration = str(folder / "configuration")
        image_id = client.inspect_container(container)["Image"]
        yield (
            Server(sockets, password, container),
            postgres_dump.Server(platform, image_id, UID, UID, sockets, configuration, password),
        )
    finally:
        client.remove_container(container, force=True, v=True)


# A step of growth, statement by statement; ``%(texts)s`` stands for the number of texts.
MESSAGES = """insert into messages (conversation_id, message_id, role, content)
    select c.id, gen_random_uuid()::text, 'user', t.body
      from generate_series(1, 100000) g join texts t on t.n = (g * 7919) %% %(texts)s
      join (select id, row_number() over () as n from newest) c on c.n = 1 + g %% 5000"""
CONVERSATIONS = """insert into conversations (user_name, current_agent, message_count, context)
    select 'user ' || g, 'estimator', 20, jsonb_build_object('summary', left(t.body, 600), 'step', g)
      from generate_series(1, 5000 * %(times)s) g join texts t on t.n = (g * 7919) %% %(texts)s"""
OTHERS = (
    """insert into audit_log (actor, action, subject_table, subject_id, details)
    select 'user ' || g %% 500, 'message.sent', 'messages', gen_random_uuid(),
           jsonb_build_object('excerpt', left(t.body, 200), 'number', g)
      from generate_series(1, 100000) g join texts t on t.n = (g * 7919) %% %(texts)s""",
    """insert into cost_estimates (conversation_id, amount, breakdown)
    select c.id, g, jsonb_build_object('text', left(t.body, 900), 'lines', jsonb_build_array(g, g + 1, g + 2))
      from generate_series(1, 10000) g join texts t on t.n = (g * 7919) %% %(texts)s
      join (select id, row_number() over () as n from newest) c on c.n = 1 + g %% 5000""",
    """insert into consultations (conversation_id, specialist, scheduled_for, notes)
    select c.id, 'planner', now(), t.body
      from generate_series(1, 10000) g join texts t on t.n = (g * 7919) %% %(texts)s
      join (select id, row_number() over () as n from newest) c on c.n = 1 + g %% 5000""",
)
NEWEST = "create view newest as select id from conversations order by created_at desc limit 5000"
SHAPES = {"one table": (MESSAGES,), "all tables": (CONVERSATIONS, MESSAGES, *OTHERS)}


def fill(server: Server, shape: str) -> None:
    """Texts of made-up words until the database has its size: messages alone, or what comes with them, too."""
    server.ask(f"create role {OWNER} nologin")
    server.ask(f"create database {DATABASE} owner {OWNER}")
    server.ask(SCHEMA, DATABASE)
    dice = random.Random(20260101)  # noqa: S311 (the same text each time)
    words = ["".join(dice.choices("abcdefghiklmnoprstuvwz", k=dice.randint(2, 12))) for _ in range(8000)]
    with server.as_admin(DATABASE) as connected, connected.cursor() as cursor:
        cursor.execute("create table texts (n int primary key, body text)")
        for number in range(TEXTS):
            body = " ".join(dice.choices(words, k=dice.randint(20, 160)))
            cursor.execute("insert into texts values (%s, %s)", (number, body))
        cursor.execute(NEWEST)
        cursor.execute(CONVERSATIONS, {"texts": TEXTS, "times": 1})
        while _size(cursor) < MEGABYTES * 1_000_000:
            for statement in SHAPES[shape]:
                cursor.execute(statement, {"texts": TEXTS, "times": 4})
        cursor.execute("drop view newest")
        cursor.execute("drop table texts")
        cursor.execute("vacuum analyze")
        cursor.execute("checkpoint")


def _size(cursor: Any) -> int:
    cursor.execute("select pg_database_size(current_database())")
    return int(cursor.fetchone()[0])


def shell(command: str) -> None:
    subprocess.run(["bash", "-c", command], check=True, stdout=subprocess.DEVNULL)


class PgBackRest:
    """Its repository lies where the server's container sees it; what its words mean is in its manual."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.repository = folder / "repository"
        words = (
            "pgbackrest --stanza=bench --repo1-path=/repository/sets --log-path=/repository/log --lock-path=/tmp/locks"
            " --log-level-console=error"
        )
        processes = f"--process-max={os.cpu_count() or 1}"
        self._run = f"docker exec {server.container} {words}"
        sockets = "--pg1-socket-path=/var/run/postgresql --pg1-user=postgres"
        self._source = f"--pg1-path=/var/lib/postgresql/data {sockets}"
        self._backup = (
            f"{self._source} --no-archive-check --start-fast --compress-type=zst --compress-level=3 {processes}"
        )
        self._restore = f"--pg1-path=/repository/restored {processes}"

    def fresh(self) -> None:
        for path in self.repository.iterdir():
            shutil.rmtree(path)
        for name in ("sets", "log", "restored"):
            (self.repository / name).mkdir(mode=0o700)
            os.chown(self.repository / name, UID, UID)
        shell(f"{self._run} {self._source} --no-online stanza-create")

    def back_up(self) -> None:
        shell(f"{self._run} {self._backup} --type=full backup")

    def size(self) -> int:
        return sum(path.stat().st_size for path in (self.repository / "sets").rglob("*") if path.is_file())

    def restore(self) -> None:
        shell(f"{self._run} {self._restore} restore")


class Backups:
    """Each way of making one, into a folder of its own."""

    def __init__(self, client: Any, server: Server, postgres: postgres_dump.Server, folder: Path) -> None:
        self._client, self._server, self._postgres, self._folder = client, server, postgres, folder
        self._exec = f"docker exec {server.container} pg_dump --host=/var/run/postgresql --username=postgres {DATABASE}"
        self.part: Part | None = None
        self.ours, self.dump = Way("ours, read whole and compared"), Way("ours, the dump alone")
        self.runbook, self.custom = Way("the runbook's: pg_dump | gzip"), Way("pg_dump -Fc")
        self.files, self.pgbackrest = Way("pgBackRest, the whole cluster"), PgBackRest(server, folder.parent)

    @property
    def ways(self) -> list[Way]:
        return [self.runbook, self.custom, self.files, self.dump, self.ours]

    def path(self, name: str) -> Path:
        return self._folder / name

    def measure(self) -> None:
        with self.runbook.measured(self._server):
            shell(f"{self._exec} | gzip > {self.path('runbook.sql.gz')}")
        self.runbook.size = self.path("runbook.sql.gz").stat().st_size
        with self.custom.measured(self._server):
            shell(f"{self._exec} --format=custom > {self.path('custom.dump')}")
        self.custom.size = self.path("custom.dump").stat().st_size
        self.pgbackrest.fresh()
        with self.files.measured(self._server):
            self.pgbackrest.back_up()
        self.files.size = self.pgbackrest.size()
        folder = self._fresh("dump")
        with self.dump.measured(self._server):
            dumped = postgres_dump.dump(self._client, self._postgres, DATABASE, str(folder), str(folder / "exchange"))
        self.dump.size = sum(written.size for written in dumped.files.values())
        folder = self._fresh("ours")
        (folder / "exchange").rmdir()
        with self.ours.measured(self._server):
            self.part = backup_parts.postgres_part(self._client, self._postgres, DATABASE, str(folder), "one")
        self.ours.size = self.part.size

    def _fresh(self, name: str) -> Path:
        folder = self.path(name)
        shutil.rmtree(folder, ignore_errors=True)  # as much as goes: it is the benchmark's own
        (folder / "exchange").mkdir(parents=True)
        os.chown(folder / "exchange", UID, UID)
        return folder


class Restores:
    """Each way of getting one back; the others' into a database that is emptied before."""

    def __init__(self, client: Any, server: Server, backups: Backups, postgres: postgres_dump.Server) -> None:
        self._client, self._server, self._backups, self._postgres = client, server, backups, postgres
        self._exec = f"docker exec -i {server.container}"
        self._to = "--host=/var/run/postgresql --username=postgres --dbname=other"
        self.ours = Way("ours, compared, analyzed and swapped")
        self.runbook, self.custom = Way("the runbook's: gunzip | psql"), Way("pg_restore of -Fc")
        self.files = Way("pgBackRest, the whole cluster's files")

    @property
    def ways(self) -> list[Way]:
        return [self.runbook, self.custom, self.files, self.ours]

    def measure(self) -> None:
        for way, command in (
            (self.runbook, f"gunzip < {self._backups.path('runbook.sql.gz')} | {self._exec} psql --quiet {self._to}"),
            (self.custom, f"{self._exec} pg_restore {self._to} < {self._backups.path('custom.dump')}"),
        ):
            self._server.ask("drop database if exists other with (force)")
            self._server.ask("create database other template template0")
            with way.measured(self._server):
                shell(command)
            way.outage.append(way.seconds[-1])
        self._server.ask("drop database other with (force)")
        with self.files.measured(self._server):
            self._backups.pgbackrest.restore()
        self.files.outage.append(self.files.seconds[-1])
        self._ours()

    def _ours(self) -> None:
        folder = self._backups.path("records")
        shutil.rmtree(folder, ignore_errors=True)  # as much as goes: it is the benchmark's own
        exchange = folder / "exchange"
        exchange.mkdir(parents=True)
        os.chown(exchange, UID, UID)
        target, file = PostgresTarget(self._postgres, DATABASE), RecordFile(str(folder), "postgres")
        part = self._backups.part
        if part is None:
            raise ValueError("there is no backup yet")
        source = str(self._backups.path("ours"))
        with self.ours.measured(self._server):
            restore_flow.prepare(
                file,
                Record(),
                "set",
                lambda: restore_postgres.from_set(
                    self._client, self._postgres, part, source, "", DATABASE, str(folder), str(exchange)
                ),
            )
            self.ours.outage.append(restore_flow.switch(target, file, "set", time.time()))
        for name in target.kept():
            target.drop(name)


def table(ways: list[Way], runbook: Way, *, with_size: bool) -> str:
    rows = []
    for way in ways:
        row = {"way": way.name, "seconds": f"{way.median:.1f}", "times as fast": f"{runbook.median / way.median:.1f}"}
        if with_size:
            row["stored"] = f"{way.size / 1e6:.0f} MB"
        else:
            row["nobody can use it for"] = f"{statistics.median(way.outage):.2f} s"
        rows.append({**row, "processor seconds": f"{statistics.median(way.processor):.1f}"})
    return text_table(rows)


def missed(shape: str, backups: Backups, restores: Restores) -> list[str]:
    """The bounds that do not hold, as sentences."""
    found = []
    if backups.runbook.median < BACKUP_FACTOR * backups.ours.median:
        found.append(f"a backup is not {BACKUP_FACTOR} times as fast as the runbook's")
    if backups.ours.size > backups.runbook.size:
        found.append("a backup is larger than the runbook's")
    if restores.runbook.median < RESTORE_FACTOR * restores.ours.median:
        found.append(f"a restore is not {RESTORE_FACTOR} times as fast as the runbook's")
    if max(restores.ours.outage) >= LONGEST_OUTAGE:
        found.append("nobody could use the database for a second")
    return [f"where the data are in {shape}, {sentence}" for sentence in found]


def in_turns(*measurements: Callable[[], None]) -> None:
    for number in range(ROUNDS):
        for measure in measurements:
            measure()
        print(f"round {number + 1} of {ROUNDS} is done", file=sys.stderr)


def compare(client: Any, image: str, shape: str) -> list[str]:
    """Print the two tables of a database of that shape; what does not hold, as sentences."""
    folder = Path(tempfile.mkdtemp(prefix="erni-bench-", dir=FOLDER))
    folder.chmod(0o711)
    try:
        with server_on_disk(client, image, folder) as (server, postgres):
            fill(server, shape)
            (folder / "backups").mkdir(mode=0o711)
            backups = Backups(client, server, postgres, folder / "backups")
            restores = Restores(client, server, backups, postgres)
            in_turns(backups.measure, restores.measure)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # as much as goes: it is the benchmark's own
    print(f"A database of {MEGABYTES} MB, its data in {shape}; medians of {ROUNDS} rounds\n")
    print(table(backups.ways, backups.runbook, with_size=True), end="\n\n")
    print(table(restores.ways, restores.runbook, with_size=False), end="\n\n")
    return missed(shape, backups, restores)


def main() -> int:
    client = engine.connect()
    image = str(max(client.images(name="erni/postgres"), key=lambda one: one["Created"])["RepoTags"][0])
    misses = [sentence for shape in SHAPES for sentence in compare(client, image, shape)]
    for sentence in misses:
        print(f"Not as it should be: {sentence}.")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
