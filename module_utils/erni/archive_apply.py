"""The archive of a PostgreSQL server: begin it, prove it, take base backups into it, and read it whole (pgBackRest).

pgBackRest runs in containers of its own, which see the server's data read-only and its socket; the server's container
only pushes its WAL.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from . import archive_plan, backup_parts, engine
from .archive_plan import ArchiveState
from .database_apply import MAINTENANCE_DATABASE, connection
from .errors import PlatformError
from .host_lock import host_lock
from .postgres_dump import CONFIGURATION, Server
from .scratch_container import EXCHANGE, Job, running

DATA, REPOSITORY = "/var/lib/postgresql/data", "/var/lib/pgbackrest"  # as the service's container sees them
CONFIGURATION_FILE = "pgbackrest.conf"
BACKUP_SECONDS = 24 * 3600.0
READ_SECONDS = 120.0
SETTLE_SECONDS = 90
POLL_SECONDS = 0.2
LIVE = "The server goes on, and what is in the archive stays as it is."

SYSTEM = "select system_identifier::text from pg_control_system()"
# Segments that are full and not yet archived: by when they were finished (PostgreSQL's manual, section 9.27.9).
ARCHIVER = """
    select coalesce(extract(epoch from last_archived_time), 0)::float, failed_count,
           coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false),
           (select coalesce(max(extract(epoch from now() - modification)), 0)::float
              from pg_ls_archive_statusdir() where name like '%.ready'),
           (select count(*) from pg_ls_archive_statusdir() where name like '%.ready')
      from pg_stat_archiver
"""

# A module's option that tells where a server and its archive are.
PLACE = {
    "platform": {"type": "str", "required": True},
    "container": {"type": "str", "required": True},
    "image": {"type": "str", "default": ""},
    "user": {"type": "str", "required": True},
    "socket_folder": {"type": "str", "required": True},
    "configuration": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "volume": {"type": "str", "required": True},
    "repository": {"type": "str", "default": ""},
    "network": {"type": "str", "default": "none"},
}


@dataclass(frozen=True)
class Archive:
    """A server's archive. ``data`` is the host's folder with the server's data, ``repository`` the one with the
    archive, '' where that is elsewhere; then ``network`` is the way there. The stanza is the platform's name."""

    server: Server
    data: str = ""
    repository: str = ""
    network: str = "none"

    @property
    def stanza(self) -> str:
        return self.server.platform

    def job(
        self, purpose: str, words: tuple[str, ...], exchange: str, *, reads_data: bool = False, writes: bool = False
    ) -> Job:
        """pgBackRest, whose output comes as the file ``output`` in ``exchange``."""
        job = self.server.job(f"archive-{purpose}", ("pgbackrest", f"--stanza={self.stanza}", *words), exchange)
        mounts = {**job.mounts, **({DATA: self.data} if reads_data else {})}
        repository = {REPOSITORY: self.repository} if self.repository else {}
        return replace(
            job,
            wrapper=("sh", "-c", f'exec "$@" > {EXCHANGE}/output', "sh"),
            mounts=mounts if writes else {**mounts, **repository},
            writable=repository if writes else {},
            environment={**job.environment, "PGBACKREST_CONFIG": f"{CONFIGURATION}/{CONFIGURATION_FILE}"},
            network=self.network,
        )


@dataclass(frozen=True)
class ArchiverState:
    """``waiting_seconds`` since the oldest finished segment waits to be archived; 0 where none does."""

    last_archived: float
    failed_count: int
    failing: bool
    waiting_seconds: float
    waiting: int


def observe(client: Any, archive: Archive) -> ArchiveState:
    """What the archive holds. Changes nothing.

    :raises PlatformError: when it cannot be read.
    """
    text = _run(client, archive, "info", ("--output=json", "info"), "The archive cannot be read", READ_SECONDS)
    return archive_plan.parse_info(text, archive.stanza)


def system_of(server: Server) -> str:
    """The identifier of the cluster that runs."""
    with connection(server.socket_folder, MAINTENANCE_DATABASE, server.admin, server.password) as live:
        return str(_one_row(live, SYSTEM)[0])


def archiver_state(server: Server) -> ArchiverState:
    with connection(server.socket_folder, MAINTENANCE_DATABASE, server.admin, server.password) as live:
        return ArchiverState(*_one_row(live, ARCHIVER))


def create(client: Any, archive: Archive) -> None:
    """Begin the archive; it is for this cluster alone then."""
    _run(client, archive, "begin", ("stanza-create",), "The archive could not be begun", READ_SECONDS, **_FULLY)


def check(client: Any, archive: Archive) -> None:
    """Prove that what is written now arrives in the archive: the server finishes a segment, and it is waited for.

    :raises PlatformError: when it does not arrive.
    """
    what = "What is written does not reach the archive"
    _run(client, archive, "check", ("check",), what, READ_SECONDS, **_FULLY)


def back_up(client: Any, archive: Archive, kind: str) -> ArchiveState:
    """A base backup, after which what no retention keeps goes; the state with it.

    :raises PlatformError: when it fails, or when pages of the database are damaged.
    """
    what = "The base backup could not be made"
    _run(client, archive, "backup", (f"--type={kind}", "backup"), what, BACKUP_SECONDS, **_FULLY)
    state = observe(client, archive)
    if not state.backups or state.backups[-1].damaged:
        raise PlatformError(
            "The base backup found damaged pages in the database",
            "their checksums are wrong on the disk",
            "See to the disk. Older base backups and the sets of make backup may hold them whole.",
        )
    return state


def read_whole(client: Any, archive: Archive) -> None:
    """Read every file of the archive and compare it with its checksum.

    :raises PlatformError: when one is missing or not as it was written.
    """
    words = ("--output=text", "--verbose", "verify")
    text = _run(client, archive, "verify", words, "The archive could not be verified", BACKUP_SECONDS)
    if troubles := archive_plan.verify_troubles(text):
        raise PlatformError(
            "The archive is damaged",
            "; ".join(troubles[:5]),
            "A recovery can get no further than to the damage. See to the disk, then make a full base backup: "
            "move the archive's folder aside, make up, make backup.",
        )


def settle(server: Server, wait_seconds: float = SETTLE_SECONDS) -> None:
    """Everything that was committed until now is in the archive when this returns, and one empty transaction after it,
    by which a recovery knows that it has seen all of a moment.

    :raises PlatformError: when the archive does not keep up.
    """
    with connection(server.socket_folder, MAINTENANCE_DATABASE, server.admin, server.password) as live:
        _one_row(live, "select pg_current_xact_id()::text")
        segment = str(_one_row(live, "select pg_walfile_name(pg_switch_wal())")[0])
        deadline = time.monotonic() + wait_seconds
        while str(_one_row(live, "select coalesce(last_archived_wal, '') from pg_stat_archiver")[0]) < segment:
            if time.monotonic() > deadline:
                raise PlatformError(
                    "The archive does not keep up with the server",
                    f"{segment} has not arrived within {wait_seconds:g} s",
                    "Nothing was recovered, and the server goes on. make verify tells why; make logs SERVICE=postgres.",
                )
            time.sleep(POLL_SECONDS)


@contextmanager
def archive_lock(platform: str, purpose: str) -> Iterator[None]:
    """One at a time works on the archive of a host; pgBackRest's own lock is not seen from container to container."""
    with host_lock(f"{platform}-archive", purpose, wait_seconds=10.0):
        yield


_FULLY = {"reads_data": True, "writes": True}


def _run(
    client: Any,
    archive: Archive,
    purpose: str,
    words: tuple[str, ...],
    what: str,
    seconds: float,
    *,
    reads_data: bool = False,
    writes: bool = False,
) -> str:
    with tempfile.TemporaryDirectory(prefix="erni-archive-") as exchange:
        os.chown(exchange, archive.server.uid, archive.server.gid)
        job = archive.job(purpose, words, exchange, reads_data=reads_data, writes=writes)
        with running(client, job) as started:
            started.succeed(what, LIVE, seconds)
        with open(os.path.join(exchange, "output"), encoding="utf-8", errors="replace") as output:
            return output.read()


def _one_row(connected: Any, statement: str) -> tuple[Any, ...]:
    with connected.cursor() as cursor:
        cursor.execute(statement)
        row: tuple[Any, ...] = cursor.fetchone()
        return row


def from_params(client: Any, params: Mapping[str, Any]) -> tuple[Archive, bool]:
    """The archive that a module's option of the shape :data:`PLACE` tells of, and whether its server runs.

    :raises PlatformError: when there is neither the server's container nor its image.
    """
    image, runs = _image_of(client, params["container"], params["image"])
    uid, _, gid = str(params["user"]).partition(":")
    server = Server(
        platform=params["platform"],
        image=image,
        uid=int(uid),
        gid=int(gid or uid),
        socket_folder=params["socket_folder"],
        configuration=params["configuration"],
        password=params["password"],
    )
    data = backup_parts.volume_folder(client, params["volume"]) if runs else ""
    return Archive(server, data, params["repository"], params["network"]), runs


def is_configured(client: Any, params: Mapping[str, Any]) -> bool:
    """Whether the server runs and has been told of its archive; else there is nothing yet that could be asked."""
    try:
        runs = bool(client.inspect_container(params["container"])["State"]["Running"])
    except engine.docker_errors.NotFound:
        return False
    return runs and os.path.exists(os.path.join(params["configuration"], CONFIGURATION_FILE))


def _image_of(client: Any, container: str, image: str) -> tuple[str, bool]:
    try:
        inspected = client.inspect_container(container)
        return str(inspected["Image"]), bool(inspected["State"]["Running"])
    except engine.docker_errors.NotFound:
        pass  # it is gone, its data perhaps with it: what its archive holds can be brought back all the same
    if not image or engine.image_id(client, image) is None:
        raise PlatformError(
            f"There is neither a container {container} nor its image on this host",
            "the archive is read by a program of that image",
            "Run make up.",
        )
    return image, False
