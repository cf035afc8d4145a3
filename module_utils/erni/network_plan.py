"""Networks of the platform: which to create, and which to make anew because they differ. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .planning import Plan, compare


@dataclass(frozen=True)
class Network:
    """A user-defined network. ``dynamic_range`` is what the engine assigns from; fixed addresses lie outside of it."""

    name: str
    driver: str
    subnet: str
    dynamic_range: str
    internal: bool
    encrypted: bool = False  # IPsec between the hosts of an overlay network

    def properties(self) -> dict[str, Any]:
        return {
            "driver": self.driver,
            "subnet": self.subnet,
            "dynamic_range": self.dynamic_range,
            "internal": self.internal,
            "encrypted": self.encrypted,
        }


def network_from_params(params: Mapping[str, Any]) -> Network:
    """``params``: an element of platform_base's ``networks``."""
    return Network(**params)


def observed_network(inspected: Mapping[str, Any]) -> dict[str, Any]:
    """From ``GET /networks/{id}`` (Docker Engine API 1.41)."""
    address_pool = (inspected["IPAM"]["Config"] or [{}])[0]
    return {
        "driver": inspected["Driver"],
        "subnet": address_pool.get("Subnet", ""),
        "dynamic_range": address_pool.get("IPRange", ""),
        "internal": inspected["Internal"],
        "encrypted": "encrypted" in (inspected["Options"] or {}),
    }


def plan_networks(desired: Sequence[Network], observed: Mapping[str, Mapping[str, Any]]) -> Plan:
    """``observed`` maps the names of networks that exist to :func:`observed_network`."""
    plan = Plan()
    for network in desired:
        current = observed.get(network.name)
        differences = compare(
            {f"network {network.name} {key}": value for key, value in network.properties().items()},
            {f"network {network.name} {key}": value for key, value in (current or {}).items()},
        )
        plan.differences.extend(differences)
        if current is None:
            plan.add("create_network", network.name, f"network {network.name} is created")
        elif differences:
            what = ", ".join(difference.name.rsplit(" ", 1)[-1] for difference in differences)
            plan.add("recreate_network", network.name, f"network {network.name} is made anew: its {what} changed")
    return plan
