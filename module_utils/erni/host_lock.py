"""One transition at a time on a host: a kernel lock that dies with its owner (flock(2))."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import PlatformError

LOCK_FOLDER = "/run/lock"
POLL_SECONDS = 0.2


@contextmanager
def host_lock(platform: str, purpose: str, wait_seconds: float = 300.0, folder: str = LOCK_FOLDER) -> Iterator[None]:
    """Hold the platform's lock on this host for the block.

    The file tells who holds it; the kernel, not the file, decides. The descriptor is not inherited by
    programs that the block starts, so a daemon started under the lock does not keep it.

    :raises PlatformError: when another process still holds it after ``wait_seconds``.
    """
    path = os.path.join(folder, f"erni-host-{platform}.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, path, wait_seconds)
        _describe(descriptor, purpose)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: str, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise PlatformError(
                    f"Another transition still holds {path} after {wait_seconds:.0f} s",
                    _holder(descriptor),
                    "Wait for it to end, or end that process; the lock goes with it.",
                ) from None
            time.sleep(POLL_SECONDS)


def _describe(descriptor: int, purpose: str) -> None:
    os.ftruncate(descriptor, 0)
    note = {"pid": os.getpid(), "purpose": purpose, "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    os.pwrite(descriptor, json.dumps(note).encode(), 0)


def _holder(descriptor: int) -> str:
    try:
        note = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {note['pid']} holds it since {note['since']} for {note['purpose']}"
    except (ValueError, KeyError, TypeError):
        return "its holder has not written who it is"
