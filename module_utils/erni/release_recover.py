"""Finish or undo what an interrupted transition has left, before anything else is planned.

The proxy's live slot decides: where it asks the new release, the transition is finished, or taken back if that does
not answer; where it still asks the former one, the candidate goes.
"""

from __future__ import annotations

from collections.abc import Mapping

from .engine import SCRATCH_SUFFIX, EngineAwayError, remove_if_present
from .errors import PlatformError
from .release_apply import FAILURES, Site, give_names, restore_displaced
from .release_candidates import give_weight, remove
from .release_diary import Diary
from .release_plan import FIRST, REPLACE
from .release_record import JournalEntry
from .release_world import World, observe_world
from .slots import names_beside


def recover(site: Site, canonical: Mapping[str, str], interrupted: list[JournalEntry]) -> list[str]:
    """:param interrupted: the journal's entries of a last transition that has no end; empty when it has one.
    :returns: sentences of what was done."""
    said = [f"{r.current} is named {r.wanted}: its slot decides" for r in give_names(site, canonical)]
    world = observe_world(site.client, site.platform, canonical, site.live.slot())
    if not interrupted:
        leftovers = world.displaced()
        remove(site.client, leftovers)
        return said + [f"{leftover.name}, left by an interrupted run, is removed" for leftover in leftovers]
    _remove_scratch(site, canonical)
    give_weight(site.client, [i.name for i in world.occupants(world.live)])
    last = interrupted[-1]
    diary = Diary(site.root, last)
    if interrupted[0].detail == FIRST:  # there was no switch to be made; what is missing is planned anew
        diary.note("failed", f"interrupted after {last.phase}")
        return [*said, f"an interrupted start of release {last.release} is taken up again"]
    if world.live == last.slot:
        return said + _finish(site, canonical, world, last, diary)
    return said + _undo(site, world, interrupted, diary)


def _remove_scratch(site: Site, canonical: Mapping[str, str]) -> None:
    """What is made only to be read from, before a candidate is made; no transition looks for it again."""
    for name in canonical.values():
        for each in (name, *names_beside(name)):
            remove_if_present(site.client, f"{each}{SCRATCH_SUFFIX}")


def _finish(site: Site, canonical: Mapping[str, str], world: World, last: JournalEntry, diary: Diary) -> list[str]:
    try:
        _start_all(site, world, last.slot)
        site.prove(last.slot, last.release, canonical)
    except EngineAwayError:
        raise  # that says nothing of the release
    except FAILURES as error:
        return _take_back(site, canonical, last, diary, error)
    remove(site.client, world.displaced())
    diary.note("done", f"finished after an interruption ({last.phase})")
    return [f"the interrupted switch to release {last.release} is finished: it serves"]


def _take_back(
    site: Site, canonical: Mapping[str, str], last: JournalEntry, diary: Diary, error: Exception
) -> list[str]:
    try:
        _start_all(site, observe_world(site.client, site.platform, canonical, last.slot), last.from_slot)
        site.live.switch(last.from_slot)
        give_names(site, canonical)
        site.prove(last.from_slot, last.from_release, canonical)
    except EngineAwayError:
        raise
    except FAILURES as second:
        diary.note("stuck", str(second))
        raise PlatformError(
            f"Neither release {last.release} nor {last.from_release} answers after an interrupted switch",
            f"{error}; {second}",
            "Both are left as they are: `make status` and `make logs` tell more. Mend the cause, then run make up.",
        ) from second
    world = observe_world(site.client, site.platform, canonical, last.from_slot)
    remove(site.client, world.occupants(last.slot))
    restore_displaced(site, world, set())
    diary.note("reverted", f"interrupted after {last.phase}; then: {error}")
    return [f"the interrupted switch to release {last.release} is taken back: {last.from_release} serves"]


def _undo(site: Site, world: World, interrupted: list[JournalEntry], diary: Diary) -> list[str]:
    last, phases = interrupted[-1], {entry.phase for entry in interrupted}
    if interrupted[0].detail == REPLACE:  # else nobody had to make room
        if "candidate" in phases:
            remove(site.client, [i for i in world.occupants(last.slot) if i.release == last.release])
        ran = next((entry.detail for entry in interrupted if entry.phase == "prepared"), "")
        restore_displaced(site, world, set(filter(None, ran.split(","))))
    if "switched" in phases:  # it has served, and did not prove itself: it was killed on the way back
        diary.note("reverted", f"interrupted after {last.phase}, while it was taken back")
        return [f"the interrupted switch to release {last.release} is taken back: {last.from_release} serves"]
    diary.note("failed", f"interrupted after {last.phase}")
    return [f"the interrupted start of release {last.release} is undone: {last.from_release} serves as before"]


def _start_all(site: Site, world: World, slot: str) -> None:
    for instance in world.occupants(slot):
        if not instance.running:
            site.client.start(instance.name)
