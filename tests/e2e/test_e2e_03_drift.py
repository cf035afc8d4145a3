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
    """``damage`` is done by hand; ``touched`` are the services whose container is then another or started again.

    ``phases`` is how many phases of the run change something: one more would heal what is none of this damage.
    """

    name: str
    damage: Callable[[Platform], Any]
    touched: frozenset[str]
    said: str
    phases: int = 1


DRIFTS = [
    Drift(
        "a stopped container",
        lambda p: p.container("frontend").stop(),
        frozenset({"frontend"}),
        f"{NAME}-frontend is started",
    ),
    Drift(
        "a removed cache",
        lambda p: p.container("redis").remove(force=True),
        frozenset({"redis"}),
        f"{NAME}-redis is created",
    ),
    Drift(
        "a removed database server",
        lambda p: p.container("postgres").remove(force=True),
        frozenset({"postgres"}),
        f"{NAME}-postgres is created",
    ),
    Drift(
        "another memory limit",
        lambda p: p.container("backend").update(mem_limit="900m", memswap_limit="900m"),
        frozenset(),
        f"{NAME}-backend is updated while it runs: memory",
    ),
    Drift(
        "a container made by hand",
        lambda p: recreate_with_other_configuration(p, "frontend"),
        frozenset({"backend", "frontend"}),
        "starts in slot",
    ),
    Drift(
        "a network left",
        lambda p: leave_network(p, "data", "backend"),
        frozenset(),
        f"{NAME}-backend joins network {NAME}-data",
    ),
    Drift(
        "a removed network without a way out",
        lambda p: remove_network(p, "data"),
        frozenset(),
        f"{NAME}-postgres joins network {NAME}-data",
        phases=4,
    ),
    Drift(
        "a removed network that users come in by",
        lambda p: remove_network(p, "edge"),
        frozenset(),
        f"{NAME}-nginx joins network {NAME}-edge",
        phases=4,
    ),
    Drift(
        "an edited nginx.conf",
        lambda _: NGINX_CONF.write_text(NGINX_CONF.read_text().replace("server_tokens off", "server_tokens on")),
        frozenset(),
        f"{NAME}-nginx reloads its configuration",
    ),
    Drift(
        "a secret that others may read",
        lambda _: SECRET_FILE.chmod(0o644),
        frozenset(),
        f"{SECRET_FILE} is replaced",
    ),
]


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.name.replace(" ", "-"))
def test_drift_is_healed_and_nothing_else_is_touched(running: Platform, conversation: str, drift: Drift) -> None:
    before, files = running.identities(), running.files()
    drift.damage(running)

    run = running.up()

    after = running.identities()
    assert drift.said in run.output
    assert len(run.changes) == drift.phases, run.output
    assert {service for service in before if before[service] != after[service]} == drift.touched
    assert running.messages_of(conversation) == 2
    assert permissions(running.files()) == permissions(files)
    assert "server_tokens off" in NGINX_CONF.read_text()


def test_after_all_of_it_nothing_is_left_to_heal(running: Platform) -> None:
    assert running.up().changes == []


def permissions(files: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """Mode, owner, group and size: what a file that was written anew has again."""
    return {path: facts[2:] for path, facts in files.items() if not path.startswith("run/")}
