"""The containers of releases, as adapters: start a candidate, set one aside, rename, remove, keep its last words."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from . import engine
from .errors import PlatformError
from .files import File, ensure_folder, write_atomically
from .release_world import Instance, Renaming
from .service_apply import Transition, observe_service
from .service_plan import needs_gate, plan_service
from .service_spec import ServiceSpec
from .slots import SERVING_SHARES

ESTABLISHED = "01"  # the state's number in /proc/net/tcp (Linux, include/net/tcp_states.h)
DRAIN_POLL_SECONDS = 0.2
KEPT_LOG_LINES = 200


def start_candidates(client: Any, specs: Mapping[str, ServiceSpec]) -> dict[str, Transition]:
    """Create and start the containers side by side; what they pass is asked afterwards.

    :returns: per service what its gate can be asked of, without those that run and were found healthy before.
    """
    started = {}
    for service, wanted in specs.items():
        spec, state = observe_service(client, wanted)
        plan, transition = plan_service(spec, state), Transition(client, spec, state)
        transition.apply(plan)
        if needs_gate(plan, state):
            started[service] = transition
    return started


def rename_all(client: Any, renamings: Iterable[Renaming]) -> None:
    for renaming in renamings:
        client.rename(renaming.current, renaming.wanted)


def give_weight(client: Any, containers: Iterable[str]) -> None:
    """The full share of the processors for what serves now."""
    for container in containers:
        client.update_container(container, cpu_shares=SERVING_SHARES)


def stop(client: Any, container: str, timeout: int) -> None:
    """Gracefully: requests that are in flight come to their end."""
    with suppress(engine.docker_errors.NotFound):
        client.stop(container, timeout=timeout)


def remove(client: Any, instances: Iterable[Instance]) -> None:
    for instance in instances:
        engine.remove_if_present(client, instance.name)


def drain(client: Any, instances: Iterable[tuple[Instance, int]], budget_seconds: float) -> bool:
    """Wait until nobody is connected to the instances' ports any more; False when the budget is used up before.

    The proxy closes its idle connections to a slot that does not serve within seconds, so what lasts is a request.
    """
    deadline = time.monotonic() + budget_seconds
    watched = list(instances)
    while any(connections(client, instance.name, port) for instance, port in watched):
        if time.monotonic() >= deadline:
            return False
        time.sleep(DRAIN_POLL_SECONDS)
    return True


def connections(client: Any, container: str, port: int) -> int:
    """Established TCP connections to the port, as the kernel lists them for the container's network namespace."""
    process = int(client.inspect_container(container)["State"]["Pid"])
    return sum(established(_read(f"/proc/{process}/net/{table}"), port) for table in ("tcp", "tcp6")) if process else 0


def established(table: str, port: int) -> int:
    """From the text of ``/proc/net/tcp`` (proc(5)): local addresses end in the port, in hexadecimal."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == ESTABLISHED for row in rows if len(row) > 3)


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as handle:
            return handle.read()
    except OSError:  # it has just ended
        return ""


def keep_logs(client: Any, folder: str, instances: Iterable[Instance], hide: list[str]) -> list[str]:
    """The last log lines of containers that will go, for whoever asks why; the files' paths."""
    kept = []
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for instance in instances:
        with suppress(engine.docker_errors.APIError, OSError):  # a full disk must not keep the candidate here
            text = engine.log_excerpt(client, instance.name, hide, KEPT_LOG_LINES)
            path = os.path.join(folder, f"{stamp}-{instance.service}.log")
            ensure_folder(folder, 0o700)
            write_atomically(File(path, text + "\n", 0o600))
            kept.append(path)
    return kept


def require_images(client: Any, specs: Iterable[ServiceSpec]) -> None:
    """:raises PlatformError: for an image that is not on this host; nothing has been touched then."""
    for spec in specs:
        if engine.image_id(client, spec.image) is None:
            raise PlatformError(
                f"The image {spec.image} of {spec.name} is not on this host",
                "it was neither built nor pulled, or has been removed since",
                "Check the reference, or build it again with make deploy.",
            )
