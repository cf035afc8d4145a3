"""How the platform's containers are doing, as data and as a table."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from . import engine
from .lifecycle import health_command
from .replicas import service_of, serving_replicas
from .service_spec import LABEL_PREFIX
from .text_table import text_table

SAMPLE_SECONDS = 0.4
AWAITING = ("starting", "unhealthy")
CHECK_SECONDS = "5"  # the engine sets no end to what is run in a container; images have coreutils or busybox
MIB = 1024 * 1024
_VERSION = re.compile(r"\d+(\.\d+)+")


@dataclass(frozen=True)
class ServiceStatus:
    """``cpu`` in per cent of one processor, ``memory_mb`` of ``memory_limit_mb`` in MiB, ``uptime`` in seconds."""

    service: str
    container: str
    state: str
    health: str = "none"
    uptime: int = 0
    restarts: int = 0
    version: str = ""
    image: str = ""
    release: str = ""
    cpu: float = 0.0
    memory_mb: float = 0.0
    memory_limit_mb: float = 0.0

    @property
    def trouble(self) -> str:
        """Why this service is not well, or ''. A container that has just started is given its time."""
        if self.state != "running":
            return f"{self.container} is {self.state}"
        return f"{self.container} is unhealthy" if self.health == "unhealthy" else ""


@dataclass(frozen=True)
class Question:
    """What is asked of each service: the program that tells its version, and whether to sample its load.

    A load sample costs up to two seconds, since the engine looks at a container once a second.
    """

    version_commands: Mapping[str, list[str]]
    usage: bool


def observe_status(client: Any, platform: str, services: list[str], question: Question) -> list[ServiceStatus]:
    """All replicas of the services side by side: a CPU figure takes two looks some time apart."""
    listed = client.containers(all=True)
    replicas = [name for service in services for name in serving_replicas(listed, platform, service)]
    with ThreadPoolExecutor(max(len(replicas), 1)) as pool:
        return list(pool.map(lambda name: _observe(client, f"{platform}-{name}", name, question), replicas))


def _observe(client: Any, container: str, service: str, question: Question) -> ServiceStatus:
    try:
        inspected = client.inspect_container(container)
    except engine.docker_errors.NotFound:
        return ServiceStatus(service, container, "missing")
    running = inspected["State"]["Status"] == "running"
    labels = inspected["Config"]["Labels"] or {}
    release = labels.get(f"{LABEL_PREFIX}release", "")
    return ServiceStatus(
        service=service,
        container=container,
        state=inspected["State"]["Status"],
        health=_health(client, container, inspected),
        uptime=uptime(inspected["State"]["StartedAt"], time.time()) if running else 0,
        restarts=inspected["RestartCount"],
        version=_version(client, container, question.version_commands.get(service_of(service), [])) if running else "",
        image=inspected["Config"]["Image"],
        release=release,
        **(_usage(client, container) if running and question.usage else {}),
    )


def _health(client: Any, container: str, inspected: Mapping[str, Any]) -> str:
    """What the engine says. Where it has yet to look again at a container that has just started or recovered, the
    container's check is run now: one success is enough, as it is for the engine."""
    told = str((inspected["State"].get("Health") or {}).get("Status", "none"))
    if told in AWAITING and inspected["State"]["Status"] == "running":
        with suppress(engine.docker_errors.APIError, OSError):  # it stopped between two looks
            code, _ = engine.run_inside(client, container, ("timeout", CHECK_SECONDS, *health_command(inspected)))
            return "healthy" if code == 0 else told
    return told


def _version(client: Any, container: str, command: list[str]) -> str:
    """The first thing in the program's output that looks like a version."""
    if not command:
        return ""
    try:
        _, output = engine.ask_inside(client, container, tuple(command))
    except engine.docker_errors.APIError:  # it stopped between two looks
        return ""
    found = _VERSION.search(output)
    return found[0] if found else ""


def _usage(client: Any, container: str) -> dict[str, float]:
    try:
        first = client.stats(container, stream=False, one_shot=True)
        time.sleep(SAMPLE_SECONDS)
        return usage(first, client.stats(container, stream=False, one_shot=True))
    except engine.docker_errors.APIError:  # it stopped between two looks
        return {}


def usage(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, float]:
    """CPU and memory from two samples of ``GET /containers/{id}/stats`` (Docker Engine API 1.41).

    Memory is counted as ``docker stats`` does: without the file cache that the kernel can take back.
    """
    used = second["cpu_stats"]["cpu_usage"]["total_usage"] - first["cpu_stats"]["cpu_usage"]["total_usage"]
    passed = second["cpu_stats"].get("system_cpu_usage", 0) - first["cpu_stats"].get("system_cpu_usage", 0)
    processors = second["cpu_stats"].get("online_cpus") or 1
    memory = second.get("memory_stats") or {}
    details = memory.get("stats") or {}
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    return {
        "cpu": round(100.0 * max(used, 0) / passed * processors, 1) if passed > 0 else 0.0,
        "memory_mb": round(max(memory.get("usage", 0) - cache, 0) / MIB, 1),
        "memory_limit_mb": round(memory.get("limit", 0) / MIB, 1),
    }


def uptime(started_at: str, now: float) -> int:
    """Seconds since the engine's time stamp, which has nanoseconds and a Z that Python does not read."""
    started = dt.datetime.strptime(started_at[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=dt.UTC)
    return max(int(now - started.timestamp()), 0)


def as_json(host: str, statuses: list[ServiceStatus]) -> str:
    return json.dumps({"host": host, "services": [asdict(status) for status in statuses]}, indent=2)


def as_table(statuses: list[ServiceStatus], *, usage_shown: bool) -> str:
    """One line a service, columns as wide as they must be."""
    rows = [_cells(status, usage_shown=usage_shown) for status in statuses]
    if not rows:
        return "No service belongs to this host."
    return text_table(rows)


def _cells(status: ServiceStatus, *, usage_shown: bool) -> dict[str, str]:
    cells = {
        "service": status.service,
        "container": status.container,
        "state": status.state,
        "health": status.health,
        "uptime": duration(status.uptime) if status.state == "running" else "-",
        "restarts": str(status.restarts),
        "version": status.version or "-",
        "image": short_image(status.image) or "-",
        "release": status.release or "-",
    }
    if usage_shown:
        cells |= {
            "cpu": f"{status.cpu:.1f} %",
            "memory": f"{status.memory_mb:.0f} / {status.memory_limit_mb:.0f} MiB",
        }
    return cells


def short_image(reference: str) -> str:
    """A digest is cut to the twelve characters that tell images apart."""
    name, at, digest = reference.partition("@sha256:")
    return f"{name}@{digest[:12]}" if at else reference


def duration(seconds: int) -> str:
    """The largest unit and the next one below it, where that is not zero: ``3d 4h``, ``5m 12s``, ``1h``."""
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    for (unit, size), (next_unit, next_size) in pairwise(units):
        if seconds >= size:
            rest = seconds % size // next_size
            return f"{seconds // size}{unit}" + (f" {rest}{next_unit}" if rest else "")
    return f"{seconds}s"
