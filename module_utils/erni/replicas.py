"""Several containers of one service on a host: how they are called, where they answer, how many there are. Pure.

A replica is a service of its release like any other: ``backend``, ``backend-2``, ``backend-3`` … The first one has the
service's own name and address, so a service with one replica is what it would be if there were none.

In each slot a service has a block of addresses, for all its hosts. Replica k (from 0) on host h of n has the address
number k * n + h, so whatever the number of replicas is, the first ones stay where they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import Any

from .errors import PlatformError
from .service_spec import LABEL_PREFIX

# How many replicas run of each service, on each host of its group in the inventory's order.
Replicas = Mapping[str, Sequence[int]]
ONE_EACH: Replicas = MappingProxyType({})

MOST = 10  # on one host, and addresses in a block
REPLICAS_LABEL = f"{LABEL_PREFIX}replicas"
_REPLICA = re.compile(r"(.+)-\d+")
_GROUP = re.compile(r"([a-z]+)((?:_\d+)+)")


def replica(service: str, number: int) -> str:
    """:param number: from 1."""
    return service if number == 1 else f"{service}-{number}"


def every_replica(service: str) -> list[str]:
    """All that there can be on a host."""
    return [replica(service, number) for number in range(1, MOST + 1)]


def service_of(name: str) -> str:
    """The service that a replica is one of."""
    found = _REPLICA.fullmatch(name)
    return found[1] if found else name


def count(names: Iterable[str]) -> dict[str, int]:
    """How many replicas of each service are among the names; one behind a gap does not count."""
    present = set(names)
    numbers = {}
    for service in sorted({service_of(name) for name in present}):
        missing = [number for number in range(1, MOST + 1) if replica(service, number) not in present]
        numbers[service] = missing[0] - 1 if missing else MOST
    return numbers


def on_one_host(names: Iterable[str]) -> dict[str, list[int]]:
    return {service: [number] for service, number in count(names).items()}


def several(replicas: Replicas) -> dict[str, list[int]]:
    """Those services that do not have one replica on each host."""
    return {service: list(numbers) for service, numbers in replicas.items() if not _one_each(numbers)}


def _one_each(numbers: Sequence[int]) -> bool:
    return max(numbers, default=1) <= 1


def serving_replicas(listed: Iterable[Mapping[str, Any]], platform: str, service: str) -> list[str]:
    """The replicas that serve on a host or should: each tells by its label how many there are.

    :param listed: as ``GET /containers/json`` (Docker Engine API 1.41) does.
    """
    labels = {entry["Names"][0].removeprefix("/"): entry["Labels"] or {} for entry in listed}
    said = [1]
    for number, name in enumerate(every_replica(service), 1):
        if (container := f"{platform}-{name}") in labels:
            said += [number, int(labels[container].get(REPLICAS_LABEL, 1))]
    return [replica(service, number) for number in range(1, max(said) + 1)]


# Addresses. A block is the list of a service's addresses in a slot; ``blocks`` has one for each slot.


def fitting(blocks: Mapping[str, Sequence[str]], hosts: int) -> int:
    """The largest number of replicas on a host of so many."""
    return min(MOST, *(len(block) // max(hosts, 1) for block in blocks.values()))


def host_addresses(blocks: Mapping[str, Sequence[str]], host: int, hosts: int) -> list[dict[str, str]]:
    """For each replica on the host its address in each slot."""
    places = [k * hosts + host for k in range(fitting(blocks, hosts))]
    return [{slot: block[place] for slot, block in blocks.items()} for place in places]


def answering(block: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """Where replicas answer, the first ones first.

    :param numbers: how many run on each host.
    """
    hosts = len(numbers)
    places = [(k, host) for k in range(max(numbers, default=0)) for host in range(hosts) if k < numbers[host]]
    return [block[k * hosts + host] for k, host in places]


def replicated(
    service: Mapping[str, Any], number: int, addresses: Sequence[Mapping[str, str]]
) -> dict[str, dict[str, Any]]:
    """A service mapping for each replica, by name. One alone is the mapping as it was given.

    :param addresses: those of this host, by replica.
    :raises PlatformError: when there are not as many addresses.
    """
    name = str(service["name"])
    if not 1 <= number <= len(addresses):
        raise PlatformError(
            f"{name} cannot have {number} replicas on a host",
            f"there is room for {len(addresses)}",
            f"Set {name}_replicas to a number from 1 to {len(addresses)}.",
        )
    if number == 1:
        return {name: dict(service)}
    labels = {**service.get("labels", {}), REPLICAS_LABEL.removeprefix(LABEL_PREFIX): str(number)}
    first = {**service, "labels": labels}
    further = {replica(name, k + 1): addresses[k] for k in range(1, number)}
    return {name: first, **{own: _further(first, own, there) for own, there in further.items()}}


def _further(first: Mapping[str, Any], name: str, addresses: Mapping[str, str]) -> dict[str, Any]:
    """Its name is among its aliases, too: it is its host name, which the engine adds to them by itself."""
    networks = []
    for network in first["networks"]:
        own = {"addresses": dict(addresses)} if network.get("addresses") else {}
        networks.append({**network, **own, "aliases": [*network.get("aliases", []), name]})
    return {**first, "name": name, "networks": networks}


# Groups of servers, of which nginx asks one. It has one for each way in which replicas can be spread over the hosts,
# because what is told it at a switch is only which.


def group_name(service: str, numbers: Sequence[int]) -> str:
    """``backend`` where each host has one, ``backend_3`` where the only host has three, ``backend_2_1`` …"""
    return service if _one_each(numbers) else "_".join([service, *map(str, numbers)])


def read_group(name: str) -> tuple[str, list[int]] | None:
    """Service and numbers of a group's name; None for anything else, and where each host has one."""
    found = _GROUP.fullmatch(name)
    return (found[1], [int(number) for number in found[2][1:].split("_")]) if found else None


def server_groups(blocks: Mapping[str, Sequence[str]], service: str, hosts: int) -> list[dict[str, Any]]:
    """``name`` of each group that there can be, and its ``servers`` by slot; the one with one replica each is first."""
    ways = product(range(1, max(fitting(blocks, hosts), 1) + 1), repeat=hosts)
    return [
        {
            "name": group_name(service, numbers),
            "servers": {slot: answering(block, numbers) for slot, block in blocks.items()},
        }
        for numbers in ways
    ]
