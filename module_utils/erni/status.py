"""How the platform's containers are doing, as data and as a table."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from . import engine
from .service_spec import LABEL_PREFIX

SAMPLE_SECONDS = 0.4
MIB = 1024 * 1024
COLUMNS = ("service", "container", "state", "health", "uptime", "restarts", "image", "release", "cpu", "memory")


@dataclass(frozen=True)
class ServiceStatus:
    """``cpu`` in per cent of one processor, ``memory_mb`` of ``memory_limit_mb`` in MiB, ``uptime`` in seconds."""

    service: str
    container: str
    state: str
    health: str = "none"
    uptime: int = 0
    restarts: int = 0
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


def observe_status(client: Any, platform: str, services: list[str]) -> list[ServiceStatus]:
    """All services side by side: a CPU figure takes two looks some time apart."""
    with ThreadPoolExecutor(max(len(services), 1)) as pool:
        return list(pool.map(lambda service: _observe(client, f"{platform}-{service}", service), services))


def _observe(client: Any, container: str, service: str) -> ServiceStatus:
    try:
        inspected = client.inspect_container(container)
    except engine.docker_errors.NotFound:
        return ServiceStatus(service, container, "missing")
    running = inspected["State"]["Status"] == "running"
    usage = _usage(client, container) if running else {}
    labels = inspected["Config"]["Labels"] or {}
    return ServiceStatus(
        service=service,
        container=container,
        state=inspected["State"]["Status"],
        health=(inspected["State"].get("Health") or {}).get("Status", "none"),
        uptime=uptime(inspected["State"]["StartedAt"], time.time()) if running else 0,
        restarts=inspected["RestartCount"],
        image=inspected["Config"]["Image"],
        release=labels.get(f"{LABEL_PREFIX}release", ""),
        **usage,
    )


def _usage(client: Any, container: str) -> dict[str, float]:
    first = client.stats(container, stream=False, one_shot=True)
    time.sleep(SAMPLE_SECONDS)
    return usage(first, client.stats(container, stream=False, one_shot=True))


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
        "cpu": round(100.0 * used / passed * processors, 1) if passed > 0 else 0.0,
        "memory_mb": round(max(memory.get("usage", 0) - cache, 0) / MIB, 1),
        "memory_limit_mb": round(memory.get("limit", 0) / MIB, 1),
    }


def uptime(started_at: str, now: float) -> int:
    """Seconds since the engine's time stamp, which has nanoseconds and a Z that Python does not read."""
    started = datetime.datetime.strptime(started_at[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)
    return max(int(now - started.timestamp()), 0)


def as_json(host: str, statuses: list[ServiceStatus]) -> str:
    return json.dumps({"host": host, "services": [asdict(status) for status in statuses]}, indent=2)


def as_table(statuses: list[ServiceStatus]) -> str:
    rows = [[column.upper() for column in COLUMNS], *(_row(status) for status in statuses)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _row(status: ServiceStatus) -> list[str]:
    return [
        status.service,
        status.container,
        status.state,
        status.health,
        duration(status.uptime) if status.state == "running" else "-",
        str(status.restarts),
        short_image(status.image) or "-",
        status.release or "-",
        f"{status.cpu:.1f} %",
        f"{status.memory_mb:.0f} / {status.memory_limit_mb:.0f} MiB",
    ]


def short_image(reference: str) -> str:
    """A digest is cut to the twelve characters that tell images apart."""
    name, at, digest = reference.partition("@sha256:")
    return f"{name}@{digest[:12]}" if at else reference


def duration(seconds: int) -> str:
    """Two most telling units: ``3d 4h``, ``5m 12s``."""
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    parts = []
    for unit, size in units:
        count, seconds = divmod(seconds, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
