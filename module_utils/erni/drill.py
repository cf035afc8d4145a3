"""Try a restore of a set before it is needed: into servers of its own that nobody reaches, with the application on top.

All of it shares a network without a way out, in which the names of the services mean the drill's own: the application
is started as it is configured, and cannot reach what serves. Nothing is left of it afterwards, whatever happens.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from . import engine, redis_restore, restore_postgres, sessions_restore
from .backup_set import POSTGRES, REDIS, SESSIONS, Manifest, Part
from .backup_unpack import unpack
from .errors import PlatformError
from .files import File, ensure_folder, write_atomically
from .network_http import Question, ask_from
from .pipeline import read_through
from .postgres_dump import Server
from .postgres_restore import maintenance, session, swap
from .postgres_roles import restore_globals
from .redis_snapshot import Server as RedisServer
from .redis_snapshot import SnapshotFacts
from .scratch_container import EXCHANGE, POLL_SECONDS, Job, Running, running

READY_SECONDS = 120.0
WAY_OUT = "What serves was not touched. Take the set for worth nothing until a drill of it succeeds."
NAMES = ("postgres", "redis")  # that the application knows them by
# Its data are thrown away, so that nothing need be on the disk. Whoever reaches it is let in: only the drill does.
START_POSTGRES = (
    f"initdb --pgdata={EXCHANGE}/data --username=postgres --auth=trust --encoding=UTF8 --no-sync > {EXCHANGE}/log 2>&1"
    f" && exec postgres -D {EXCHANGE}/data -c unix_socket_directories={EXCHANGE}/socket -c listen_addresses=127.0.0.1 "
    f"-c fsync=off -c full_page_writes=off -c shared_buffers=128MB -c max_wal_size=4GB >> {EXCHANGE}/log 2>&1"
)
REDIS_CONFIGURATION = f"""\
bind 127.0.0.1
port 6379
unixsocket {EXCHANGE}/redis.sock
dir {EXCHANGE}
appendonly yes
save ""
user default on nopass ~* &* +@all
"""
INVALID = """
    select 'constraint ' || conname from pg_constraint where not convalidated
    union all
    select 'index ' || indexrelid::regclass from pg_index where not indisvalid or not indisready
"""
APPLICATION_SESSIONS = "select count(*) from pg_stat_activity where datname = %s and usename <> %s"


@dataclass(frozen=True)
class Application:
    """The backend as it runs: its container, the volume's folder in it, and what has to answer with 200."""

    container: str
    port: int = 8000
    health: str = "/health"
    further: tuple[str, ...] = ("/readiness",)


@dataclass
class Drill:
    """What a drill is given, and what it finds out: how long each phase took, in seconds, and sentences."""

    client: Any
    platform: str
    manifest: Manifest
    folder: str
    scratch: str
    identity: str
    database: str
    postgres: Server
    redis: RedisServer | None
    application: Application | None
    phases: dict[str, float] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def run(self) -> None:
        """:raises PlatformError: for whatever keeps the set from being restored."""
        with self._folder(), self._timed("postgres starts", self._postgres()) as server:
            temporary = replace(self.postgres, socket_folder=self._at("postgres/socket"), password="")
            self._phase("postgres is restored", lambda: self._restore_database(temporary))
            with self._redis():
                self._phase("sessions are read", self._restore_sessions)
                if self.application is None:
                    self.said.append("The application is not on this host, and has not read it.")
                else:
                    self._phase("the application reads it", lambda: self._start_application(server, temporary))

    # Folders and phases

    def _at(self, name: str) -> str:
        return os.path.join(self.scratch, name)

    @contextmanager
    def _folder(self) -> Iterator[None]:
        shutil.rmtree(self.scratch, ignore_errors=True)  # of a drill that was killed
        ensure_folder(self.scratch, 0o711)
        try:
            yield
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)  # what stays goes with the next drill

    def _phase(self, name: str, action: Callable[[], None]) -> None:
        began = time.monotonic()
        action()
        self.phases[name] = round(time.monotonic() - began, 2)

    @contextmanager
    def _timed(self, name: str, context: Any) -> Iterator[Any]:
        """The context's beginning is a phase."""
        began = time.monotonic()
        with context as value:
            self.phases[name] = round(time.monotonic() - began, 2)
            yield value

    # PostgreSQL

    @contextmanager
    def _postgres(self) -> Iterator[Running]:
        folder = self._at("postgres")
        for path in (folder, f"{folder}/data", f"{folder}/socket"):
            ensure_folder(path, 0o700, self.postgres.uid, self.postgres.gid)
        job = Job(
            name=f"{self.platform}-drill-postgres",
            platform=self.platform,
            image=self.postgres.image,
            command=("postgres",),
            wrapper=("sh", "-c", START_POSTGRES),
            user=f"{self.postgres.uid}:{self.postgres.gid}",
            exchange=folder,
            hosts=NAMES,
        )
        with running(self.client, job) as server:
            self._until_ready(server, ("pg_isready", "--quiet", f"--host={EXCHANGE}/socket"), f"{folder}/log")
            yield server

    def _until_ready(self, server: Running, question: tuple[str, ...], log: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while server.ended() is None and time.monotonic() < deadline:
            with suppress(engine.docker_errors.APIError):  # it has ended between the two
                if engine.run_inside(self.client, server.job.name, question)[0] == 0:
                    return
            time.sleep(POLL_SECONDS)
        said = _read(log)[-500:].strip() or server.said()
        raise PlatformError(f"The drill's {server.job.command[0]} did not start", said, WAY_OUT)

    def _restore_database(self, server: Server) -> None:
        part = self._part(POSTGRES)
        name = next(file.name for file in part.files if file.name.startswith("globals.sql"))
        globals_ = read_through(os.path.join(self.folder, name), unpack(name, self.identity)).decode()
        exchange = self._at("exchange")
        ensure_folder(exchange, 0o700, server.uid, server.gid)
        with maintenance(server) as cursor:
            restore_globals(cursor, globals_)
        restore_postgres.from_set(
            self.client, server, part, self.folder, self.identity, self.database, exchange, exchange, purpose="drill"
        )
        swap(server, self.database, f"{self.database}_restored", "")
        with session(server, self.database) as cursor:
            cursor.execute(INVALID)
            if wrong := [name for (name,) in cursor.fetchall()]:
                raise PlatformError("What was restored is not valid", ", ".join(wrong[:5]), WAY_OUT)

    # Redis

    @contextmanager
    def _redis(self) -> Iterator[None]:
        parts = self.manifest.part(REDIS)
        if self.redis is None or not parts or not parts[0].files:
            self.said.append("Redis is not on this host, and its keys were not loaded.")
            yield
            return
        began = time.monotonic()
        folder, server = self._at("redis"), self.redis
        ensure_folder(folder, 0o700, server.uid, server.gid)
        name = parts[0].files[0].name
        source = os.path.join(self.folder, name)
        temporary = replace(server, platform=f"{self.platform}-drill")
        facts = redis_restore.prepare(self.client, temporary, folder, source, unpack(name, self.identity), folder)
        os.rename(os.path.join(folder, redis_restore.PREPARED), os.path.join(folder, redis_restore.LIVE))
        configuration = File(os.path.join(folder, "redis.conf"), REDIS_CONFIGURATION, 0o400, server.uid, server.gid)
        write_atomically(configuration)
        job = Job(
            name=f"{self.platform}-drill-redis",
            platform=self.platform,
            image=server.image,
            command=("redis-server", f"{EXCHANGE}/redis.conf"),
            user=f"{server.uid}:{server.gid}",
            exchange=folder,
            network=f"container:{self.platform}-drill-postgres",
        )
        with running(self.client, job) as started:
            self._require_keys(started, facts)
            self.phases["redis is loaded"] = round(time.monotonic() - began, 2)
            yield

    def _require_keys(self, started: Running, facts: SnapshotFacts) -> None:
        ask = ("redis-cli", "-s", f"{EXCHANGE}/redis.sock")
        self._until_ready(started, ("sh", "-c", f"{' '.join(ask)} ping | grep -q PONG"), self._at("redis/none"))
        _, told = engine.ask_inside(self.client, started.job.name, (*ask, "info", "keyspace"))
        redis_restore.require_keys(redis_restore.counted(told), facts)

    # The sessions, and the application

    def _restore_sessions(self) -> None:
        ensure_folder(self._at("sessions"), 0o700)
        for part in self.manifest.part(SESSIONS):
            for file in part.files:
                target = self._at(f"sessions/{part.host}.db")
                found = sessions_restore.prepare(
                    os.path.join(self.folder, file.name), unpack(file.name, self.identity), target
                )
                if found.rows != part.facts["rows"]:
                    raise PlatformError(f"The sessions of {part.host} have other rows than the set says", "", WAY_OUT)

    def _start_application(self, postgres: Running, server: Server) -> None:
        """With everything that it is configured with; its own names lead to the drill's servers."""
        if self.application is None:
            return
        live = self.client.inspect_container(self.application.container)
        with running(self.client, self._application_job(live)) as application:
            process = self.client.inspect_container(postgres.job.name)["State"]["Pid"]
            self._until_healthy(application, process)
            for path in self.application.further:  # whatever it answers: it has asked its database for it
                ask_from(process, self._question(path))
            with maintenance(server) as cursor:
                cursor.execute(APPLICATION_SESSIONS, (self.database, server.admin))
                count = cursor.fetchone()[0]
        self.said.append(f"The application came up on it, with {count} sessions in the database.")

    def _question(self, path: str) -> Question:
        return Question("127.0.0.1", self.application.port if self.application else 0, path)

    def _until_healthy(self, application: Running, process: int) -> None:
        path = self.application.health if self.application else ""
        deadline = time.monotonic() + READY_SECONDS
        why = "it has ended"
        while application.ended() is None and time.monotonic() < deadline:
            why = ask_from(process, self._question(path)).objection(path)
            if not why:
                return
            time.sleep(POLL_SECONDS)
        raise PlatformError(
            "The application does not come up on what was restored", f"{why}; {application.said()}", WAY_OUT
        )

    def _application_job(self, live: Any) -> Job:
        config, environment = live["Config"], dict(entry.split("=", 1) for entry in live["Config"]["Env"])
        sessions = os.path.dirname(environment.get("SESSIONS_DB_PATH", ""))
        writable, tmpfs = {}, dict(live["HostConfig"].get("Tmpfs") or {})
        for mount in live["Mounts"]:
            if mount["Destination"] == sessions:
                writable[sessions] = self._sessions_folder(mount["Source"], environment["SESSIONS_DB_PATH"])
            elif mount["RW"]:
                tmpfs[mount["Destination"]] = "size=64m,mode=1777"
        return Job(
            name=f"{self.platform}-drill-backend",
            platform=self.platform,
            image=str(live["Image"]),
            command=tuple(config.get("Cmd") or ()),
            wrapper=tuple(config.get("Entrypoint") or ()),
            user=str(config["User"]),
            environment=environment,
            writable=writable,
            tmpfs=tmpfs,
            network=f"container:{self.platform}-drill-postgres",
        )

    def _sessions_folder(self, volume: str, path: str) -> str:
        """The first host's sessions, as the application's own."""
        owner, folder = os.stat(volume), self._at("application")
        ensure_folder(folder, 0o700, owner.st_uid, owner.st_gid)
        for name in sorted(os.listdir(self._at("sessions")))[:1]:
            target = os.path.join(folder, os.path.basename(path))
            shutil.copyfile(self._at(f"sessions/{name}"), target)
            os.chown(target, owner.st_uid, owner.st_gid)
        return folder

    def _part(self, kind: str) -> Part:
        for part in self.manifest.part(kind):
            if part.files:
                return part
        raise PlatformError(f"Set {self.manifest.id} holds no {kind}", "", WAY_OUT)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
