"""Which release a run is to bring: the one asked for, or the one that serves with today's settings. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import PlatformError
from .release_content import ReleaseContent, content_of, secrets_as_they_were
from .release_history import DONE, REVERTED, ROLLBACK, endings, quarantined, stack
from .release_record import JournalEntry, Manifest

INVENTORY = "inventory"


@dataclass(frozen=True)
class Wish:
    """What a run was given. ``services`` are the roles' mappings with pinned images, ``secrets`` their secret values
    by service and name, ``accepted`` former values that still hold, ``source`` where the images come from."""

    services: Mapping[str, Mapping[str, Any]]
    secrets: Mapping[str, Mapping[str, str]]
    accepted: Mapping[str, Mapping[str, list[str]]]
    source: str = INVENTORY
    reason: str = ""


@dataclass(frozen=True)
class Choice:
    """``id`` is the release's; it may be a recorded one with successors of some of its secrets. ``notes`` are
    sentences that an operator should read, ``schema`` is the version that a recorded release was made for."""

    id: str
    content: ReleaseContent
    source: str
    notes: tuple[str, ...] = ()
    schema: str = ""


def for_deploy(wish: Wish, entries: Sequence[JournalEntry]) -> Choice:
    """:raises PlatformError: for a release that is quarantined, unless a reason is given."""
    content = content_of(wish.services, wish.secrets, {})
    if content.id in quarantined(entries) and not wish.reason:
        raise PlatformError(
            f"Release {content.id} is quarantined",
            f"it was taken back once: {_last_detail(entries, content.id)}",
            "Deploy another, or say why this one is to be tried again: REASON='…'.",
        )
    return Choice(content.id, content, wish.source)


def for_up(wish: Wish, entries: Sequence[JournalEntry], active: Manifest | None) -> Choice:
    """The release that serves goes on, with the settings and secrets of today.

    Images follow the inventory where those that serve came from it. What was rolled back from is not brought back by
    the way: then the release that serves stays as it is, until one is deployed.
    """
    if active is None:
        return for_deploy(wish, entries)
    images = {} if active.source == INVENTORY else active.images
    content = content_of(wish.services, wish.secrets, images)
    if content.id != active.id and is_gone_back_from(content.id, entries):
        kept = as_recorded(active, wish)
        note = (
            f"What the inventory says is release {content.id}, which was gone back from: make deploy brings it again."
        )
        return Choice(kept.id, kept.content, kept.source, (*kept.notes, note))
    return Choice(content.id, content, active.source)


def as_recorded(manifest: Manifest, wish: Wish) -> Choice:
    """A recorded release: its images, its settings, and its secrets as far as they still hold.

    :raises PlatformError: when a secret of it is no longer given.
    """
    values, replaced = secrets_as_they_were(manifest.secrets, wish.secrets, wish.accepted)
    notes = [f"{name} has been replaced since release {manifest.id}: its successor is used" for name in replaced]
    content = ReleaseContent(manifest.services, values)
    return Choice(manifest.id, content, manifest.source, tuple(notes), manifest.schema.get("after", ""))


def is_gone_back_from(release: str, entries: Sequence[JournalEntry]) -> bool:
    """Whether the release has served and somebody, or a failed bake, has chosen another in its place since.

    After a rollback that is every release that is known: only what is new to this host says that somebody went on.
    """
    ended = [ending for ending in endings(entries) if ending.entry.phase in (DONE, REVERTED)]
    served = {ending.entry.release for ending in ended}
    return release in served and (ended[-1].verb == ROLLBACK or release not in stack(entries))


def _last_detail(entries: Sequence[JournalEntry], release: str) -> str:
    reverts = [entry.detail for entry in entries if entry.release == release and entry.phase in ("reverted", "stuck")]
    return reverts[-1] if reverts else "the journal does not say why"
