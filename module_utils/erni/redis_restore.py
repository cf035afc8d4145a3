"""Give Redis the keys of a snapshot: as the base of its append-only file, the only thing that it loads with one.

A ``dump.rdb`` beside an append-only file is never read (Redis' documentation, "Persistence"; measured: no keys, and no
error). The folder with the file is made as a whole beside the one in use, and the two change places by one call of the
kernel while Redis is stopped: whenever it starts, it finds either the old keys or the new ones.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Sequence
from typing import Any

from . import engine, lifecycle
from .errors import PlatformError
from .files import File, ensure_folder, sync_folder, write_atomically
from .pipeline import Program, pour_file
from .redis_snapshot import Server, SnapshotFacts, read_whole

LIVE, PREPARED = "appendonlydir", "appendonlydir.restored"
BASE = "appendonly.aof.1.base.rdb"
MANIFEST = f"file {BASE} seq 1 type b\n"
LIVE_UNTOUCHED = "The keys that serve were not touched."
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # renameat2(2)


def prepare(
    client: Any, server: Server, data: str, snapshot: str, programs: Sequence[Program], exchange: str
) -> SnapshotFacts:
    """The snapshot as a folder that Redis can load, beside the one in use; what it holds.

    :param data: the host's folder of the server's volume.
    :param exchange: a folder that the server's image sees.
    :raises PlatformError: when a byte of it is wrong.
    """
    what = f"{os.path.basename(snapshot)} could not be restored"
    plain = os.path.join(exchange, "redis.rdb")
    if os.path.exists(plain):  # of a run that was killed
        os.unlink(plain)
    try:
        pour_file(snapshot, programs, plain)
        os.chown(plain, server.uid, server.gid)
        facts = read_whole(client, server, exchange, what)
        _make_folder(os.path.join(data, PREPARED), plain, server)
        return facts
    finally:
        if os.path.exists(plain):
            os.unlink(plain)


def _make_folder(folder: str, snapshot: str, server: Server) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # what a killed run left; there may be none
    ensure_folder(folder, 0o755, server.uid, server.gid)
    base = os.path.join(folder, BASE)
    pour_file(snapshot, [], base, 0o640)
    os.chown(base, server.uid, server.gid)
    write_atomically(File(os.path.join(folder, f"{LIVE[:-3]}.aof.manifest"), MANIFEST, 0o640, server.uid, server.gid))
    sync_folder(os.path.dirname(folder))


def mark(folder: str) -> str:
    """By what a folder is known again under another name; '' where there is none."""
    try:
        return str(os.stat(folder).st_ino)
    except FileNotFoundError:
        return ""


def swap(client: Any, container: str, data: str, incoming: str, expected: SnapshotFacts | None) -> None:
    """Redis starts with ``incoming``, a name in its data folder, which then holds what served before.

    :param expected: what it has to have loaded; None where that is not known.
    :raises PlatformError: when it has not; it has then been started with what served before.
    """
    live, other = os.path.join(data, LIVE), os.path.join(data, incoming)
    _stop(client, container)
    exchange(live, other)
    try:
        start(client, container)
        if expected:
            require_keys(keys(client, container), expected)
    except BaseException:
        _stop(client, container)
        exchange(live, other)
        start(client, container)
        raise


def _stop(client: Any, container: str) -> None:
    client.stop(container, timeout=lifecycle.stop_timeout(client, container))


def start(client: Any, container: str) -> None:
    client.start(container)
    lifecycle.wait_healthy(client, container)


def exchange(one: str, other: str) -> None:
    """Two folders change their names, at once; where there is only one of them, it takes the other's name."""
    if not os.path.exists(one):
        os.rename(other, one)
    elif not os.path.exists(other):
        os.rename(one, other)
    else:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) != 0:
            code = ctypes.get_errno()
            raise PlatformError(f"{one} and {other} could not change places", os.strerror(code), LIVE_UNTOUCHED)
    sync_folder(os.path.dirname(one))


def ask(client: Any, container: str, *words: str) -> str:
    """What Redis answers its operator to a question that it never answers with nothing."""
    told = 'REDISCLI_AUTH="$(cat /etc/erni/operator_password)" exec redis-cli --no-auth-warning --user operator "$@"'
    command = ("sh", "-c", told, "redis-cli", "-s", "/run/redis/redis.sock", *words)
    code, output = engine.ask_inside(client, container, command)
    if code != 0 or not output:
        raise PlatformError(f"{container} does not answer", output.strip(), "See make logs SERVICE=redis.")
    return output


def keys(client: Any, container: str) -> int:
    """Of all databases."""
    return counted(ask(client, container, "info", "keyspace"))


def counted(keyspace: str) -> int:
    """Of all databases, from what ``INFO keyspace`` says."""
    numbers = (line.partition("keys=")[2].partition(",")[0] for line in keyspace.split())
    return sum(int(number) for number in numbers if number)


def state(client: Any, container: str) -> str:
    """By what its keys are known again: another start, save or write makes another state; '' where it does not run."""
    if not engine.is_running(client, container):
        return ""
    told = dict(line.split(":", 1) for line in ask(client, container, "info").split() if ":" in line)
    return "/".join(told.get(name, "") for name in ("run_id", "rdb_last_save_time", "rdb_changes_since_last_save"))


def require_keys(found: int, facts: SnapshotFacts) -> None:
    """Some may have expired since the snapshot was read; all others have to be there.

    :raises PlatformError: when they are not.
    """
    if found < facts.keys - facts.expiring:
        raise PlatformError(
            "Redis has not loaded all keys of the set",
            f"it has {found}, and should have {facts.keys}, {facts.expiring} of which may have expired",
            "What served before serves again. See make logs SERVICE=redis, and its limit redis_maxmemory_mb.",
        )
