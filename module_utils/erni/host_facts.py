"""What preflight looks at on a host. Reading is apart from parsing, so that the parsers can be tested as tables."""

from __future__ import annotations

import ctypes
import glob
import os
import shutil
from dataclasses import dataclass, field
from typing import Any

LISTEN_STATE = "0A"
TIME_ERROR = 5


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket and who holds it ('' when that cannot be seen)."""

    port: int
    holder: str = ""


@dataclass(frozen=True)
class HostFacts:
    """``engine_version`` is '' without an engine; ``published`` maps a port to (container, its platform label)."""

    os_name: str
    os_id: str
    os_version: str
    memory_mb: int
    cpus: int
    disk_free_gb: float
    time_synchronised: bool
    engine_version: str = ""
    listeners: list[Listener] = field(default_factory=list)
    published: dict[int, tuple[str, str]] = field(default_factory=dict)

    def as_variables(self) -> dict[str, Any]:
        """What the roles size their services by."""
        return {
            "os": self.os_name,
            "memory_mb": self.memory_mb,
            "cpus": self.cpus,
            "engine_version": self.engine_version,
        }


def parse_os_release(text: str) -> dict[str, str]:
    """os-release(5)."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key: value.strip().strip("\"'") for key, value in pairs}


def parse_memory_mb(meminfo: str) -> int:
    """MemTotal of proc(5)'s meminfo, in MiB."""
    line = next(line for line in meminfo.splitlines() if line.startswith("MemTotal:"))
    return int(line.split()[1]) // 1024


def parse_listening(table: str) -> dict[int, str]:
    """Port to socket inode of the listening rows of /proc/net/tcp or tcp6 (proc(5))."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {int(row[1].rsplit(":", 1)[1], 16): row[9] for row in rows if len(row) > 9 and row[3] == LISTEN_STATE}


def read_listeners(ports: list[int]) -> list[Listener]:
    """Who listens on any of the ports, on any address."""
    inodes: dict[int, str] = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        inodes |= {port: inode for port, inode in parse_listening(_read(table)).items() if port in ports}
    holders = _socket_holders(set(inodes.values())) if inodes else {}
    return [Listener(port, holders.get(inode, "")) for port, inode in sorted(inodes.items())]


def _socket_holders(inodes: set[str]) -> dict[str, str]:
    """Inode to ``name (pid)``; processes of others are invisible to a user who is not root."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    holders: dict[str, str] = {}
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            inode = wanted.get(os.readlink(link))
        except OSError:
            continue
        if inode and inode not in holders:
            pid = link.split("/")[2]
            holders[inode] = f"{_read(f'/proc/{pid}/comm').strip() or 'a process'} (process {pid})"
    return holders


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""


def disk_free_gb(path: str) -> float:
    """Free space where the path is, or will be, in GiB."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return shutil.disk_usage(path).free / 1024**3


def time_synchronised() -> bool:
    """The kernel's own verdict: adjtimex(2) returns TIME_ERROR while no one disciplines the clock."""

    class Timex(ctypes.Structure):
        _fields_ = [("modes", ctypes.c_uint), ("rest", ctypes.c_char * 512)]

    try:
        return int(ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(Timex()))) != TIME_ERROR
    except (OSError, AttributeError):
        return False


def read_facts(ports: list[int], paths: list[str]) -> HostFacts:
    release = parse_os_release(_read("/etc/os-release"))
    version, published = _engine()
    return HostFacts(
        os_name=release.get("PRETTY_NAME", "unknown"),
        os_id=release.get("ID", ""),
        os_version=release.get("VERSION_ID", ""),
        memory_mb=parse_memory_mb(_read("/proc/meminfo")),
        cpus=len(os.sched_getaffinity(0)),
        disk_free_gb=min(disk_free_gb(path) for path in paths),
        time_synchronised=time_synchronised(),
        engine_version=version,
        listeners=read_listeners(ports),
        published=published,
    )


def _engine() -> tuple[str, dict[int, tuple[str, str]]]:
    """The engine's version and the ports that its containers publish; nothing where no engine answers."""
    from . import engine
    from .errors import PlatformError

    try:
        client = engine.connect(timeout=10)
        containers = client.containers()
        version = str(client.version()["Version"])
    except (PlatformError, OSError):
        return "", {}
    published: dict[int, tuple[str, str]] = {}
    for container in containers:
        owner = (container["Names"][0].lstrip("/"), container["Labels"].get("ch.erni.platform", ""))
        published |= {port["PublicPort"]: owner for port in container["Ports"] if "PublicPort" in port}
    return version, published
