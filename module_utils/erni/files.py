"""Files on the host that are never seen half-written: planned by content, replaced by rename."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass, field

from .planning import Difference, Plan


@dataclass(frozen=True)
class File:
    """A file as it should be. ``path`` is absolute; ``uid`` and ``gid`` of -1 leave the owner alone."""

    path: str
    content: str = field(repr=False)
    mode: int = 0o644
    uid: int = -1
    gid: int = -1
    secret: bool = False


@dataclass(frozen=True)
class FileState:
    """A file as it is."""

    content: bytes
    mode: int
    uid: int
    gid: int


def digest(content: str | bytes) -> str:
    """SHA-256 in hexadecimal."""
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()


def observe_file(path: str) -> FileState | None:
    """The file's state, or None where there is no regular file."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return None
        with open(path, "rb") as handle:
            return FileState(handle.read(), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
    except (FileNotFoundError, NotADirectoryError):
        return None


def plan_files(desired: list[File], observed: dict[str, FileState | None]) -> Plan:
    """Write what differs in content, mode or owner; leave all else."""
    plan = Plan()
    for file in desired:
        state = observed.get(file.path)
        if _matches(file, state):
            continue
        plan.differences.append(_difference(file, state))
        verb = "created" if state is None else "replaced"
        plan.add("write_file", file.path, f"{file.path} is {verb}")
    return plan


def _matches(file: File, state: FileState | None) -> bool:
    return (
        state is not None
        and state.content == file.content.encode()
        and state.mode == file.mode
        and file.uid in (-1, state.uid)
        and file.gid in (-1, state.gid)
    )


def _difference(file: File, state: FileState | None) -> Difference:
    if state is not None and state.content == file.content.encode():
        return Difference(f"{file.path} (mode, owner)", _permissions(state), _wanted_permissions(file, state))
    current = None if state is None else state.content.decode(errors="replace")
    return Difference(file.path, current, file.content, file.secret)


def _permissions(state: FileState) -> str:
    return f"{state.mode:04o} {state.uid}:{state.gid}"


def _wanted_permissions(file: File, state: FileState) -> str:
    uid = state.uid if file.uid == -1 else file.uid
    gid = state.gid if file.gid == -1 else file.gid
    return f"{file.mode:04o} {uid}:{gid}"


def write_atomically(file: File) -> None:
    """Temporary file in the same folder, fsync, rename, fsync of the folder.

    A bind-mounted single file would not see the rename; mount folders.
    """
    folder = os.path.dirname(file.path)
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as handle:
            os.fchmod(handle.fileno(), file.mode)
            if file.uid != -1 or file.gid != -1:
                os.fchown(handle.fileno(), file.uid, file.gid)
            handle.write(file.content.encode(errors="surrogateescape"))
            handle.flush()
            os.fsync(handle.fileno())
        os.rename(temporary, file.path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_folder(folder)


def sync_folder(folder: str) -> None:
    """Make a rename in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def ensure_folder(path: str, mode: int, uid: int = -1, gid: int = -1) -> None:
    """Create the folder and its parents (0711, so that a container's user can pass) and set mode and owner."""
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        ensure_folder(parent, 0o711)
    if not os.path.isdir(path):
        os.mkdir(path)
    os.chmod(path, mode)
    if uid != -1 or gid != -1:
        os.chown(path, uid, gid)


def folder_matches(path: str, mode: int, uid: int = -1, gid: int = -1) -> bool:
    """Whether :func:`ensure_folder` would change nothing."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return False
    return (
        stat.S_ISDIR(status.st_mode)
        and stat.S_IMODE(status.st_mode) == mode
        and uid in (-1, status.st_uid)
        and gid in (-1, status.st_gid)
    )
