"""Copies of the backup sets at the target: sent, read back and compared, fetched, removed.

A set is at the target once its manifest is, which is sent last and removed first: there is no half of a set there, and
whatever is interrupted is finished by the next run.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

from .backup_figures import write_offsite_figures
from .backup_parts import check_room
from .backup_report import size_of
from .backup_set import MANIFEST, Manifest, StoredFile, newest
from .backup_store import Lease, Store
from .errors import PlatformError
from .files import ensure_folder, sync_folder
from .offsite_memory import Memory, recall, remember
from .offsite_plan import Held, Policy, files_of, plan_prune, plan_push
from .offsite_rclone import Remote
from .offsite_settings import DAY
from .pipeline import Written, measure

TRIES = 2  # of a file that is not at the target what was sent
SPARE = 256 << 20  # bytes that a fetched set leaves free


@dataclass
class Told:
    """What was done, or would be, as sentences."""

    actions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def push(
    store: Store,
    remote: Remote,
    policy: Policy,
    predicting: bool,
    expected: str = "",
    now: Callable[[], float] = time.time,
) -> Told:
    """Every set here that the target should have is there as a whole.

    :param expected: a set that a prediction counts on, though it is still to be made.
    :raises PlatformError: when one is not; the others, newest first, were tried unless the target itself failed.
    """
    there, memory = remote.held(), recall(store.folder, remote.target.where)
    local, said = _own(store, remote.environment)
    believed_since = now() - remote.target.reread_days * DAY
    plan = plan_push(local, there, policy, memory.read, believed_since)
    told = Told(warnings=[*said, *there.troubles, *_broken(there, {one.id for one in plan.send})])
    if predicting:
        made = [one.id for one in local]
        told.actions = [f"set {expected} is copied off-site"] if expected and expected not in made else []
        told.actions += [f"set {one.id} is copied off-site ({size_of(one.size)})" for one in plan.send]
        return told
    damaged = []
    for manifest in (*plan.send, *plan.reread):
        try:
            sent = _complete(store, remote, there, manifest)
        except DamagedHereError as error:
            damaged.append(str(error))
            continue
        if sent:
            told.actions.append(f"Set {manifest.id} is copied off-site, read back and compared ({size_of(sent)} sent).")
        memory = replace(memory, read={**memory.read, manifest.id: now()})
        remember(store.folder, memory)
    _judge(plan.withheld, newest(local), damaged)
    _finish(store, remote, {*there.manifests, *(one.id for one in plan.send)}, memory, now())
    told.warnings += [f"Set {one.id} is not encrypted, and stays here." for one in plan.withheld]
    return told


class DamagedHereError(PlatformError):
    """A file of a set on this host is not what its manifest says."""


def _judge(withheld: Collection[Manifest], latest: Manifest | None, damaged: list[str]) -> None:
    if damaged:
        raise PlatformError("Not all sets could be copied off-site", "; ".join(damaged), "The others are there.")
    if latest in withheld:
        raise PlatformError(
            "The newest set was not copied off-site",
            "it is not encrypted, and in production only encrypted sets leave the platform's hosts",
            "Set backup_recipients, and run make backup again.",
        )


def _finish(store: Store, remote: Remote, sets: Iterable[str], memory: Memory, now: float) -> None:
    """Remember that all is there, and tell Prometheus."""
    there = sorted(sets)
    done = replace(memory, read={one: memory.read[one] for one in there if one in memory.read})
    done = replace(done, complete=now, sets=len(there))
    remember(store.folder, done)
    write_offsite_figures(store, remote.environment, done.complete, done.sets)


def _complete(store: Store, remote: Remote, there: Held, manifest: Manifest) -> int:
    """The set is there as a whole when this returns; the bytes that had to be sent for it."""
    present = there.sizes.get(manifest.id, {})
    sums = remote.sums(manifest.id, "", sum(present.values())) if present else {}
    told = measure(os.path.join(store.path(manifest.id), MANIFEST))
    lacking = [file for file in files_of(manifest) if sums.get(file.name) != file.sha256]
    if not lacking and sums.get(MANIFEST) == told.sha256:
        return 0
    for file in lacking:
        _undamaged(store, manifest, file)
    if MANIFEST in present:
        remote.remove_manifest(manifest.id)
    for file in lacking:
        _send(store, remote, manifest, file.name, Written(file.size, file.sha256))
    _send(store, remote, manifest, MANIFEST, told)
    return sum(file.size for file in lacking) + told.size


def _undamaged(store: Store, manifest: Manifest, file: StoredFile) -> None:
    if _measured(os.path.join(store.path(manifest.id), file.name)) != Written(file.size, file.sha256):
        raise DamagedHereError(
            f"{file.name} of set {manifest.id} is damaged on this host", "", "See to the disk; it was not sent."
        )


def _send(store: Store, remote: Remote, manifest: Manifest, name: str, wanted: Written) -> None:
    """:raises PlatformError: when it cannot be sent, or what is read back differs."""
    try:
        for _ in range(TRIES):
            remote.send(os.path.join(store.path(manifest.id), name), manifest.id, name)
            if remote.sums(manifest.id, name, wanted.size).get(name) == wanted.sha256:
                return
        raise PlatformError(f"{name} is not what was sent when it is read back", "its checksum differs")
    except PlatformError as error:
        raise PlatformError(
            f"Set {manifest.id} could not be copied off-site",
            str(error),
            f"It is whole in {store.folder}. Run make backup again, which sends what is missing.",
        ) from error


def prune(store: Store, remote: Remote, policy: Policy, predicting: bool, now: float) -> Told:
    """What no rule keeps is gone from the target."""
    there = remote.held()
    plan = plan_prune(store.identifiers(), there, policy, now)
    if not predicting:
        for identifier in plan.sets:
            remote.remove_manifest(identifier)
            remote.remove_files(identifier)
        for identifier in plan.remains:
            remote.remove_files(identifier)
        if plan.sets:
            memory = recall(store.folder, remote.target.where)
            _finish(store, remote, set(there.manifests) - set(plan.sets), memory, memory.complete)
    return Told(
        [f"Set {one} is removed off-site: no rule keeps it." for one in plan.sets]
        + [f"What is left of set {one} off-site is removed." for one in plan.remains],
        list(there.troubles),
    )


def needed_from_there(store: Store, wanted: str) -> bool:
    """Whether a set has to be fetched: the one that is wanted, or any where none is named."""
    sets, _ = store.manifests()
    return wanted not in [one.id for one in sets] if wanted else newest(sets) is None


def chosen(there: Held, wanted: str, where: str) -> Manifest:
    """The set that is wanted, or the newest.

    :raises PlatformError: when it is not there.
    """
    whole = [one for one in there.manifests.values() if one.id not in there.broken]
    found = there.manifests.get(wanted) if wanted else newest(whole)
    if found is None:
        what = f"There is no set {wanted} off-site" if wanted else "There is no set off-site"
        why = "; ".join([f"looked into {where}", *troubles(there)])
        raise PlatformError(what, why, "make backups lists the sets here and there.")
    return found


def fetch(store: Store, remote: Remote, manifest: Manifest, lease: Lease) -> None:
    """The set is here, published by one rename after each of its files was compared.

    :raises PlatformError: when it is damaged there or cannot be had; nothing of it stays here.
    """
    if os.path.lexists(store.path(manifest.id)):
        raise PlatformError(
            f"Set {manifest.id} cannot be fetched",
            f"{store.path(manifest.id)} is there, and is no set that can be read",
            "Move it away, and run this again.",
        )
    store.begin(manifest.id, lease)
    try:
        check_room(store.folder, manifest.size + SPARE)
        made = store.made(manifest.id)
        ensure_folder(made, 0o700)
        for file in files_of(manifest):
            store.touch(manifest.id)
            _take(remote, manifest, file, os.path.join(made, file.name))
        sync_folder(made)
        store.publish(manifest)
    except BaseException:
        shutil.rmtree(store.partial(manifest.id), ignore_errors=True)  # the error that is on its way says more
        raise


def _take(remote: Remote, manifest: Manifest, file: StoredFile, path: str) -> None:
    remote.fetch(manifest.id, file.name, path, file.size)
    if _measured(path) != Written(file.size, file.sha256):
        raise PlatformError(
            f"Set {manifest.id} is damaged off-site",
            f"{file.name} is not what was written, or not there any more",
            "Nothing of it was kept here. Take another one with SET=; make backups lists them.",
        )
    os.chmod(path, 0o600)
    with open(path, "rb") as written:
        os.fsync(written.fileno())


def _broken(there: Held, mended: Collection[str] = ()) -> list[str]:
    return [f"Set {name} off-site lacks some of its files." for name in there.broken if name not in mended]


def troubles(there: Held) -> list[str]:
    """What is wrong with the sets at the target, as far as their listing tells."""
    return [*there.troubles, *_broken(there)]


def _measured(path: str) -> Written | None:
    """None for a file that is not there: rclone ends well where a bucket does not have what it was to fetch."""
    try:
        return measure(path)
    except OSError:
        return None


def _own(store: Store, environment: str) -> tuple[list[Manifest], list[str]]:
    sets, unreadable = store.manifests()
    foreign = [f"Set {s.id} here is of {s.environment}; it stays here." for s in sets if s.environment != environment]
    return [one for one in sets if one.environment == environment], [*unreadable, *foreign]
