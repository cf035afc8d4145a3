"""Take a snapshot of Redis as a replica would, and read one whole: the adapter around redis-cli and redis-check-rdb."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from .backup_unpack import COMPRESS
from .errors import PlatformError
from .pipeline import Written, pour_file
from .progress import Progress, polled
from .scratch_container import EXCHANGE, Job, running

SNAPSHOT_SECONDS = 3600.0
UNTOUCHED = "Nothing was changed, and the sets there are stay as they are."
# redis-check-rdb's summary (src/redis-check-rdb.c); what has expired is in the file and will not be loaded.
_COUNTED = re.compile(r"\[info\] (\d+) (keys read|expires|already expired)")
_VERSION = re.compile(r"AUX FIELD redis-ver = '([^']*)'")


@dataclass(frozen=True)
class Server:
    """The Redis that runs on this host: its image, its user there, and the host's folders with its socket and its
    configuration (where ``operator_password`` is)."""

    platform: str
    image: str
    uid: int
    gid: int
    socket_folder: str
    configuration: str

    def job(self, purpose: str, command: tuple[str, ...], exchange: str) -> Job:
        return Job(
            name=f"{self.platform}-backup-{purpose}",
            platform=self.platform,
            image=self.image,
            command=command,
            user=f"{self.uid}:{self.gid}",
            exchange=exchange,
            mounts={"/run/redis": self.socket_folder, "/etc/erni": self.configuration},
        )


@dataclass(frozen=True)
class SnapshotFacts:
    """What a snapshot holds: ``keys`` of all databases, ``expiring`` of them, ``expired`` already when it was read."""

    version: str
    keys: int
    expiring: int
    expired: int


def take(
    client: Any, server: Server, folder: str, exchange: str, progress: Progress | None = None
) -> tuple[SnapshotFacts, Written]:
    """``redis.rdb.zst`` in the folder, and what is in it.

    :raises PlatformError: when Redis does not give all of it.
    """
    what = "The snapshot of Redis could not be taken"
    # The password comes from a file there; the program's arguments are visible to everybody on the host.
    told = (
        'REDISCLI_AUTH="$(cat /etc/erni/operator_password)" '
        f"exec redis-cli --no-auth-warning --user operator -s /run/redis/redis.sock --rdb {EXCHANGE}/redis.rdb"
    )
    path, progress = os.path.join(exchange, "redis.rdb"), progress or Progress()
    with (
        progress.phase("taking the snapshot") as tell,
        running(client, server.job("redis", ("sh", "-c", told), exchange)) as job,
        polled(tell, lambda: os.path.getsize(path)),
    ):
        job.succeed(what, UNTOUCHED, SNAPSHOT_SECONDS)
    try:
        with progress.phase("reading it whole"):
            facts = read_whole(client, server, exchange, what)
        with progress.phase("compressing", os.path.getsize(path)) as tell:
            return facts, pour_file(path, [COMPRESS], os.path.join(folder, "redis.rdb.zst"), tell=tell)
    finally:
        os.unlink(path)


def read_whole(client: Any, server: Server, exchange: str, what: str) -> SnapshotFacts:
    """Of ``redis.rdb`` in the folder.

    :raises PlatformError: beginning with ``what``, when a byte of it is wrong.
    """
    # It says all it has to say on standard output, which goes into a file: the engine sometimes loses such lines.
    told = (
        f"redis-check-rdb {EXCHANGE}/redis.rdb > {EXCHANGE}/checked; code=$?; tail -n 3 {EXCHANGE}/checked; exit $code"
    )
    with running(client, server.job("verify", ("sh", "-c", told), exchange)) as job:
        job.succeed(what, UNTOUCHED, SNAPSHOT_SECONDS)
    checked = os.path.join(exchange, "checked")
    with open(checked, encoding="utf-8", errors="replace") as file:
        said = file.read()
    os.unlink(checked)
    return facts_from(said, what)


def facts_from(said: str, what: str) -> SnapshotFacts:
    """From what redis-check-rdb says."""
    counted = {name: int(number) for number, name in _COUNTED.findall(said)}
    version = _VERSION.search(said)
    if "keys read" not in counted or "RDB looks OK" not in said:
        raise PlatformError(what, "redis-check-rdb does not say that it is whole", UNTOUCHED)
    return SnapshotFacts(
        version=version[1] if version else "",
        keys=counted["keys read"],
        expiring=counted.get("expires", 0),
        expired=counted.get("already expired", 0),
    )
