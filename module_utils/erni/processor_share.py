"""Operations give way to what serves: on a host that is also the control node, they share its processors.

The kernel divides the processors among groups, and by default gives each session as much as all containers together
(Linux, sched(7), "The autogroup feature"): Ansible makes a session for each of its workers, whatever nice value they
were given. In a group of their own, with a small part, they have what the containers leave, which mostly is enough.

Only where the hierarchy of version 1 is mounted and may be written to, and the run is at its root, as all sessions are
that nobody has put anywhere. Elsewhere somebody else divides the processors (systemd, or a container's limits), and a
run stays where it was put.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HIERARCHY = Path("/sys/fs/cgroup/cpu")
MEMBERSHIP = Path("/proc/self/cgroup")
GROUP = "erni-operations"
SHARES = 64  # all containers together have 1024, and so has each session
ENGINE = ("dockerd", "containerd", "docker-proxy")


@contextmanager
def giving_way(hierarchy: Path = HIERARCHY, membership: Path = MEMBERSHIP) -> Iterator[bool]:
    """This process, and whatever it starts meanwhile, is in the group; yields whether the kernel did that.

    What is still running afterwards stays in it; the last one to leave removes it.
    """
    group = hierarchy / GROUP
    if not _at_the_root(membership):
        yield False
        return
    try:
        group.mkdir(exist_ok=True)
        (group / "cpu.shares").write_text(str(SHARES))
        (group / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        with suppress(OSError):  # somebody else is still in it
            (hierarchy / "cgroup.procs").write_text(str(os.getpid()))
            group.rmdir()


def set_free(names: Iterable[str] = ENGINE, hierarchy: Path = HIERARCHY) -> list[int]:
    """Give processes back their full share: an engine that a run has started serves users. Which ones that were."""
    freed = []
    for process in _members(hierarchy / GROUP):
        if _name(process).startswith(tuple(names)):
            try:
                (hierarchy / "cgroup.procs").write_text(str(process))
            except OSError:  # it has just ended
                continue
            freed.append(process)
    return freed


def _at_the_root(membership: Path) -> bool:
    """Whether the process is in no group of the hierarchy that divides processors (cgroups(7), /proc/PID/cgroup)."""
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        return False
    return any(path == "/" and "cpu" in controllers.split(",") for _, controllers, path in lines)


def _members(group: Path) -> list[int]:
    try:
        return [int(line) for line in (group / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def _name(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""
