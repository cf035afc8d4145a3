"""The releases of a host as an operator sees them: what each is, how it fared, how one gets back to it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from .release_history import STUCK, endings, open_transition, quarantined, retained, stack
from .release_record import JournalEntry, Manifest
from .release_world import World, renamings
from .replicas import service_of
from .slots import SLOTS
from .text_table import text_table

SERVES, WARM, STOPPED, IMAGE_ONLY, GONE, QUARANTINED = (
    "serves", "warm", "stopped", "image only", "gone", "quarantined"
)  # fmt: skip
COMMIT_LENGTH = 12

SCHEMA_LENGTH = 12  # of a version that is a digest; enough to tell schemas apart


@dataclass(frozen=True)
class Observed:
    """A host's releases by each source that knows of them, the first truth first.

    ``named`` is what nginx calls the release of a slot, empty where no nginx runs on this host; ``services`` are those
    of a release that belong to this host; ``present`` maps the manifests' image references to ids of images here.
    """

    world: World
    named: dict[str, str]
    services: tuple[str, ...]
    present: dict[str, str]
    manifests: dict[str, Manifest]
    entries: list[JournalEntry]
    damaged: list[str] = field(default_factory=list)

    @property
    def active(self) -> str:
        """The release that serves: that of the containers in the slot that is asked, else what nginx calls it."""
        here = sorted(self.world.releases_in(self.world.live))
        return here[0] if here else self.named.get(self.world.live, "")

    @property
    def warm(self) -> str:
        return next(iter(sorted(self.world.releases_in(self.world.idle))), "")

    def replicas(self, release: str) -> list[str]:
        """The names of all that the release has on this host; without a record, one of each service."""
        recorded = self.manifests[release].services if release in self.manifests else {}
        return [name for name in recorded if service_of(name) in self.services] or list(self.services)


@dataclass(frozen=True)
class ReleaseRow:
    """``when``, ``operator`` and ``outcome`` are those of the last transition to the release."""

    release: str
    when: str
    operator: str
    source: str
    schema: str
    outcome: str
    state: str


def canonically_live(world: World, canonical: Mapping[str, str]) -> World:
    """Where no proxy can be asked, what has the canonical name serves."""
    holders = [i.slot for i in world.instances if canonical.get(i.service) == i.name]
    return replace(world, live=holders[0]) if holders else world


def rows(observed: Observed, keep: int) -> list[ReleaseRow]:
    """Newest first: what is recorded or has a container, and the ``keep`` newest that only the journal remembers."""
    here = set(observed.manifests) | {instance.release for instance in observed.world.instances}
    told = list(dict.fromkeys(entry.release for entry in reversed(observed.entries)))
    remembered = [release for release in told if release not in here][: max(keep, 0)]
    found = [_row(release, observed) for release in sorted(here.union(remembered))]
    return sorted(found, key=lambda row: row.when, reverse=True)


def _row(release: str, observed: Observed) -> ReleaseRow:
    manifest = observed.manifests.get(release)
    last, outcome = _outcome(release, observed.entries)
    return ReleaseRow(
        release=release,
        when=last.time if last else manifest.created if manifest else "",
        operator=last.operator if last else manifest.operator if manifest else "",
        source=manifest.source if manifest else "",
        schema=manifest.schema.get("after", "")[:SCHEMA_LENGTH] if manifest else "",
        outcome=outcome,
        state=_state(release, observed),
    )


def _outcome(release: str, entries: Sequence[JournalEntry]) -> tuple[JournalEntry | None, str]:
    under_way = open_transition(entries)
    if under_way and under_way[-1].release == release:
        return under_way[-1], f"{under_way[0].verb} interrupted"
    ended = [ending for ending in endings(entries) if ending.entry.release == release]
    return (ended[-1].entry, f"{ended[-1].verb} {ended[-1].entry.phase}") if ended else (None, "")


def _state(release: str, observed: Observed) -> str:
    world = observed.world
    if any(i.running for i in world.instances if (i.slot, i.release, i.displaced) == (world.live, release, False)):
        return SERVES
    if release in quarantined(observed.entries):
        return QUARANTINED
    for slot in (world.idle, world.live):
        whole = [world.at(name, slot) for name in observed.replicas(release)]
        if whole and all(instance and instance.release == release for instance in whole):
            return WARM if all(instance and instance.running for instance in whole) else STOPPED
    manifest = observed.manifests.get(release)
    needed = [manifest.images.get(service, "") for service in observed.services] if manifest else [""]
    return IMAGE_ONLY if all(observed.present.get(reference) for reference in needed) else GONE


def fading(observed: Observed, keep: int) -> list[str]:
    """The recorded releases that retention lets go of."""
    staying = retained(observed.entries, keep, observed.active, observed.warm)
    return sorted(set(observed.manifests) - staying)


def disagreements(observed: Observed, canonical: Mapping[str, str]) -> list[str]:
    """Where proxy, containers and journal tell different stories: a sentence each, by the proxy's account."""
    return [
        *_unanswered(observed),
        *_misnamed(observed),
        *_mixed(observed.world),
        *[f"{r.current} should have the name {r.wanted}." for r in renamings(observed.world, canonical)],
        *_otherwise_journalled(observed),
        *_unfinished(observed.entries),
        *_unrecorded(observed),
        *_other_images(observed),
        *observed.damaged,
    ]


def _unanswered(observed: Observed) -> list[str]:
    world = observed.world
    if not world.instances:
        return (
            [f"nginx calls what serves release {observed.active}, which has no container."] if observed.active else []
        )
    instances = {name: world.at(name, world.live) for name in observed.replicas(observed.active)}
    silent = [service for service, instance in instances.items() if instance is None or not instance.running]
    return [f"Slot {world.live} is the one that is asked, and no {service} runs in it." for service in silent]


def _misnamed(observed: Observed) -> list[str]:
    return [
        f"nginx calls slot {slot} release {name}, and its containers are of {', '.join(sorted(there))}."
        for slot, name in sorted(observed.named.items())
        if (there := observed.world.releases_in(slot)) and there != {name}
    ]


def _mixed(world: World) -> list[str]:
    return [
        f"Slot {slot} holds containers of more than one release: {', '.join(sorted(world.releases_in(slot)))}."
        for slot in SLOTS
        if len(world.releases_in(slot)) > 1
    ]


def _otherwise_journalled(observed: Observed) -> list[str]:
    meant = stack(observed.entries)[-1:]
    if open_transition(observed.entries) or not meant or observed.active in ("", meant[0]):
        return []
    return [f"Release {observed.active} serves, and by the journal it should be {meant[0]}."]


def _unfinished(entries: Sequence[JournalEntry]) -> list[str]:
    if under_way := open_transition(entries):
        last = under_way[-1]
        told = f"The {under_way[0].verb} of release {last.release} was interrupted after its phase '{last.phase}'"
        return [f"{told} ({last.time})."]
    ended = endings(entries)
    if ended and ended[-1].entry.phase == STUCK:
        return [f"The last {ended[-1].verb} could not be taken back: {ended[-1].entry.detail or 'it did not say why'}."]
    return []


def _unrecorded(observed: Observed) -> list[str]:
    there = {instance.release for instance in observed.world.instances}
    return [
        f"Release {release} has containers and no record, so nothing leads back to it once they are gone."
        for release in sorted(there - set(observed.manifests))
    ]


def _other_images(observed: Observed) -> list[str]:
    return [
        f"{reference} is another image now than the one that release {manifest.id} was recorded with."
        for manifest in observed.manifests.values()
        for service, reference in sorted(manifest.images.items())
        if (now := observed.present.get(reference)) and now != (manifest.image_ids.get(service) or now)
    ]


def as_json(host: str, listed: list[ReleaseRow], sentences: list[str], leaving: list[str]) -> str:
    report = {"host": host, "releases": [asdict(row) for row in listed], "disagreements": sentences, "fading": leaving}
    return json.dumps(report, indent=2)


def as_text(listed: list[ReleaseRow], sentences: list[str], leaving: list[str]) -> str:
    """The table, and under it what an operator should know."""
    lines = [_table(listed)]
    if leaving:
        lines += ["", f"The next deploy that succeeds lets go of {', '.join(leaving)} (release_keep)."]
    if sentences:
        lines += ["", *sentences, "What serves counts; the next make up, deploy or rollback puts the rest right."]
    return "\n".join(lines)


def _table(listed: list[ReleaseRow]) -> str:
    if not listed:
        return "There is no release on this host yet; make up brings the first."
    return text_table([_cells(row) for row in listed])


def _cells(row: ReleaseRow) -> dict[str, str]:
    kind, colon, commit = row.source.partition(":")
    cells = {
        "release": row.release,
        "state": row.state,
        "when": row.when[:19].replace("T", " "),
        "by": row.operator,
        "source": f"{kind}{colon}{commit[:COMMIT_LENGTH]}",
        "schema": row.schema,
        "outcome": row.outcome,
    }
    return {column: text or "-" for column, text in cells.items()}
