"""Make a set's database, or a plain dump, ready beside the one that serves: what is checked before, in which order."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from functools import partial
from typing import Any

from . import postgres_plain
from .backup_parts import MEGABYTE, SPARE
from .backup_set import Part
from .backup_unpack import unpack
from .dump_files import ARCHIVE, archives
from .dump_loading import Dump, load_dump
from .dump_reading import Packed
from .errors import PlatformError
from .pipeline import read_through
from .postgres_dump import Server
from .postgres_facts import DatabaseFacts, database_facts
from .postgres_restore import LIVE_UNTOUCHED, UNKNOWN, Load, maintenance, restore_beside, session
from .postgres_roles import make_roles, roles_in
from .progress import Progress
from .restore_record import Restored

LOG_TO_COME = """
    select greatest(0, pg_size_bytes(current_setting('max_wal_size')) - coalesce(sum(size), 0)) from pg_ls_waldir()
"""
RESERVE = SPARE * 3 // 4  # bytes on the disk of the server's data that a restore leaves to it


def from_set(
    client: Any,
    server: Server,
    part: Part,
    folder: str,
    identity: str,
    database: str,
    volume: str,
    exchange: str,
    purpose: str = "restore",
    progress: Progress | None = None,
) -> tuple[Restored, list[str]]:
    """The part's dump as a database of that name to be; and sentences about what else was done.

    :param purpose: names the container that does it.
    :param volume: the host's folder of the server's data, for the room on its disk.
    :raises PlatformError: when the server cannot take it, or it is not whole; nothing is left of it then.
    """
    facts = replace(DatabaseFacts.from_dict(part.facts), name=database)
    dump, globals_ = _dump(part, facts, folder, identity), _stored(part, "globals.sql")
    text = read_through(os.path.join(folder, globals_), unpack(globals_, identity)).decode()
    with maintenance(server) as cursor:
        _require_version(cursor, facts)
        _require_room(volume, exchange, facts.size + log_to_come(cursor))
        made = make_roles(cursor, [facts.owner, *filter(None, facts.settings), *roles_in(text)])
    load: Load = partial(
        load_dump,
        client,
        server,
        dump,
        exchange,
        os.cpu_count() or 1,
        purpose,
        watch=partial(require_reserve, volume),
    )
    said = [f"the role {name}, which was missing, was made without a login" for name in made]
    return Restored("", state=restore_beside(server, facts, load, progress)), said


def from_plain(
    client: Any,
    server: Server,
    path: str,
    database: str,
    volume: str,
    exchange: str,
    progress: Progress | None = None,
) -> tuple[Restored, list[str]]:
    """A file of plain SQL, judged before and counted after; whose it is and who may do what stays as it is now."""
    rows = postgres_plain.check(path)
    with session(server, database) as cursor:
        now, log = database_facts(cursor, database), log_to_come(cursor)
    _require_room(volume, exchange, os.path.getsize(path) * (10 if path.endswith(".gz") else 2) + log)
    facts = replace(now, rows=rows, large_objects=UNKNOWN, extensions=())
    load: Load = partial(postgres_plain.load, client, server, path, exchange, watch=partial(require_reserve, volume))
    said = [] if rows else ["it holds its rows as statements, which were not counted"]
    return Restored("", state=restore_beside(server, facts, load, progress)), said


def _dump(part: Part, facts: DatabaseFacts, folder: str, identity: str) -> Dump:
    def packed(file: str) -> Packed:
        return Packed(os.path.join(folder, file), unpack(file, identity))

    _stored(part, ARCHIVE)  # without that one there is no dump
    copies = [(copy, packed(_stored(part, name))) for name, copy in facts.copies.items()]
    return Dump([packed(file) for file in archives(file.name for file in part.files)], copies, facts.large_objects)


def _stored(part: Part, name: str) -> str:
    for file in part.files:
        if file.name.startswith(f"{name}."):
            return file.name
    raise PlatformError(f"The set holds no {name}", "", f"{LIVE_UNTOUCHED} Take another one; make backups lists them.")


def _require_version(cursor: Any, facts: DatabaseFacts) -> None:
    cursor.execute("select current_setting('server_version_num')::int")
    server = int(cursor.fetchone()[0])
    if facts.version_number // 10_000 > server // 10_000:
        raise PlatformError(
            f"The set is of PostgreSQL {facts.version}, and this server is an older one",
            f"a server of version {server // 10_000} may not understand what a later one has dumped",
            f"{LIVE_UNTOUCHED} Restore it into a server of that version or a later one.",
        )


def log_to_come(cursor: Any) -> int:
    """Bytes by which the server's log may grow meanwhile, before it begins to use its files again."""
    cursor.execute(LOG_TO_COME)
    return int(cursor.fetchone()[0])


def _require_room(volume: str, exchange: str, size: int) -> None:
    """For the database once more with the log of its writing, and for the beginning of its dump.

    :param size: bytes of these two.
    """
    for folder, needed in ((volume, size + SPARE), (exchange, SPARE)):
        if (free := shutil.disk_usage(folder).free) < needed:
            raise PlatformError(
                f"The disk of {folder} is too small for the restore",
                f"{free // MEGABYTE} MB are free, and it may take {needed // MEGABYTE} MB",
                f"{LIVE_UNTOUCHED} Make room, and run it again.",
            )


def require_reserve(volume: str) -> None:
    """A server that cannot write its log any more stops, and with it the database that serves: long before that a
    restore gives up what it has written.

    :raises PlatformError: when others have filled the disk meanwhile.
    """
    if (free := shutil.disk_usage(volume).free) < RESERVE:
        raise PlatformError(
            f"The disk of {volume} is nearly full",
            f"{free // MEGABYTE} MB are left, and below {RESERVE // MEGABYTE} MB no restore goes on",
            f"{LIVE_UNTOUCHED} Make room, and run it again.",
        )
