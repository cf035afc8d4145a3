"""What was changed by hand comes back with one `make up`; nothing else is touched, and no data is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from e2e_platform import NAME, PLATFORM_ROOT, Platform

NGINX_CONF = PLATFORM_ROOT / "services" / "nginx" / "nginx.conf"
SECRET_FILE = PLATFORM_ROOT / "services" / "postgres" / "superuser_password"


def leave_network(platform: Platform, kind: str, service: str) -> None:
    platform.network(kind).disconnect(platform.container(service), force=True)


def remove_network(platform: Platform, kind: str) -> None:
    network = platform.network(kind)
    for service in network.attrs["Containers"].values():
        network.disconnect(service["Name"], force=True)
    network.remove()


def recreate_with_other_configuration(platform: Platform, service: str) -> None:
    """As somebody in a hurry would: the right image, little else."""
    container = platform.container(service)
    image = container.attrs["Config"]["Image"]
    container.remove(force=True)
    platform.engine.containers.run(image, name=f"{NAME}-{service}", detach=True, network=f"{NAME}-edge")


@dataclass(frozen=True)
class Drift:
    """``damage`` is done by hand; ``touched`` are the services whose container is then another or started again."""

    name: str
    damage: Callable[[Platform], Any]
    touched: frozenset[str]
    said: str


@dataclass(frozen=True)
class Night:
    """What goes wrong between two runs. ``phases`` is how many phases of the run change something: one more would heal
    what is none of this damage."""

    drifts: tuple[Drift, ...]
    phases: int

    @property
    def name(self) -> str:
        return "+".join(drift.name.replace(" ", "-") for drift in self.drifts)


STOPPED = Drift(
    "a stopped container",
    lambda p: p.container("frontend").stop(),
    frozenset({"frontend"}),
    f"{NAME}-frontend is started",
)
NO_CACHE = Drift(
    "a removed cache",
    lambda p: p.container("redis").remove(force=True),
    frozenset({"redis"}),
    f"{NAME}-redis is created",
)
EDITED = Drift(
    "an edited nginx.conf",
    lambda _: NGINX_CONF.write_text(NGINX_CONF.read_text().replace("server_tokens off", "server_tokens on")),
    frozenset(),
    f"{NAME}-nginx reloads its configuration",
)
READABLE = Drift(
    "a secret that others may read", lambda _: SECRET_FILE.chmod(0o644), frozenset(), f"{SECRET_FILE} is replaced"
)
NO_DATABASE = Drift(
    "a removed database server",
    lambda p: p.container("postgres").remove(force=True),
    frozenset({"postgres"}),
    f"{NAME}-postgres is created",
)
LESS_MEMORY = Drift(
    "another memory limit",
    lambda p: p.container("backend").update(mem_limit="900m", memswap_limit="900m"),
    frozenset(),
    f"{NAME}-backend is updated while it runs: memory",
)
LEFT = Drift(
    "a network left",
    lambda p: leave_network(p, "data", "backend"),
    frozenset(),
    f"{NAME}-backend joins network {NAME}-data",
)
BY_HAND = Drift(
    "a container made by hand",
    lambda p: recreate_with_other_configuration(p, "frontend"),
    frozenset({"frontend"}),
    f"{NAME}-frontend, which was made by hand, is removed",
)
NO_DATA_NETWORK = Drift(
    "a removed network without a way out",
    lambda p: remove_network(p, "data"),
    frozenset(),
    f"{NAME}-postgres joins network {NAME}-data",
)
NO_EDGE_NETWORK = Drift(
    "a removed network that users come in by",
    lambda p: remove_network(p, "edge"),
    frozenset(),
    f"{NAME}-nginx joins network {NAME}-edge",
)

NIGHTS = [
    Night((STOPPED, NO_CACHE, EDITED, READABLE), phases=4),
    Night((NO_DATABASE, LESS_MEMORY, LEFT), phases=2),
    Night((BY_HAND,), phases=1),
    Night((NO_DATA_NETWORK, NO_EDGE_NETWORK), phases=5),
]


@pytest.mark.parametrize("night", NIGHTS, ids=lambda night: night.name)
def test_drift_is_healed_and_nothing_else_is_touched(running: Platform, conversation: str, night: Night) -> None:
    before, files = running.serving(), running.files()
    for drift in night.drifts:
        drift.damage(running)

    run = running.up()

    after = running.serving()
    assert [drift.said for drift in night.drifts if drift.said not in run.output] == []
    assert len(run.changes) == night.phases, run.output
    touched = {service for service in before if before[service] != after[service]}
    assert touched == frozenset().union(*(drift.touched for drift in night.drifts))
    assert running.messages_of(conversation) == 2
    assert permissions(running.files()) == permissions(files)
    assert "server_tokens off" in NGINX_CONF.read_text()


def permissions(files: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """Mode, owner, group and size: what a file that was written anew has again."""
    elsewhere = ("run/", "services/nginx/live/")  # sockets, and which slot serves
    return {path: facts[2:] for path, facts in files.items() if not path.startswith(elsewhere)}
