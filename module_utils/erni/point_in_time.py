"""Bring the cluster back to a moment, beside the one that serves, and make an ordinary dump of its database.

From a base backup and the archived WAL, in a volume and containers of its own that have no network, read the archive
only, and cannot archive. Nothing of it is left but the dump.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from . import archive_apply, archive_plan, backup_parts, engine
from .archive_apply import Archive
from .archive_plan import BaseBackup, told
from .backup_set import Part
from .database_apply import MAINTENANCE_DATABASE, connection
from .errors import PlatformError
from .excerpts import last_lines
from .files import File, ensure_folder, write_atomically
from .postgres_dump import Server
from .scratch_container import EXCHANGE, POLL_SECONDS, Job, Running, running
from .service_spec import LABEL_PREFIX

RECOVERY_SECONDS = 24 * 3600.0
MEMORY = 1 << 30  # bytes: the scratch server's limit
NOT_REACHED = "recovery ended before configured recovery target was reached"
LOG = "server.log"
LIVE_UNTOUCHED = "The database that serves and the archive were not touched."
POSITION = "select pg_is_in_recovery(), pg_last_xact_replay_timestamp()"

# Its data are thrown away, so that nothing need be on the disk; its limits have to be as wide as any live server's.
# Whoever reaches the socket's folder (root, and the server's user) is let in: the passwords are those of that moment.
SETTINGS = """\
listen_addresses = ''
port = 5432
unix_socket_directories = '{exchange}/socket'
hba_file = '{exchange}/configuration/pg_hba.conf'
shared_buffers = 128MB
max_connections = 20
max_locks_per_transaction = 1024
max_prepared_transactions = 200
fsync = off
full_page_writes = off
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
"""


@dataclass(frozen=True)
class Recovered:
    """``part`` is as a backup set has it, taken at the moment. ``last_commit`` tells the last transaction in it."""

    part: Part
    base: str
    last_commit: str
    oldest: str
    newest: str


@dataclass(frozen=True)
class Scratch:
    """The folders of a recovery, in its volume, as the host sees them."""

    folder: str

    @property
    def data(self) -> str:
        return os.path.join(self.folder, "data")

    @property
    def socket(self) -> str:
        return os.path.join(self.folder, "socket")

    @property
    def configuration(self) -> str:
        return os.path.join(self.folder, "configuration")

    def log(self) -> str:
        try:
            with open(os.path.join(self.folder, LOG), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""


def volume_name(platform: str) -> str:
    """One name for all attempts: whatever a killed one left is found, and goes with the next."""
    return f"{platform}-point-in-time"


def possible(client: Any, archive: Archive, moment: dt.datetime, now: dt.datetime) -> tuple[BaseBackup, str]:
    """The base backup to start from, and the oldest moment. Changes nothing.

    :raises PlatformError: when that moment cannot be had.
    """
    backups = archive_apply.observe(client, archive).backups
    base = archive_plan.base_for(backups, moment, now)
    oldest = archive_plan.oldest_moment(backups)
    return base, told(oldest) if oldest else ""


def recover(
    client: Any, archive: Archive, database: str, moment: dt.datetime, folder: str, host: str, *, live: bool
) -> Recovered:
    """The database as it was at ``moment``, as a part of a set in the folder, which holds nothing else afterwards.

    :param live: whether the archive's own server runs, so that all until now can be waited for in the archive.
    :raises PlatformError: when that moment cannot be had, or anything on the way to it is damaged.
    """
    now = dt.datetime.now(dt.UTC)
    base, oldest = possible(client, archive, moment, now)
    clear(client, archive.server, folder)
    try:
        if live:
            archive_apply.settle(archive.server)
        ensure_folder(folder, 0o700)
        backup_parts.check_room(folder, backup_parts.room_needed(base.size, 0))
        with scratch_volume(client, archive.server, base.size) as scratch:
            _restore(client, archive, scratch, base, moment)
            part, commit = _read(client, archive, scratch, database, moment, folder, host, live=live)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # the error that is on its way says more
        raise
    newest = now if live else archive_plan.next_second(commit) if commit else moment
    part = replace(part, taken=moment.timestamp())
    return Recovered(part, base.label, told(commit) if commit else "", oldest, told(newest.replace(microsecond=0)))


def is_archived_here(client: Any, archive: Archive) -> bool:
    """Whether the server that runs is the one that the archive is of: it may have lost its data and begun anew."""
    return archive_apply.observe(client, archive).system == archive_apply.system_of(archive.server)


def clear(client: Any, server: Server, folder: str) -> None:
    """Remove what a killed recovery left, its dump included."""
    for purpose in ("dump", "verify", *(f"archive-{one}" for one in ("restore", "recover"))):
        engine.remove_if_present(client, server.job(purpose, ("true",)).name)
    engine.remove_volume(client, volume_name(server.platform))
    shutil.rmtree(folder, ignore_errors=True)  # what a killed run left; there may be none


@contextmanager
def scratch_volume(client: Any, server: Server, size: int) -> Iterator[Scratch]:
    """An empty volume with room for ``size`` bytes of data, which is gone afterwards."""
    name = volume_name(server.platform)
    client.create_volume(name, labels={f"{LABEL_PREFIX}platform": server.platform, f"{LABEL_PREFIX}job": name})
    try:
        scratch = Scratch(backup_parts.volume_folder(client, name))
        backup_parts.check_room(scratch.folder, size + backup_parts.SPARE)
        os.chown(scratch.folder, server.uid, server.gid)
        os.chmod(scratch.folder, 0o700)
        for folder in (scratch.data, scratch.socket, scratch.configuration):
            ensure_folder(folder, 0o700, server.uid, server.gid)
        yield scratch
    finally:
        engine.remove_volume(client, name)


def _restore(client: Any, archive: Archive, scratch: Scratch, base: BaseBackup, moment: dt.datetime) -> None:
    """The base backup, and in it what tells the server where to stop (PostgreSQL's manual, section 20.5.5)."""
    words = (
        f"--pg1-path={EXCHANGE}/data",
        f"--tablespace-map-all={EXCHANGE}/tablespaces",
        f"--set={base.label}",
        "--type=time",
        f"--target={told(moment)}",
        "--target-action=promote",
        "--archive-mode=off",
        "restore",
    )
    job = archive.job("restore", words, scratch.folder)
    with running(client, job) as restoring:
        restoring.succeed(f"The base backup {base.label} could not be restored", LIVE_UNTOUCHED, RECOVERY_SECONDS)


def _read(
    client: Any,
    archive: Archive,
    scratch: Scratch,
    database: str,
    moment: dt.datetime,
    folder: str,
    host: str,
    *,
    live: bool,
) -> tuple[Part, dt.datetime | None]:
    """Replay, and dump what is there then. Where the archive ends with the very moment, all of it is replayed."""
    _configure(archive.server, scratch)
    for words in ((), ("-c", "recovery_target_time=")):
        with running(client, _server_job(archive, scratch, words)) as server:
            if _has_recovered(client, server):
                commit = _position(scratch, moment)
                temporary = replace(archive.server, socket_folder=scratch.socket, configuration=scratch.configuration)
                return backup_parts.postgres_part(client, temporary, database, folder, host), commit
        log = scratch.log()
        commit = archive_plan.last_commit(log)
        if words or live or NOT_REACHED not in log or not archive_plan.is_end(moment, commit):
            break
    raise _unreached(moment, log, commit, live=live)


def _configure(server: Server, scratch: Scratch) -> None:
    files = {"postgresql.conf": SETTINGS.format(exchange=EXCHANGE), "pg_hba.conf": "local all all trust\n"}
    for name, content in files.items():
        write_atomically(File(os.path.join(scratch.configuration, name), content, 0o400, server.uid, server.gid))


def _server_job(archive: Archive, scratch: Scratch, further: tuple[str, ...]) -> Job:
    """Arguments win over what ALTER SYSTEM has left in the data: whatever that is, this server archives nothing, and
    nobody reaches it."""
    fetch = f"pgbackrest --stanza={archive.stanza} --pg1-path={EXCHANGE}/data archive-get %f %p"
    settings = {
        "config_file": f"{EXCHANGE}/configuration/postgresql.conf",
        "listen_addresses": "",
        "unix_socket_directories": f"{EXCHANGE}/socket",
        "archive_mode": "off",
        "archive_command": "",
        "archive_library": "",
        "restore_command": fetch,
        "hot_standby": "off",  # so that it takes no connection before it is where it should be
        "shared_preload_libraries": "",
        "log_destination": "stderr",
        "logging_collector": "off",
        "ssl": "off",
    }
    words = tuple(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
    # A log of each attempt: the engine sometimes loses what a program printed.
    wrapper = ("sh", "-c", f'exec "$@" 2> {EXCHANGE}/{LOG}', "sh")
    command = ("postgres", "-D", f"{EXCHANGE}/data", *words, *further)
    return replace(archive.job("recover", (), scratch.folder), wrapper=wrapper, command=command, memory=MEMORY)


def _has_recovered(client: Any, server: Running) -> bool:
    """Whether it serves in the end; it ends where it cannot get as far as it was told.

    :raises PlatformError: when it does neither.
    """
    deadline = time.monotonic() + RECOVERY_SECONDS
    ready = ("pg_isready", "--quiet", f"--host={EXCHANGE}/socket")
    while server.ended() is None:
        try:
            if engine.run_inside(client, server.job.name, ready)[0] == 0:
                return True
        except engine.docker_errors.APIError:
            continue  # it has ended between the two
        if time.monotonic() > deadline:
            raise PlatformError(
                "The recovery takes too long", f"it has not ended within {RECOVERY_SECONDS:g} s", LIVE_UNTOUCHED
            )
        time.sleep(POLL_SECONDS)
    return False


def _position(scratch: Scratch, moment: dt.datetime) -> dt.datetime | None:
    """The last commit that was replayed; None where there was none since the base backup.

    :raises PlatformError: when that is not where it should be: then nothing that it holds counts.
    """
    with connection(scratch.socket, MAINTENANCE_DATABASE, "postgres", "") as connected, connected.cursor() as cursor:
        cursor.execute(POSITION)
        recovering, commit = cursor.fetchone()
    if recovering or (commit is not None and commit > moment):
        raise PlatformError(
            "The recovery did not stop where it should",
            f"it is at {told(commit) if commit else 'no known moment'}",
            LIVE_UNTOUCHED,
        )
    return commit.astimezone(dt.UTC) if commit else None


def _unreached(moment: dt.datetime, log: str, commit: dt.datetime | None, *, live: bool) -> PlatformError:
    what = f"TIME={told(moment)} cannot be recovered"
    if NOT_REACHED not in log:
        return PlatformError(what, f"the server that replays has ended; it says: {last_lines(log)}", LIVE_UNTOUCHED)
    upto = f"after the transaction of {told(commit)}" if commit else "right after the base backup"
    until = f' TIME="{told(archive_plan.next_second(commit))}" takes all that there is until then.' if commit else ""
    if live:
        why = f"the archive breaks off {upto}: a WAL segment is missing or damaged"
        return PlatformError(what, why, f"{LIVE_UNTOUCHED} An earlier moment may be had, or a set (make backups).")
    return PlatformError(what, f"the archive ends {upto}", f"{LIVE_UNTOUCHED}{until}")
