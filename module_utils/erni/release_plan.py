"""Decide how a release comes to serve: not at all, in place, by a switch back, or beside what serves now. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .planning import Difference, Plan, few
from .release_history import DONE
from .release_record import JournalEntry
from .release_world import World

# What can be done to the containers that serve without taking a request from them: they do not serve at the moment,
# or go on while it is done.
IN_PLACE = frozenset(
    {
        "create_volume",
        "own_volume",
        "make_folder",
        "create",
        "start",
        "unpause",
        "update",
        "disconnect",
        "connect",
        "restart",
    }
)
# What makes a container that waits in the idle slot ready to serve again.
RETURNING = IN_PLACE - {"create", "restart"}

NOTHING, HEAL, FIRST, RETURN, REPLACE = "nothing", "heal", "first", "return", "replace"


@dataclass(frozen=True)
class ReleasePlan:
    """``mode`` tells how; ``slot`` where the release will serve; ``services`` the plan for each of its containers
    there (none for a replacement: its candidates are made from nothing)."""

    mode: str
    slot: str
    plan: Plan
    services: dict[str, Plan] = field(default_factory=dict)

    @property
    def switches(self) -> bool:
        return self.mode in (RETURN, REPLACE)


def plan_release(
    release: str,
    world: World,
    live_plans: Mapping[str, Plan],
    idle_plans: Mapping[str, Plan],
    differences: list[Difference],
    *,
    switching: bool = False,
) -> ReleasePlan:
    """The way from ``world`` to the release serving.

    :param live_plans: per service, what would make its container in the live slot one of the release.
    :param idle_plans: likewise for the slot that does not serve.
    :param differences: what the release changes against the one that serves, by name.
    :param switching: another host needs the other slot, so this one follows whether it has to or not.
    """
    plan = _way(release, world, live_plans, idle_plans, differences, switching=switching)
    removals = Plan()
    for stranger in world.strangers():
        removals.add("remove", stranger.name, f"{stranger.name}, which was made by hand, is removed")
    plan.plan.actions[:0] = removals.actions
    return replace(plan, mode=HEAL) if removals.changed and plan.mode == NOTHING else plan


def _way(
    release: str,
    world: World,
    live_plans: Mapping[str, Plan],
    idle_plans: Mapping[str, Plan],
    differences: list[Difference],
    *,
    switching: bool,
) -> ReleasePlan:
    serving = world.releases_in(world.live)
    if not serving:
        return _in_place(FIRST, release, world, live_plans)
    if serving == {release} and _kinds(live_plans) <= IN_PLACE and not switching:
        return _in_place(HEAL if _kinds(live_plans) else NOTHING, release, world, live_plans)
    waiting = world.releases_in(world.idle) == {release}
    if waiting and (switching or serving != {release}) and _kinds(idle_plans) <= RETURNING:
        return _return(release, world, idle_plans, differences)
    return _replace(release, world, live_plans, differences)


def waits_too_long(world: World, entries: Sequence[JournalEntry], warm_seconds: float, now: float) -> bool:
    """Whether something runs in the slot that does not serve although its time is over.

    :param now: seconds since the epoch.
    """
    if not any(instance.running for instance in world.occupants(world.idle)):
        return False
    switches = [entry for entry in entries if entry.phase == DONE and entry.slot != entry.from_slot]
    since = dt.datetime.fromisoformat(switches[-1].time).timestamp() if switches else 0.0
    return now - since > warm_seconds


def _in_place(mode: str, release: str, world: World, plans: Mapping[str, Plan]) -> ReleasePlan:
    merged = _merged(plans)
    if mode == FIRST:
        merged.add("serve", release, f"release {release} serves from slot {world.live}: nothing served before")
    return ReleasePlan(mode, world.live, merged, dict(plans))


def _return(release: str, world: World, plans: Mapping[str, Plan], differences: list[Difference]) -> ReleasePlan:
    merged = Plan(differences=list(differences))
    merged.actions.extend(_merged(plans).actions)
    merged.add("switch", release, f"requests go to release {release}, which waits in slot {world.idle}")
    return ReleasePlan(RETURN, world.idle, merged, dict(plans))


def _replace(release: str, world: World, plans: Mapping[str, Plan], differences: list[Difference]) -> ReleasePlan:
    merged = Plan(differences=list(differences))
    if world.releases_in(world.live) == {release}:  # the same release, but its containers are not as it says
        merged.differences = _merged(plans).differences
        different = few([difference.name for difference in merged.differences])
        merged.add("note", release, f"the containers of release {release} differ from it: {different}")
    occupants, serving = (" and ".join(sorted(world.releases_in(slot))) for slot in (world.idle, world.live))
    if occupants:
        merged.add("displace", world.idle, f"slot {world.idle} is cleared of release {occupants}")
    merged.add("candidate", release, f"release {release} starts in slot {world.idle}, beside {serving}, which serves")
    merged.add("switch", release, f"requests go to slot {world.idle} once it has passed its gate; {world.live} waits")
    return ReleasePlan(REPLACE, world.idle, merged)


def _merged(plans: Mapping[str, Plan]) -> Plan:
    merged = Plan()
    for plan in plans.values():
        merged.extend(plan)
    merged.actions = list(dict.fromkeys(merged.actions))  # replicas share volumes
    return merged


def _kinds(plans: Mapping[str, Plan]) -> set[str]:
    return set(_merged(plans).kinds)
