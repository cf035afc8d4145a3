"""Decide what brings a service to what it should be. Pure: no engine, no files, no clock.

The order of the actions is the order of safety: nothing is written before its candidate has been validated,
and a container is only replaced by one that could be created.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .container_state import ContainerState
from .files import File, FileState, digest, plan_files
from .planning import Difference, Plan, compare, few
from .service_spec import ImageFacts, ServiceSpec

LIVE_UPDATES = frozenset({"memory", "cpus", "pids"})
SETTLED_HEALTH = frozenset({"healthy", "none"})


@dataclass(frozen=True)
class ServiceState:
    """The world as far as one service is concerned.

    ``replaced`` is the container that an interrupted replacement left under its second name.
    ``applied`` maps a file's path to the digest of the content that the running container has loaded, ``watched``
    the path of a file that others write (a certificate) to the digest of its content now.
    """

    container: ContainerState | None = None
    replaced: ContainerState | None = None
    image: ImageFacts | None = None
    volumes: frozenset[str] = frozenset()
    misowned_volumes: frozenset[str] = frozenset()
    misfit_folders: frozenset[str] = frozenset()
    files: dict[str, FileState | None] = field(default_factory=dict)
    watched: dict[str, str] = field(default_factory=dict)
    applied: dict[str, str] = field(default_factory=dict)


def plan_service(spec: ServiceSpec, state: ServiceState) -> Plan:
    """The actions that bring ``state`` to ``spec``; none when it is there already."""
    plan = Plan()
    container = _plan_leftovers(plan, spec, state)
    _plan_volumes(plan, spec, state)
    _plan_folders(plan, spec, state)
    effect = _plan_service_files(plan, spec, state, container)
    if container is None:
        _plan_creation(plan, spec, state)
    else:
        _plan_container(plan, spec, state, container, effect)
    if state.replaced is not None and state.container is not None:
        plan.add(
            "remove_replaced", spec.container, f"{spec.container}-replaced, left by an interrupted run, is removed"
        )
    return plan


def _plan_leftovers(plan: Plan, spec: ServiceSpec, state: ServiceState) -> ContainerState | None:
    """A replacement that was cut before its new container existed is undone: the old one gets its name back."""
    if state.replaced is not None and state.container is None:
        plan.add("restore_replaced", spec.container, f"{spec.container} gets its name back after an interrupted run")
        return state.replaced
    return state.container


def _plan_volumes(plan: Plan, spec: ServiceSpec, state: ServiceState) -> None:
    for mount in spec.mounts:
        if mount.kind != "volume":
            continue
        if mount.source not in state.volumes:
            plan.differences.append(Difference(f"volume {mount.source}", None, "present"))
            plan.add("create_volume", mount.source, f"volume {mount.source} is created")
        elif mount.source in state.misowned_volumes:
            plan.differences.append(Difference(f"volume {mount.source} owner", "another user", "the container's user"))
            plan.add("own_volume", mount.source, f"volume {mount.source} is given to the container's user")


def _plan_folders(plan: Plan, spec: ServiceSpec, state: ServiceState) -> None:
    for folder in spec.folders:
        if folder.path in state.misfit_folders:
            plan.differences.append(Difference(f"folder {folder.path}", "missing or misowned", f"{folder.mode:04o}"))
            plan.add("make_folder", folder.path, f"folder {folder.path} is in place")


def _plan_service_files(plan: Plan, spec: ServiceSpec, state: ServiceState, container: ContainerState | None) -> str:
    """Plan the files and return what the running container needs for them: restart, reload or nothing."""
    files = plan_files([entry.file for entry in spec.files], state.files)
    if files.changed and spec.validate_command:
        plan.add(
            "validate", spec.container, f"the new configuration of {spec.name} is tested before it replaces the old"
        )
    plan.extend(files)
    if container is None or not container.running:
        return "nothing"
    rewritten = {entry.file.path for entry in spec.files if _content_differs(entry.file, state)}
    wanted = loaded_record(spec, state.watched)
    effects = {entry.file.path: entry.on_change for entry in spec.files} | spec.watched_files
    stale = {effects[path] for path in wanted if path in rewritten or state.applied.get(path) != wanted[path]}
    return next((effect for effect in ("restart", "reload") if effect in stale), "nothing")


def _content_differs(file: File, state: ServiceState) -> bool:
    """Only other content is worth a reload; a mode that drifted is set right in silence."""
    observed = state.files.get(file.path)
    return observed is None or observed.content != file.content.encode()


def loaded_record(spec: ServiceSpec, watched: dict[str, str]) -> dict[str, str]:
    """What a container that was started or reloaded now has loaded: digests of its files, by path."""
    return {entry.file.path: digest(entry.file.content) for entry in spec.files} | watched


def _plan_creation(plan: Plan, spec: ServiceSpec, state: ServiceState) -> None:
    desired = spec.properties(state.image)
    plan.differences.extend(
        difference
        for difference in compare(desired, {}, spec.secret_property_names)
        if difference.desired not in ("", [], {}, False)
    )
    plan.add("create", spec.container, f"{spec.container} is created and started from {spec.image}")


def _plan_container(plan: Plan, spec: ServiceSpec, state: ServiceState, container: ContainerState, effect: str) -> None:
    desired = spec.properties(state.image)
    differences = compare(desired, _without_chosen_addresses(desired, container.properties), spec.secret_property_names)
    plan.differences.extend(differences)
    networks = [d for d in differences if d.name.startswith("network.")]
    updates = [d for d in differences if d.name in LIVE_UPDATES]
    rest = [d.name for d in differences if d not in networks and d not in updates]
    if rest:
        plan.add("replace", spec.container, f"{spec.container} is replaced: {few(rest)} changed")
        return
    if updates:
        names = few([d.name for d in updates])
        plan.add("update", spec.container, f"{spec.container} is updated while it runs: {names}")
    _plan_networks(plan, spec, networks)
    _plan_running(plan, spec, container, effect)


def _without_chosen_addresses(desired: dict[str, Any], observed: dict[str, Any]) -> dict[str, Any]:
    """On an overlay the engine records the address that it chose as if it had been asked for; no one did."""
    return {
        name: value | {"address": ""}
        if name.startswith("network.") and not desired.get(name, value)["address"]
        else value
        for name, value in observed.items()
    }


def _plan_networks(plan: Plan, spec: ServiceSpec, differences: list[Difference]) -> None:
    for difference in differences:
        network = difference.name.removeprefix("network.")
        if difference.desired is None:
            plan.add("disconnect", network, f"{spec.container} leaves network {network}")
        else:
            plan.add("connect", network, f"{spec.container} joins network {network}")


def _plan_running(plan: Plan, spec: ServiceSpec, container: ContainerState, effect: str) -> None:
    if container.paused:
        plan.add("unpause", spec.container, f"{spec.container} goes on after a pause")
    if not container.running:
        plan.add("start", spec.container, f"{spec.container} is started")
    elif effect == "restart":
        plan.add("restart", spec.container, f"{spec.container} is restarted to load its configuration")
    elif (
        container.health == "unhealthy" and not container.paused
    ):  # a paused one always is, and has just been let go on
        plan.add("restart", spec.container, f"{spec.container} is restarted because it is unhealthy")
    elif effect == "reload":
        plan.add("reload", spec.container, f"{spec.container} reloads its configuration")


def needs_gate(plan: Plan, state: ServiceState) -> bool:
    """Whether serving has to be proven: something was done, or the engine has not found it healthy yet."""
    return plan.changed or state.container is None or state.container.health not in SETTLED_HEALTH


def plan_state(
    name: str, container: ContainerState | None, wanted: str, beside: Mapping[str, ContainerState] | None = None
) -> Plan:
    """For the verbs start, stop, restart and destroy of the container ``name``.

    :param wanted: ``started``, ``stopped``, ``restarted`` or ``absent``.
    :param beside: further containers of the service: of the slot that does not serve, or left by an interrupted run.
        They stop and go with it; what starts is the one that serves.
    """
    plan, others = Plan(), beside or {}
    if wanted == "absent":
        for title in [name] * (container is not None) + list(others):
            plan.differences.append(Difference(title, "present", None))
            plan.add("remove", title, f"{title} is removed")
    elif wanted == "stopped":
        for title, state in (({name: container} if container else {}) | dict(others)).items():
            if state.running:
                plan.add("stop", title, f"{title} is stopped")
    elif container is None:
        return plan
    elif wanted == "started" and not container.running:
        plan.add("start", name, f"{name} is started")
    elif wanted == "started" and container.paused:
        plan.add("unpause", name, f"{name} goes on after a pause")
    elif wanted == "restarted":
        plan.add("restart" if container.running else "start", name, f"{name} is restarted")
    return plan
