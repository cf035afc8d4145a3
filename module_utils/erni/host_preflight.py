"""Whether a host can carry the platform. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .findings import Finding
from .host_facts import HostFacts

SUPPORTED_SYSTEMS = {"debian": "12", "ubuntu": "22.04"}


@dataclass(frozen=True)
class Requirements:
    platform: str
    ports: tuple[int, ...]
    min_memory_mb: int
    min_disk_gb: float
    min_docker_version: str
    require_time_sync: bool


def check_host(facts: HostFacts, required: Requirements) -> list[Finding]:
    """All findings at once, most basic first."""
    return [
        *_system(facts),
        *_resources(facts, required),
        *_engine(facts, required),
        *_ports(facts, required),
        *_clock(facts, required),
    ]


def _system(facts: HostFacts) -> list[Finding]:
    minimum = SUPPORTED_SYSTEMS.get(facts.os_id)
    if minimum and version_tuple(facts.os_version) >= version_tuple(minimum):
        return []
    known = " and ".join(f"{name} {version} or later" for name, version in SUPPORTED_SYSTEMS.items())
    return [
        Finding(
            f"The operating system is {facts.os_name}",
            f"the platform is proven on {known}",
            "Use a host with one of them.",
            "warning" if facts.os_id in SUPPORTED_SYSTEMS else "error",
        )
    ]


def _resources(facts: HostFacts, required: Requirements) -> list[Finding]:
    found = []
    if facts.memory_mb < required.min_memory_mb:
        found.append(
            Finding(
                f"The host has {facts.memory_mb} MiB of memory",
                f"{required.min_memory_mb} MiB are needed",
                "Use a larger host, or lower platform_min_memory_mb and the services' limits knowingly.",
            )
        )
    if facts.disk_free_gb < required.min_disk_gb:
        found.append(
            Finding(
                f"Only {facts.disk_free_gb:.1f} GiB of disk are free where containers and volumes live",
                f"{required.min_disk_gb:g} GiB are needed",
                "Free some (docker image prune removes images that nothing uses), or add a disk.",
            )
        )
    return found


def _engine(facts: HostFacts, required: Requirements) -> list[Finding]:
    if not facts.engine_version or version_tuple(facts.engine_version) >= version_tuple(required.min_docker_version):
        return []  # an engine that is missing will be installed
    return [
        Finding(
            f"The Docker Engine is version {facts.engine_version}",
            f"{required.min_docker_version} is the oldest that the platform works with",
            "Upgrade it.",
        )
    ]


def _ports(facts: HostFacts, required: Requirements) -> list[Finding]:
    found = []
    holders = {listener.port: listener.holder for listener in facts.listeners}
    for port in required.ports:
        container, platform = facts.published.get(port, ("", ""))
        if platform == required.platform:
            continue
        holder = f"container {container}" if container else holders.get(port)
        if holder is not None:
            found.append(
                Finding(
                    f"Port {port} is in use",
                    f"by {holder or 'a process that cannot be seen'}",
                    "Stop it, or set the port variable (nginx_http_port, nginx_https_port) to a free one.",
                )
            )
    return found


def _clock(facts: HostFacts, required: Requirements) -> list[Finding]:
    if facts.time_synchronised:
        return []
    return [
        Finding(
            "The clock is not synchronised",
            "tokens, certificates and the order of backups depend on it",
            "Install and start chrony or systemd-timesyncd.",
            "error" if required.require_time_sync else "warning",
        )
    ]


def version_tuple(text: str) -> tuple[int, ...]:
    """``20.10.24+dfsg1`` → (20, 10, 24)."""
    return tuple(int(part) for part in re.findall(r"\d+", text.partition("+")[0]))
