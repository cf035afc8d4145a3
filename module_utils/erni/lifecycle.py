"""The everyday verbs on containers that exist: start, stop, restart, remove, and their logs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from . import engine
from .container_state import ContainerState
from .errors import PlatformError
from .planning import Plan
from .replicas import every_replica, serving_replicas
from .service_plan import plan_state
from .slots import names_beside

HEALTH_TIMEOUT = 180
DEFAULT_STOP_TIMEOUT = 30
POLL_SECONDS = 0.25


def serving_containers(client: Any, platform: str, service: str) -> list[str]:
    """The containers of the service that serve or should, one for each replica."""
    return [f"{platform}-{name}" for name in serving_replicas(client.containers(all=True), platform, service)]


def plan_lifecycle(client: Any, platform: str, service: str, wanted: str) -> Plan:
    """For each replica that there is or should be, with what lies beside it, one after the other.

    :param wanted: as :func:`plan_state` takes it.
    :raises PlatformError: where one is to run and is not there.
    """
    networks, listed, plan = engine.network_ids(client), client.containers(all=True), Plan()
    existing = {entry["Names"][0].removeprefix("/") for entry in listed}
    to_run = serving_replicas(listed, platform, service) if wanted in ("started", "restarted") else []
    for replica in every_replica(service):
        container = f"{platform}-{replica}"
        names = [container, *(f"{container}{suffix}" for suffix in engine.SUFFIXES), *names_beside(container)]
        looked_at = {name: engine.observe_container(client, name, networks) for name in names if name in existing}
        beside = {name: state for name, state in looked_at.items() if state is not None}
        observed = beside.pop(container, None)
        if replica in to_run:
            require_existing(container, observed)
        plan.extend(plan_state(container, observed, wanted, beside))
    return plan


def apply_lifecycle(client: Any, plan: Plan) -> None:
    for action in plan.actions:
        container = action.subject
        if action.kind in ("start", "unpause"):
            getattr(client, action.kind)(container)
            wait_healthy(client, container)
        elif action.kind == "restart":
            client.restart(container, timeout=stop_timeout(client, container))
            wait_healthy(client, container)
        elif action.kind == "stop":
            client.stop(container, timeout=stop_timeout(client, container))
        elif action.kind == "remove":
            _remove(client, container)
        elif action.kind == "remove_volume":
            engine.remove_volume(client, action.subject)


def require_existing(container: str, observed: ContainerState | None) -> None:
    """:raises PlatformError: for a container that is to run and is not there."""
    if observed is None:
        raise PlatformError(f"The container {container} does not exist", "", "Run make up, which creates it.")


def stop_timeout(client: Any, container: str) -> int:
    asked = client.inspect_container(container)["Config"].get("StopTimeout")
    return DEFAULT_STOP_TIMEOUT if asked is None else int(asked)


def _remove(client: Any, container: str) -> None:
    """Gracefully: a database that is killed has to recover at its next start."""
    with suppress(engine.docker_errors.NotFound):  # somebody else was faster, which is as good
        if engine.is_running(client, container):
            client.stop(container, timeout=stop_timeout(client, container))
    engine.remove_if_present(client, container)


def wait_healthy(client: Any, container: str, timeout: float = HEALTH_TIMEOUT) -> None:
    """Until the container's own health command succeeds; not until the engine's next look at it.

    :raises PlatformError: when it exits, or does not succeed in time.
    """
    command = health_command(client.inspect_container(container))
    deadline = time.monotonic() + timeout
    output = ""
    while time.monotonic() < deadline:
        if not engine.is_running(client, container):
            break
        if not command:
            return
        try:
            code, output = engine.run_inside(client, container, command)
        except engine.docker_errors.APIError:
            code = 1  # it stopped between two looks
        if code == 0:
            return
        time.sleep(POLL_SECONDS)
    state = "runs but is not healthy" if engine.is_running(client, container) else "does not stay up"
    raise PlatformError(
        f"{container} {state}", output or "its check says nothing", f"`docker logs {container}` or make logs shows why."
    )


def health_command(inspected: Mapping[str, Any]) -> tuple[str, ...]:
    """The container's own check as an argument list; empty where it has none."""
    test = (inspected["Config"].get("Healthcheck") or {}).get("Test") or []
    if test[:1] == ["CMD"]:
        return tuple(test[1:])
    return ("sh", "-c", test[1]) if test[:1] == ["CMD-SHELL"] else ()


def read_log(client: Any, container: str, tail: int, grep: str) -> list[str]:
    """The last lines of both streams, oldest first; with ``grep`` those of them that hold the text."""
    try:
        text = client.logs(container, tail=tail, timestamps=False).decode(errors="replace")
    except engine.docker_errors.NotFound:
        return [f"(there is no container {container})"]
    return [line for line in text.splitlines() if grep in line]


def run_client(client: Any, container: str, command: tuple[str, ...]) -> tuple[int, str]:
    """A client program in a running container: exit code and output.

    :raises PlatformError: when there is no such container, or it does not run.
    """
    with engine.explained(f"{container} cannot run {command[0]}"):
        return engine.run_inside(client, container, command)
