"""What the engine says of a container, flattened to the property names of ``service_spec``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .service_spec import LABEL_PREFIX, NANO, ImageFacts, Mount

NO_NETWORK = "none"  # what the engine calls the absence of one


@dataclass(frozen=True)
class ContainerState:
    """A container that exists. ``health`` is healthy, unhealthy, starting, none without a check, or recovering
    where the engine's last look found it unhealthy and it is not any more."""

    id: str
    running: bool
    paused: bool
    health: str
    properties: dict[str, Any] = field(default_factory=dict)


def container_state(inspected: Mapping[str, Any], network_ids: Mapping[str, str]) -> ContainerState:
    """From ``GET /containers/{id}/json`` (Docker Engine API 1.41) and the networks that exist."""
    state = inspected["State"]
    return ContainerState(
        id=inspected["Id"],
        running=bool(state["Running"]),
        paused=bool(state.get("Paused")),
        health=(state.get("Health") or {}).get("Status", "none"),
        properties=observed_properties(inspected, network_ids),
    )


def image_facts(inspected: Mapping[str, Any]) -> ImageFacts:
    """From ``GET /images/{name}/json`` (Docker Engine API 1.41)."""
    config = inspected.get("Config") or {}
    return ImageFacts(
        id=inspected["Id"],
        command=tuple(config.get("Cmd") or ()),
        user=config.get("User") or "",
        environment=_pairs(config.get("Env") or []),
    )


def observed_properties(inspected: Mapping[str, Any], network_ids: Mapping[str, str]) -> dict[str, Any]:
    config, host = inspected["Config"], inspected["HostConfig"]
    health = config.get("Healthcheck") or {}
    flat: dict[str, Any] = {
        "image": inspected["Image"],
        "user": config.get("User") or "",
        "command": list(config.get("Cmd") or []),
        "tmpfs": dict(host.get("Tmpfs") or {}),
        "health": {key: health.get(key, 0) for key in ("Test", "Interval", "Timeout", "Retries", "StartPeriod")},
        "memory": host.get("Memory", 0),
        "shm_size": host.get("ShmSize", 0),
        "cpus": (host.get("NanoCpus") or 0) / NANO,
        "pids": host.get("PidsLimit") or 0,
        "read_only": bool(host.get("ReadonlyRootfs")),
        "capabilities": sorted(_capability(name) for name in host.get("CapAdd") or []),
        "capabilities_dropped": list(host.get("CapDrop") or []),
        "security": list(host.get("SecurityOpt") or []),
        "restart": (host.get("RestartPolicy") or {}).get("Name", ""),
        "stop_timeout": config.get("StopTimeout"),
        "stop_signal": config.get("StopSignal") or "SIGTERM",
        "log": dict((host.get("LogConfig") or {}).get("Config") or {}),
        "extra_hosts": dict(entry.split(":", 1) for entry in host.get("ExtraHosts") or []),
        "init": bool(host.get("Init")),
    }
    flat |= {f"environment.{name}": value for name, value in _pairs(config.get("Env") or []).items()}
    flat |= {
        f"label.{key}": value for key, value in (config.get("Labels") or {}).items() if key.startswith(LABEL_PREFIX)
    }
    flat |= _ports(host.get("PortBindings") or {})
    flat |= _mounts(host.get("Mounts") or [], host.get("Binds") or [])
    flat |= _networks(inspected, network_ids)
    return flat


def _capability(name: str) -> str:
    return name.removeprefix("CAP_")


def _pairs(environment: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (entry.partition("=") for entry in environment)}


def _ports(bindings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"port.{port}": ", ".join(f"{b.get('HostIp', '')}:{b.get('HostPort', '')}" for b in bound or [])
        for port, bound in bindings.items()
    }


def _mounts(mounts: list[Mapping[str, Any]], binds: list[str]) -> dict[str, Any]:
    """Mounts as asked for; a classic ``-v`` bind is shown too, so that it counts as drift."""
    flat = {
        f"mount.{m['Target']}": Mount(m["Type"], m.get("Source", ""), m["Target"], bool(m.get("ReadOnly"))).described()
        for m in mounts
    }
    return flat | {f"mount.{bind.split(':')[1]}": f"bind {bind}" for bind in binds}


def _networks(inspected: Mapping[str, Any], network_ids: Mapping[str, str]) -> dict[str, Any]:
    """Attachments to networks that still exist; one whose network was removed and made anew does not count."""
    flat = {}
    for name, endpoint in (inspected["NetworkSettings"].get("Networks") or {}).items():
        attached_to = endpoint.get("NetworkID")
        if name == NO_NETWORK or (attached_to and attached_to != network_ids.get(name)):
            continue
        aliases = [alias for alias in endpoint.get("Aliases") or [] if alias != inspected["Id"][:12]]
        address = (endpoint.get("IPAMConfig") or {}).get("IPv4Address", "")
        flat[f"network.{name}"] = {"address": address, "aliases": sorted(aliases)}
    return flat
