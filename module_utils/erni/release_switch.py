"""The proxy's part in a release that spreads over several hosts: reach its candidates, switch to them, prove, watch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import PlatformError
from .live_folder import LiveFolder
from .planning import Difference, Plan
from .release_apply import FAILURES
from .release_proxy import Proxy, Upstream, prove, reachable, shown
from .replicas import Replicas, several


@dataclass(frozen=True)
class Switch:
    """``addresses`` are those of every replica in ``slot``, by service; ``upstreams`` where they answer there."""

    client: Any
    live: LiveFolder
    proxy: Proxy
    upstreams: Mapping[str, Upstream]
    addresses: Mapping[str, list[str]]
    slot: str
    release: str
    replicas: Replicas


def plan_switch(slot: str, release: str, replicas: Replicas, live: str, named: str, told: Replicas) -> Plan:
    """:param live: the slot that serves.
    :param named: the release that nginx names in ``slot``.
    :param told: the replicas that it asks there, of services that have more than one on a host."""
    plan = Plan()
    if release and named != release:
        plan.differences.append(Difference(f"release in slot {slot}", named or None, release))
        plan.add("name", slot, f"nginx is told that slot {slot} is release {release}")
    elif told != several(replicas):
        plan.differences.append(Difference(f"replicas that nginx asks in slot {slot}", told, several(replicas)))
        plan.add("name", slot, f"nginx is told how many replicas release {release} has")
    if live != slot:
        plan.differences.append(Difference("slot that serves", live, slot))
        plan.add("switch", slot, f"requests go to release {release or named} in slot {slot}")
    return plan


def carry_out(switch: Switch, plan: Plan, bake: Callable[[], list[str]]) -> list[str]:
    """:param bake: watches the release after the switch and raises when it is not to stay; gives sentences about it.
    :raises PlatformError: after switching back, where it had been switched."""
    if not plan.changed:
        return []
    before = switch.live.slot()
    former = switch.live.release(before)
    _reach_all(switch)
    try:
        switch.live.name_release(switch.slot, switch.release, switch.replicas)
        switch.live.switch(switch.slot)
        _prove(switch, switch.slot, switch.release)
        return bake() if before != switch.slot else []
    except FAILURES as error:
        raise _switched_back(switch, before, former, error) from error


def _reach_all(switch: Switch) -> None:
    for service, addresses in switch.addresses.items():
        for address in addresses:
            reached, why = reachable(switch.client, switch.proxy, address, switch.upstreams[service])
            if not reached:
                raise PlatformError(
                    f"{service} in slot {switch.slot} at {address} cannot be reached from {switch.proxy.container}",
                    why,
                    "Nothing was switched. Look at make logs on that host, and at the network between the hosts.",
                )


def _prove(switch: Switch, slot: str, release: str) -> None:
    seen = shown(switch.addresses, maintenance=switch.live.in_maintenance())
    prove(switch.client, switch.proxy, slot, release, seen)


def _switched_back(switch: Switch, before: str, former: str, error: Exception) -> PlatformError:
    what = error if isinstance(error, PlatformError) else PlatformError("The switch failed", str(error))
    if before == switch.slot:  # only a name was to be set right
        return what
    try:
        switch.live.switch(before)
        _prove(switch, before, former)
    except FAILURES as second:
        return PlatformError(
            f"{what.what}, and release {former} does not answer either after going back to it: {second}",
            what.why,
            "Look at make status and make logs; when the cause is mended, run make up.",
        )
    return PlatformError(what.what, what.why, f"Release {former} serves again. {what.remedy}".strip())
