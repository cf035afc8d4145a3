"""A service as data: what its container, volumes, files and gate should be.

The dataclasses mirror the ``container_service`` module's ``service`` option one to one; :func:`from_params`
builds them. :meth:`ServiceSpec.properties` flattens the container's part to comparable properties, and
``container_state.observed_properties`` flattens what the engine reports to the same names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import PlatformError
from .files import File

LABEL_PREFIX = "ch.erni."
NANO = 1_000_000_000
_SIZE = re.compile(r"^(\d+)([kmg]?)b?$", re.IGNORECASE)
_SIZE_FACTORS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def size_in_bytes(text: str) -> int:
    """``512m`` → 536870912. Units are binary, as the engine's are; no unit means bytes."""
    match = _SIZE.match(text.strip())
    if not match:
        raise PlatformError(f"'{text}' is no size", "a size is a whole number with k, m or g behind it, such as 512m")
    return int(match[1]) * _SIZE_FACTORS[match[2].lower()]


@dataclass(frozen=True)
class NetworkAttachment:
    """``addresses`` gives a fixed address per slot, for a service that has slots."""

    name: str
    address: str
    aliases: tuple[str, ...]
    addresses: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Mount:
    """``kind`` is ``volume`` (source is its name) or ``bind`` (source is a host folder)."""

    kind: str
    source: str
    target: str
    read_only: bool

    def described(self) -> str:
        return f"{self.kind} {self.source} ({'ro' if self.read_only else 'rw'})"


@dataclass(frozen=True)
class ServiceFile:
    """A file that the container reads. ``on_change`` is ``restart``, ``reload`` or ``nothing``."""

    file: File
    on_change: str


@dataclass(frozen=True)
class Folder:
    """A host folder; ``owned`` gives it to the container's user."""

    path: str
    mode: int
    owned: bool


@dataclass(frozen=True)
class Health:
    """The engine's own check. All times in seconds."""

    command: tuple[str, ...]
    interval: int
    timeout: int
    retries: int
    start_period: int


@dataclass(frozen=True)
class Gate:
    """What a started container must pass before it counts as serving: ``passes`` in a row in ``timeout`` s.

    With a ``port``, ``path`` must answer there with 200, asked from within the container's own network; that costs its
    host next to nothing. Without one the command runs in the container.
    """

    command: tuple[str, ...]
    passes: int
    timeout: int
    port: int = 0
    path: str = "/"


@dataclass(frozen=True)
class ImageFacts:
    """What a container takes over from its image where the spec says nothing."""

    id: str
    command: tuple[str, ...] = ()
    user: str = ""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ServiceSpec:
    name: str
    container: str
    image: str
    user: str
    command: tuple[str, ...]
    environment: dict[str, str]
    secret_environment: dict[str, str] = field(repr=False)
    labels: dict[str, str]
    networks: tuple[NetworkAttachment, ...]
    ports: dict[str, str]
    mounts: tuple[Mount, ...]
    tmpfs: dict[str, str]
    folders: tuple[Folder, ...]
    files: tuple[ServiceFile, ...]
    watched_files: dict[str, str]
    health: Health
    gate: Gate
    reload_command: tuple[str, ...]
    reload_signal: str
    validate_command: tuple[str, ...]
    memory: int
    shm_size: int
    cpus: float
    pids: int
    read_only: bool
    capabilities: tuple[str, ...]
    stop_timeout: int
    stop_signal: str
    log_max_size: str
    log_max_files: int
    extra_hosts: dict[str, str]
    init: bool
    cpu_shares: int = 0  # weight against other containers where processors are scarce; 0 is the engine's 1024

    @property
    def applied_record(self) -> str:
        """The file that remembers which contents the running container has loaded ('' for a service without files)."""
        return f"{self.folders[0].path}/.applied.json" if self.files and self.folders else ""

    @property
    def secret_property_names(self) -> set[str]:
        return {f"environment.{name}" for name in self.secret_environment}

    @property
    def secret_values(self) -> list[str]:
        """Everything that must not appear in an error's log excerpt, longest first."""
        lines = [line.strip() for entry in self.files if entry.file.secret for line in entry.file.content.splitlines()]
        values = [*self.secret_environment.values(), *lines]
        return sorted((value for value in values if len(value) > 3), key=len, reverse=True)

    def properties(self, image: ImageFacts | None) -> dict[str, Any]:
        """The container's comparable properties; ``image`` is what ``self.image`` resolves to, if it is there."""
        inherited = image or ImageFacts(self.image)
        environment = {**inherited.environment, **self.environment, **self.secret_environment}
        flat: dict[str, Any] = {
            "image": inherited.id,
            "user": self.user or inherited.user,
            "command": list(self.command or inherited.command),
            "tmpfs": dict(self.tmpfs),
            "health": _health_as_engine_has_it(self.health),
            "memory": self.memory,
            "shm_size": self.shm_size,
            "cpus": self.cpus,
            "pids": self.pids,
            "read_only": self.read_only,
            "capabilities": sorted(self.capabilities),
            "capabilities_dropped": ["ALL"],
            "security": ["no-new-privileges:true"],
            "restart": "unless-stopped",
            "stop_timeout": self.stop_timeout,
            "stop_signal": self.stop_signal,
            "log": {"max-file": str(self.log_max_files), "max-size": self.log_max_size},
            "extra_hosts": dict(self.extra_hosts),
            "init": self.init,
        }
        flat |= {f"environment.{k}": v for k, v in environment.items()}
        flat |= {f"label.{k}": v for k, v in self.labels.items()}
        flat |= {f"port.{k}": v for k, v in self.ports.items()}
        flat |= {f"mount.{m.target}": m.described() for m in self.mounts}
        flat |= {f"network.{n.name}": {"address": n.address, "aliases": sorted(n.aliases)} for n in self.networks}
        return flat


def _health_as_engine_has_it(health: Health) -> dict[str, Any]:
    return {
        "Test": ["CMD", *health.command],
        "Interval": health.interval * NANO,
        "Timeout": health.timeout * NANO,
        "Retries": health.retries,
        "StartPeriod": health.start_period * NANO,
    }


def from_params(platform: str, params: Mapping[str, Any]) -> ServiceSpec:
    """Build a spec from the module's validated ``service`` option. Owners of files are resolved later, on the host."""
    health, gate, limits = params["health"], params["gate"], params["limits"]
    name = str(params["name"])
    labels = {f"{LABEL_PREFIX}platform": platform, f"{LABEL_PREFIX}service": name}
    return ServiceSpec(
        name=name,
        container=f"{platform}-{name}",
        image=params["image"],
        user=params["user"],
        command=tuple(params["command"]),
        environment=_strings(params["environment"]),
        secret_environment=_strings(params["secret_environment"]),
        labels=labels | {f"{LABEL_PREFIX}{k}": str(v) for k, v in params["labels"].items()},
        networks=tuple(
            NetworkAttachment(n["name"], n["address"], tuple(n["aliases"]), _strings(n["addresses"]))
            for n in params["networks"]
        ),
        ports={f"{p['container']}/tcp": f"{p['address']}:{p['host']}" for p in params["ports"]},
        mounts=_mounts(params),
        tmpfs=_strings(params["tmpfs"]),
        folders=tuple(Folder(f["path"], int(f["mode"], 8), f["owned"]) for f in params["folders"]),
        files=_files(params),
        watched_files={f["path"]: f["on_change"] for f in params["watched_files"]},
        health=Health(
            tuple(health["command"]), health["interval"], health["timeout"], health["retries"], health["start_period"]
        ),
        gate=Gate(
            tuple(gate["command"] or health["command"]), gate["passes"], gate["timeout"], gate["port"], gate["path"]
        ),
        reload_command=tuple(params["reload_command"]),
        reload_signal=params["reload_signal"],
        validate_command=tuple(params["validate_command"]),
        memory=size_in_bytes(limits["memory"]),
        shm_size=size_in_bytes(limits["shm"]),
        cpus=round(float(limits["cpus"]), 9),
        pids=limits["pids"],
        read_only=params["read_only"],
        capabilities=tuple(params["capabilities"]),
        stop_timeout=params["stop_timeout"],
        stop_signal=params["stop_signal"],
        log_max_size=params["log_max_size"],
        log_max_files=params["log_max_files"],
        extra_hosts=_strings(params["extra_hosts"]),
        init=params["init"],
    )


def _strings(mapping: Mapping[str, Any]) -> dict[str, str]:
    return {key: _environment_text(value) for key, value in mapping.items()}


def _environment_text(value: Any) -> str:
    """YAML's true and false become the lower-case words that applications read."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _mounts(params: Mapping[str, Any]) -> tuple[Mount, ...]:
    volumes = [Mount("volume", v["name"], v["target"], v["read_only"]) for v in params["volumes"]]
    binds = [Mount("bind", b["source"], b["target"], b["read_only"]) for b in params["binds"]]
    return tuple(volumes + binds)


def _files(params: Mapping[str, Any]) -> tuple[ServiceFile, ...]:
    return tuple(
        ServiceFile(File(f["path"], f["content"], int(f["mode"], 8), secret=secret), f["on_change"])
        for secret, key in ((False, "files"), (True, "secret_files"))
        for f in params[key]
    )
