"""One run at a time changes an environment: a kernel lock (flock(2)) that dies with the last process that holds it."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import LockHeldError

POLL_SECONDS = 0.2
SHARED_FOLDER = Path("/run/lock")


def lock_file(env: str, shared_folder: Path = SHARED_FOLDER) -> Path:
    """Where the environment's lock is. Outside the shared folder only runs of the same user exclude each other."""
    if os.access(shared_folder, os.W_OK | os.X_OK):
        return shared_folder / f"erni-{env}.lock"
    private = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")  # noqa: S108 (the name carries the user's id)
    return private / f"erni-{os.getuid()}-{env}.lock"


@contextmanager
def environment_lock(path: Path, who: str, verb: str, wait_seconds: float) -> Iterator[int]:
    """Hold the lock for the block; yields its descriptor, for the child that must keep the lock if this process dies.

    :raises LockHeldError: when another run still holds it after ``wait_seconds`` (0: at once).
    """
    descriptor = _open(path)
    try:
        _acquire(descriptor, wait_seconds)
        _describe(descriptor, who, verb)
        yield descriptor
    finally:
        # Closing alone would leave the lock with a child that still has the descriptor: which is what is wanted.
        os.close(descriptor)


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        # First without O_CREAT, which in a sticky folder the kernel refuses on another user's file
        # (fs.protected_regular).
        return os.open(path, flags)
    except FileNotFoundError:
        descriptor = os.open(path, flags | os.O_CREAT, 0o666)
        if os.fstat(descriptor).st_uid == os.getuid():
            os.fchmod(descriptor, 0o666)  # every operator of the machine takes the same lock, whatever their umask
        return descriptor


def _acquire(descriptor: int, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = _holder(descriptor)
        if time.monotonic() >= deadline:
            raise LockHeldError(
                "Another run is changing this environment", holder, "Wait until it ends, or end it, and run again."
            )
        if not told:
            print(f"{holder}; waiting up to {wait_seconds:.0f} s for it to end.", file=sys.stderr, flush=True)
            told = True
        time.sleep(POLL_SECONDS)


def _describe(descriptor: int, who: str, verb: str) -> None:
    since = time.strftime("%Y-%m-%d %H:%M:%S %Z")
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"who": who, "verb": verb, "pid": os.getpid(), "since": since}).encode(), 0)


def _holder(descriptor: int) -> str:
    try:
        note = json.loads(os.pread(descriptor, 4096, 0))
        return f"{note['who']} runs '{note['verb']}' since {note['since']} (process {note['pid']})"
    except (ValueError, KeyError, TypeError):
        return "Another run has just begun"
