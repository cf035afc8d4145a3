"""What has to be done so that the target holds the sets that it should: what is sent, read again, removed. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from .backup_retention import DAY, Kept, RetentionRules, kept, to_remove
from .backup_set import MANIFEST, Manifest, StoredFile, is_set_id, time_of
from .errors import PlatformError

_NAME = re.compile(r"[A-Za-z0-9][\w.@+:-]*")


@dataclass(frozen=True)
class Held:
    """What the target holds of this environment.

    ``sizes``: bytes of each file, by set and name, of whatever is named as a set. ``manifests``: of the sets that are
    this environment's. ``foreign``: ids of those that are not, which nobody here touches. ``troubles``: sentences
    about them, and about manifests that cannot be read.
    """

    sizes: Mapping[str, Mapping[str, int]]
    manifests: Mapping[str, Manifest]
    foreign: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()

    @property
    def broken(self) -> list[str]:
        """Ids of sets that lack files that their manifests name."""
        return [name for name, manifest in self.manifests.items() if not self.looks_whole(manifest)]

    def looks_whole(self, manifest: Manifest) -> bool:
        """By its manifest and the names and sizes of its files; their content is known only by reading it."""
        sizes = self.sizes.get(manifest.id, {})
        return self.manifests.get(manifest.id) == manifest and all(
            sizes.get(file.name) == file.size for file in files_of(manifest)
        )


@dataclass(frozen=True)
class Push:
    """Sets to send, sets to read again, newest first; and sets that may not leave because anybody could read them."""

    send: tuple[Manifest, ...]
    reread: tuple[Manifest, ...]
    withheld: tuple[Manifest, ...]


@dataclass(frozen=True)
class Policy:
    """``rules`` of what stays at the target, ``drilled`` sets, and whether only encrypted sets may leave."""

    rules: RetentionRules
    drilled: Collection[str] = ()
    encrypted_only: bool = False


def held(sizes: Mapping[str, Mapping[str, int]], texts: Mapping[str, str], environment: str) -> Held:
    """From the target's listing and the text of each manifest, by the set's id."""
    manifests: dict[str, Manifest] = {}
    foreign, troubles = [], []
    for identifier, text in sorted(texts.items()):
        try:
            manifest = checked(Manifest.from_json(text, f"{identifier}/{MANIFEST} off-site"))
        except PlatformError as error:
            troubles.append(str(error))
            continue
        if (manifest.id, manifest.environment) == (identifier, environment):
            manifests[identifier] = manifest
        else:
            foreign.append(identifier)
            troubles.append(f"{identifier} off-site is set {manifest.id} of {manifest.environment}; it is left alone.")
    known = {name: files for name, files in sizes.items() if is_set_id(name)}
    return Held(known, manifests, tuple(foreign), tuple(troubles))


def checked(manifest: Manifest) -> Manifest:
    """:raises PlatformError: when its files would not lie in the set's own folder."""
    names = [file.name for file in files_of(manifest)]
    if bad := [name for name in names if not _NAME.fullmatch(name) or name == MANIFEST]:
        raise PlatformError(f"The manifest of set {manifest.id} cannot be used", f"it names the file '{bad[0]}'")
    return manifest


def files_of(manifest: Manifest) -> list[StoredFile]:
    return [file for part in manifest.parts for file in part.files]


def plan_push(
    local: Iterable[Manifest], there: Held, policy: Policy, read: Mapping[str, float], believed_since: float
) -> Push:
    """Send what the target should have and has not, or not as a whole.

    What its own retention would remove at once is not sent: or each run would send it again.

    :param read: when each set was last read back and found whole (seconds since the epoch).
    :param believed_since: what was read before that is read again.
    """
    here = sorted(local, key=lambda one: one.began, reverse=True)
    withheld = tuple(one for one in here if policy.encrypted_only and not one.recipients)
    may = [one for one in here if one not in withheld]
    leaving = {one.id for one in to_remove(_kept({**there.manifests, **{m.id: m for m in may}}, policy), policy.rules)}
    wanted = [one for one in may if one.id not in leaving and one.id not in there.foreign]
    send = tuple(one for one in wanted if not there.looks_whole(one))
    reread = tuple(one for one in wanted if one not in send and read.get(one.id, 0.0) <= believed_since)
    return Push(send, reread, withheld)


@dataclass(frozen=True)
class Prune:
    """Ids of sets that no rule keeps, and of what is left of sets that were removed or sent by half, oldest first."""

    sets: tuple[str, ...]
    remains: tuple[str, ...]


def plan_prune(local: Collection[str], there: Held, policy: Policy, now: float) -> Prune:
    """Remains are those that no set here can complete; a day old, so that nobody is sending them."""
    leaving = tuple(one.id for one in to_remove(_kept(there.manifests, policy), policy.rules))
    remains = (
        name
        for name, files in sorted(there.sizes.items())
        if MANIFEST not in files and name not in local and now - time_of(name) > DAY
    )
    return Prune(leaving, tuple(remains))


def _kept(manifests: Mapping[str, Manifest], policy: Policy) -> list[Kept]:
    return [kept(one, drilled=one.id in policy.drilled) for one in manifests.values()]
