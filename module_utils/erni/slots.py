"""Two slots, blue and green: where a release runs beside the one that serves.

Each service has a fixed address per slot, so that the proxy needs no reload to switch and no stopped container's
address is ever taken over. The container that serves has the service's canonical name, whatever its slot; the one
in the other slot has the slot behind its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from .service_spec import LABEL_PREFIX, ServiceSpec

SLOTS = ("blue", "green")
# A candidate that boots must not slow down the release that serves: until it serves, it has a sixteenth of the weight.
CANDIDATE_SHARES, SERVING_SHARES = 64, 1024
SLOT_LABEL, RELEASE_LABEL = f"{LABEL_PREFIX}slot", f"{LABEL_PREFIX}release"
# The former occupant of a slot, stopped and set aside while a candidate takes its place.
DISPLACED_SUFFIX = "-displaced"


def other(slot: str) -> str:
    return SLOTS[1 - SLOTS.index(slot)]


def idle_name(canonical: str, slot: str) -> str:
    return f"{canonical}-{slot}"


def displaced_name(canonical: str, slot: str) -> str:
    return f"{canonical}-{slot}{DISPLACED_SUFFIX}"


def names_beside(canonical: str) -> list[str]:
    """Every further name that a container of a service with slots can have."""
    return [named(canonical, slot) for named in (idle_name, displaced_name) for slot in SLOTS]


def in_slot(spec: ServiceSpec, slot: str, release: str, *, serving: bool) -> ServiceSpec:
    """The service as it is in a slot: its address there, ``{slot}`` and ``{release}`` filled in, name and labels."""

    def filled(text: str) -> str:
        return text.replace("{slot}", slot).replace("{release}", release)

    return replace(
        spec,
        container=spec.container if serving else idle_name(spec.container, slot),
        environment={name: filled(value) for name, value in spec.environment.items()},
        networks=tuple(
            replace(n, address=n.addresses.get(slot, n.address), aliases=tuple(filled(alias) for alias in n.aliases))
            for n in spec.networks
        ),
        labels=spec.labels | {SLOT_LABEL: slot, RELEASE_LABEL: release},
    )


def slots_by_address(addresses: Mapping[str, Mapping[str, Iterable[str]]]) -> dict[str, str]:
    """:param addresses: by service and slot."""
    return {a: slot for by_slot in addresses.values() for slot, each in by_slot.items() for a in each}


def address_in(spec: ServiceSpec, slot: str) -> str:
    """The fixed address that the proxy reaches the service at in a slot."""
    return next(network.addresses[slot] for network in spec.networks if slot in network.addresses)
