"""Make the parts of a backup set: each is written, read whole again, and compared with its source before it counts."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from . import engine, postgres_dump, redis_snapshot, sessions_copy
from .backup_set import POSTGRES, REDIS, RELEASE, SESSIONS, Part, StoredFile
from .backup_unpack import COMPRESS, EXPAND
from .dump_files import ARCHIVE, MOST_AT_ONCE
from .dump_reading import Packed, read_copy, read_whole
from .errors import PlatformError
from .files import ensure_folder
from .growing_file import GrowingFile
from .pipeline import Written, pour_file
from .postgres_facts import differences
from .progress import Progress, polled
from .service_spec import LABEL_PREFIX

MEGABYTE = 1 << 20
SPARE = 256 * MEGABYTE  # what a backup leaves free for all else on the disk


def postgres_part(
    client: Any,
    server: postgres_dump.Server,
    database: str,
    folder: str,
    host: str,
    progress: Progress | None = None,
    expected: int = 0,
    *,
    allow_empty: bool = False,
) -> Part:
    """``postgres.dump.zst`` and ``globals.sql.zst`` in the folder, and a ``postgres-<n>.copy.zst`` of each large table.

    :param expected: bytes that are dumped, about, to tell the progress by.
    :param allow_empty: a database without tables is a part, too.
    :raises PlatformError: when the database is empty, or what was written is not what it holds.
    """
    began, progress = time.time(), progress or Progress()
    exchange = _exchange(folder, server.uid, server.gid)
    with ThreadPoolExecutor(MOST_AT_ONCE) as beside:
        reading = _Reading(client, server, folder, exchange, beside)
        dumped = postgres_dump.dump(client, server, database, folder, exchange, progress, expected, reading.beside)
        stored = sum(dumped.files[name].size for name in reading.files)
        with progress.phase("reading it back", stored) as tell:
            with polled(tell, reading.given):
                found = {**reading.rows(), **dumped.copied}
            tell(reading.given())
    if not dumped.facts.rows and not allow_empty:
        raise PlatformError(
            f"The database {database} has no tables",
            "a set without them would only push good ones out of the retention",
            "Nothing was written. See whether this is the right server; make up applies the schema.",
        )
    if wrong := differences(dumped.facts.rows, found):
        raise PlatformError(
            f"The dump of {database} does not hold what the database holds",
            "; ".join(wrong[:5]),
            "No set was made. Run make backup again, and look at make logs SERVICE=postgres if that fails, too.",
        )
    os.rmdir(exchange)
    return _part(POSTGRES, host, began, dumped.files, dumped.facts.as_dict())


class _Reading:
    """What is written is read back at once, while the rest is still being dumped: each file by a program of its own."""

    def __init__(
        self, client: Any, server: postgres_dump.Server, folder: str, exchange: str, pool: ThreadPoolExecutor
    ) -> None:
        self._client, self._server, self._pool = client, server, pool
        self._folder, self._exchange = folder, exchange
        self._growing: dict[str, GrowingFile] = {}
        self._read: list[Future[dict[str, int]]] = []

    @property
    def files(self) -> list[str]:
        return [*self._growing]

    @contextmanager
    def beside(self, name: str) -> Iterator[None]:
        """The file of that name is written in the block."""
        growing = self._growing[name] = GrowingFile(os.path.join(self._folder, name))
        self._read.append(self._pool.submit(self._rows, name, growing))
        try:
            yield
        finally:
            growing.is_whole()

    def _rows(self, name: str, growing: GrowingFile) -> dict[str, int]:
        """By table, as far as they are counted in reading: of a copy psql has told how many they are."""
        packed = Packed(growing.path, [EXPAND])
        if name.startswith(f"{ARCHIVE}."):
            return read_whole(self._client, self._server, packed, self._exchange, growing)
        read_copy(packed, growing)
        return {}

    def given(self) -> int:
        """Bytes that were read so far."""
        return sum(growing.given for growing in self._growing.values())

    def rows(self) -> dict[str, int]:
        """Of each table as many as were counted, once all is read."""
        return {name: rows for read in self._read for name, rows in read.result().items()}


def redis_part(
    client: Any, server: redis_snapshot.Server, folder: str, host: str, progress: Progress | None = None
) -> Part:
    """``redis.rdb.zst`` in the folder."""
    began = time.time()
    exchange = _exchange(folder, server.uid, server.gid)
    facts, written = redis_snapshot.take(client, server, folder, exchange, progress)
    os.rmdir(exchange)
    return _part(REDIS, host, began, {"redis.rdb.zst": written}, asdict(facts))


def sessions_part(source: str, folder: str, host: str, progress: Progress | None = None) -> Part:
    """``sessions-<host>.db.zst`` in the folder; no file where there are no sessions yet."""
    began, progress = time.time(), progress or Progress()
    if not os.path.exists(source):
        return _part(SESSIONS, host, began, {}, {"rows": {}})
    name = f"sessions-{host}.db.zst"
    copy = os.path.join(folder, "sessions.db")
    facts = sessions_copy.copy(source, copy, progress)
    try:
        with progress.phase("compressing", os.path.getsize(copy)) as tell:
            written = pour_file(copy, [COMPRESS], os.path.join(folder, name), tell=tell)
    finally:
        os.unlink(copy)
    return _part(SESSIONS, host, began, {name: written}, asdict(facts))


def release_part(client: Any, container: str, releases: str, folder: str, host: str) -> Part:
    """``release.json`` in the folder: the record of the container's release; no file where it has none."""
    began = time.time()
    labels = client.inspect_container(container)["Config"]["Labels"] or {}
    release = str(labels.get(f"{LABEL_PREFIX}release", ""))
    record = os.path.join(releases, release, "manifest.json")
    if not release or not os.path.exists(record):
        return _part(RELEASE, host, began, {}, {})
    return _part(
        RELEASE, host, began, {"release.json": pour_file(record, [], f"{folder}/release.json")}, {"id": release}
    )


def runs_as(client: Any, container: str) -> tuple[str, int, int]:
    """The image of a running container (its id), and the user and group that it runs as.

    :raises PlatformError: when it does not run.
    """
    try:
        inspected = client.inspect_container(container)
        running = inspected["State"]["Running"]
    except engine.docker_errors.NotFound:
        running = False
    if not running:
        raise PlatformError(
            f"{container} does not run",
            "what it holds cannot be copied",
            "No set was made, and those there are stay. Run make start, or make up.",
        )
    user, _, group = str(inspected["Config"]["User"] or "0").partition(":")
    return str(inspected["Image"]), int(user), int(group or user)


def volume_folder(client: Any, volume: str) -> str:
    """Where the engine keeps a volume of its local driver."""
    try:
        return str(client.inspect_volume(volume)["Mountpoint"])
    except engine.docker_errors.NotFound as error:
        raise PlatformError(f"There is no volume {volume} on this host", "", "Run make up, which makes it.") from error


def room_needed(source_bytes: int, last_stored: int) -> int:
    """Bytes that a part may take while it is made, encrypted copy included: by the last one of its kind, or by its
    source where there is none yet."""
    return 2 * (last_stored + last_stored // 4 if last_stored else source_bytes // 2) + SPARE


def check_room(folder: str, needed: int) -> None:
    """:raises PlatformError: when the disk has less."""
    if (free := shutil.disk_usage(folder).free) < needed:
        raise PlatformError(
            f"The disk of {folder} is too small for a backup",
            f"{free // MEGABYTE} MB are free, and it may take {needed // MEGABYTE} MB",
            "Nothing was written, and the sets there stay. Make room, or set backup_folder to a larger disk.",
        )


def _exchange(folder: str, uid: int, gid: int) -> str:
    path = os.path.join(folder, "exchange")
    ensure_folder(path, 0o700, uid, gid)
    return path


def _part(kind: str, host: str, began: float, files: Mapping[str, Written], facts: Mapping[str, Any]) -> Part:
    stored = tuple(StoredFile(name, written.size, written.sha256) for name, written in sorted(files.items()))
    return Part(kind, host, began, round(time.time() - began, 2), stored, facts)
