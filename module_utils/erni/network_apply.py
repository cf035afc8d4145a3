"""Observe and change the engine's networks."""

from __future__ import annotations

from typing import Any

from . import engine
from .errors import PlatformError
from .network_plan import Network, observed_network
from .planning import Plan


def observe_networks(client: Any, names: list[str]) -> dict[str, dict[str, Any]]:
    return {
        network["Name"]: observed_network(client.inspect_network(network["Id"]))
        for network in client.networks()
        if network["Name"] in names
    }


def apply_networks(client: Any, plan: Plan, desired: list[Network], labels: dict[str, str]) -> None:
    by_name = {network.name: network for network in desired}
    for action in plan.actions:
        if action.kind == "recreate_network":
            _remove(client, action.subject)
        _create(client, by_name[action.subject], labels)


def _create(client: Any, network: Network, labels: dict[str, str]) -> None:
    pool: dict[str, str] = {"Subnet": network.subnet}
    if network.dynamic_range:
        pool["IPRange"] = network.dynamic_range
    try:
        client.create_network(
            network.name,
            driver=network.driver,
            ipam={"Driver": "default", "Config": [pool]},
            internal=network.internal,
            options={"encrypted": ""} if network.encrypted else None,
            attachable=True if network.driver == "overlay" else None,
            check_duplicate=True,
            labels=labels,
        )
    except engine.docker_errors.APIError as error:
        raise PlatformError(
            f"The network {network.name} ({network.subnet}) could not be created",
            engine.explanation(error),
            "Where the address range is taken, set platform_edge_subnet or platform_data_subnet to a free one "
            "(docker network ls and docker network inspect show what is there).",
        ) from error


def _remove(client: Any, name: str) -> None:
    """Its containers leave first; the services' own plans join them to the new one."""
    for container in client.inspect_network(name)["Containers"] or {}:
        client.disconnect_container_from_network(container, name, force=True)
    client.remove_network(name)
