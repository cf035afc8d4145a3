"""Which containers of a platform's releases exist, in which slot, and which slot serves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .replicas import every_replica, service_of
from .slots import DISPLACED_SUFFIX, RELEASE_LABEL, SLOT_LABEL, SLOTS, displaced_name, idle_name, names_beside, other


@dataclass(frozen=True)
class Instance:
    """A container of a release. ``service`` is the replica's name; ``displaced`` has made room for a candidate and
    waits for how that ends."""

    name: str
    service: str
    slot: str
    release: str
    running: bool
    displaced: bool = False


@dataclass(frozen=True)
class World:
    """``live`` is the slot that the proxy asks, which is the first truth; the labels of the containers are the next."""

    live: str
    instances: tuple[Instance, ...] = ()

    @property
    def idle(self) -> str:
        return other(self.live)

    def at(self, service: str, slot: str) -> Instance | None:
        return next((i for i in self.occupants(slot) if i.service == service), None)

    def strangers(self) -> list[Instance]:
        """Containers that were made by hand under a name of ours."""
        return [instance for instance in self.instances if not instance.slot]

    def displaced(self) -> list[Instance]:
        return [instance for instance in self.instances if instance.displaced]

    def occupants(self, slot: str) -> list[Instance]:
        """What is in the slot's place; what was set aside for a candidate is not."""
        return [i for i in self.instances if i.slot == slot and not i.displaced]

    def releases_in(self, slot: str) -> set[str]:
        return {instance.release for instance in self.occupants(slot)}


@dataclass(frozen=True)
class Renaming:
    current: str
    wanted: str


def canonical_names(platform: str, services: Iterable[str]) -> dict[str, str]:
    """The canonical container name of every replica that there can be: a slot may hold more of them than the other."""
    replicas = [name for service in dict.fromkeys(map(service_of, services)) for name in every_replica(service)]
    return {name: f"{platform}-{name}" for name in replicas}


def observe_world(client: Any, platform: str, services: Iterable[str], live: str) -> World:
    """From ``GET /containers/json`` (Docker Engine API 1.41), stopped ones included."""
    return World(live, instances(client.containers(all=True), canonical_names(platform, services)))


def instances(listed: Iterable[Mapping[str, Any]], canonical: Mapping[str, str]) -> tuple[Instance, ...]:
    """Containers whose names are those of releases. Their labels tell slot and release.

    One that was made before there were slots has the first one's address; one that was made by hand is in none: the
    proxy does not ask it, whatever it is called.
    """
    found = []
    for entry in listed:
        labels, name = entry["Labels"] or {}, entry["Names"][0].removeprefix("/")
        displaced = name.endswith(DISPLACED_SUFFIX)
        service = _service_of(name.removesuffix(DISPLACED_SUFFIX), canonical)
        if service:
            release, running = labels.get(RELEASE_LABEL, ""), entry["State"] == "running"
            slot = labels.get(SLOT_LABEL, SLOTS[0] if release else "")
            found.append(Instance(name, service, slot, release, running, displaced))
    return tuple(sorted(found, key=lambda instance: instance.name))


def _service_of(name: str, canonical: Mapping[str, str]) -> str:
    """The service that a container of that name belongs to, or ''."""
    names = {each: service for service, proper in canonical.items() for each in (proper, *names_beside(proper))}
    return names.get(name, "")


def renamings(world: World, canonical: Mapping[str, str]) -> list[Renaming]:
    """What gives the canonical names to what serves, in an order in which no name is taken twice.

    :param canonical: the canonical container name of each service.
    """
    wanted = []
    for service, name in canonical.items():
        for slot in (world.idle, world.live):
            instance = world.at(service, slot)
            proper = name if slot == world.live else idle_name(name, slot)
            if instance is not None and instance.name != proper:
                wanted.append(Renaming(instance.name, proper))
    return wanted


def displacements(world: World, canonical: Mapping[str, str], slot: str) -> list[Renaming]:
    """What sets aside those that are in the slot's place."""
    occupants = ((name, world.at(service, slot)) for service, name in canonical.items())
    return [Renaming(i.name, displaced_name(name, slot)) for name, i in occupants if i is not None]
