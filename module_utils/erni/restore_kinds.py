"""From a module's arguments to something that can be restored, kind by kind."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from . import redis_restore, redis_snapshot, restore_postgres, sessions_restore
from .backup_parts import runs_as, volume_folder
from .backup_set import part_from
from .backup_unpack import unpack
from .files import ensure_folder
from .postgres_dump import Server
from .progress import Progress
from .restore_flow import Target
from .restore_record import RecordFile, Restored
from .restore_targets import PostgresTarget, RedisTarget, SessionsTarget

NAMES = {"postgres": "PostgreSQL", "redis": "Redis", "sessions": "The sessions"}
Make = Callable[[], tuple[Restored, list[str]]]


@dataclass(frozen=True)
class Restorable:
    """A service's data, where its restores are on record, and what makes the part ready (with sentences about it)."""

    name: str
    target: Target
    file: RecordFile
    make: Make


def restorable(client: Any, params: Mapping[str, Any], progress: Progress) -> Restorable:
    """:param params: the arguments of the module restore_part.

    :raises PlatformError: where the service does not run.
    """
    kind = params["kind"]
    target, make = _KINDS[kind](client, params, progress)
    return Restorable(NAMES[kind], target, RecordFile(params["records"], kind), make)


def _postgres(client: Any, params: Mapping[str, Any], progress: Progress) -> tuple[Target, Make]:
    image, uid, gid = runs_as(client, params["container"])
    folders = (params["socket_folder"], params["configuration"])
    server = Server(params["platform"], image, uid, gid, *folders, params["password"])
    volume, database = volume_folder(client, params["volume"]), params["database"]

    def make() -> tuple[Restored, list[str]]:
        exchange = _exchange(params, uid, gid)
        if params["file"]:
            return restore_postgres.from_plain(client, server, params["file"], database, volume, exchange, progress)
        part = part_from(params["part"])
        return restore_postgres.from_set(
            client, server, part, params["folder"], params["identity"], database, volume, exchange, progress=progress
        )

    return PostgresTarget(server, database), make


def _redis(client: Any, params: Mapping[str, Any], _progress: Progress) -> tuple[Target, Make]:
    container = params["container"]
    image, uid, gid = runs_as(client, container)
    server = redis_snapshot.Server(
        params["platform"], image, uid, gid, params["socket_folder"], params["configuration"]
    )
    target = RedisTarget(client, server, container, volume_folder(client, params["volume"]))

    def make() -> tuple[Restored, list[str]]:
        source, programs = _only_file(params)
        facts = redis_restore.prepare(client, server, target.data, source, programs, _exchange(params, uid, gid))
        return Restored("", mark=target.mark(target.prepared), facts=asdict(facts)), []

    return target, make


def _sessions(client: Any, params: Mapping[str, Any], _progress: Progress) -> tuple[Target, Make]:
    live = os.path.join(volume_folder(client, params["volume"]), params["live_file"])
    target = SessionsTarget(live, params["records"])

    def make() -> tuple[Restored, list[str]]:
        source, programs = _only_file(params)
        sessions_restore.prepare(source, programs, os.path.join(target.folder, target.prepared))
        content = target.mark(target.prepared)
        return Restored("", state=content, mark=content), []

    return target, make


def _only_file(params: Mapping[str, Any]) -> tuple[str, Any]:
    name = part_from(params["part"]).files[0].name
    return os.path.join(params["folder"], name), unpack(name, params["identity"])


def _exchange(params: Mapping[str, Any], uid: int, gid: int) -> str:
    """A folder that the service's own image sees, too."""
    path = os.path.join(params["records"], f"exchange-{params['kind']}")
    ensure_folder(path, 0o700, uid, gid)
    return path


_KINDS: dict[str, Callable[[Any, Mapping[str, Any], Progress], tuple[Target, Make]]] = {
    "postgres": _postgres,
    "redis": _redis,
    "sessions": _sessions,
}
