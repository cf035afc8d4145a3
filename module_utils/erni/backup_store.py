"""The folder with an environment's backup sets: what is there, what is being made, and what a killed run left.

<folder>/<set>/                the files of a set, its manifest among them: there is no half of it
<folder>/.partial/<set>/       a set that is being made: its lease, its parts, and the set as it will be
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from .backup_set import MANIFEST, Manifest, is_set_id
from .errors import PlatformError
from .files import File, ensure_folder, sync_folder, write_atomically
from .pipeline import measure

PARTIAL, LEASE, DRILLED = ".partial", "lease.json", "drilled.json"
LEASE_SECONDS = 3600.0  # of another control node's run, since it last did something


@dataclass(frozen=True)
class Lease:
    """Whose the set is that is being made: a run of ``operator`` on the control node ``node``."""

    node: str
    operator: str
    began: float


@dataclass(frozen=True)
class Store:
    """An environment's sets on this host."""

    folder: str

    def path(self, identifier: str) -> str:
        return os.path.join(self.folder, identifier)

    def partial(self, identifier: str) -> str:
        return os.path.join(self.folder, PARTIAL, identifier)

    def part(self, identifier: str, name: str) -> str:
        """Where a part is made before it is taken into the set."""
        return os.path.join(self.partial(identifier), "parts", name)

    def made(self, identifier: str) -> str:
        """The set as it will be."""
        return os.path.join(self.partial(identifier), "set")

    # What is there

    def identifiers(self) -> list[str]:
        """Oldest first."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        return sorted(name for name in names if is_set_id(name))

    def manifest(self, identifier: str) -> Manifest:
        """:raises PlatformError: when there is no such set, or its manifest cannot be read."""
        path = os.path.join(self.path(identifier), MANIFEST)
        try:
            with open(path, encoding="utf-8") as file:
                return Manifest.from_json(file.read(), path)
        except OSError as error:
            raise PlatformError(
                f"There is no set {identifier} in {self.folder}", str(error), "make backups lists those there are."
            ) from error

    def manifests(self) -> tuple[list[Manifest], list[str]]:
        """The sets, oldest first, and sentences about what looks like one and is none."""
        found, troubles = [], []
        for identifier in self.identifiers():
            try:
                found.append(self.manifest(identifier))
            except PlatformError as error:
                troubles.append(str(error))
        return found, troubles

    def damage(self, manifest: Manifest) -> list[str]:
        """Sentences about files that are not what the manifest says. Reads all of them."""
        told = []
        for file in (file for part in manifest.parts for file in part.files):
            path = os.path.join(self.path(manifest.id), file.name)
            try:
                found = measure(path)
            except OSError as error:
                told.append(f"{file.name} cannot be read ({error.strerror})")
                continue
            if found.size != file.size:
                told.append(f"{file.name} has {found.size} bytes and should have {file.size}")
            elif found.sha256 != file.sha256:
                told.append(f"{file.name} is not what was written: its checksum differs")
        return told

    def drilled(self, identifier: str) -> float:
        """When a restore of the set was last tried with success, in seconds since the epoch; 0 for never."""
        return self.drill(identifier)[0]

    def drill(self, identifier: str) -> tuple[float, float]:
        """That moment, and how many seconds the restore took."""
        try:
            with open(os.path.join(self.path(identifier), DRILLED), encoding="utf-8") as file:
                told = json.load(file)
            return float(told["ended"]), float(told.get("seconds", 0.0))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return 0.0, 0.0

    def note_drill(self, identifier: str, ended: float, seconds: float, phases: Mapping[str, float]) -> None:
        """A restore of the set was tried with success: when, and how long what took, in seconds."""
        told = {"ended": ended, "seconds": seconds, "phases": dict(phases)}
        content = json.dumps(told, indent=2, sort_keys=True) + "\n"
        write_atomically(File(os.path.join(self.path(identifier), DRILLED), content, 0o600))

    # What is being made

    def begin(self, identifier: str, lease: Lease) -> None:
        """Take the set's name, after whatever killed runs left is gone; the second time only say that the run lives.

        :raises PlatformError: when somebody else is making one.
        """
        if os.path.exists(os.path.join(self.partial(identifier), LEASE)):
            self.touch(identifier)
            return
        ensure_folder(self.folder, 0o700)
        ensure_folder(os.path.join(self.folder, PARTIAL), 0o700)
        self.clear(lease, time.time())
        ensure_folder(self.partial(identifier), 0o711)  # a service's user passes through to its own folder
        content = json.dumps(asdict(lease), sort_keys=True) + "\n"
        write_atomically(File(os.path.join(self.partial(identifier), LEASE), content, 0o600))

    def clear(self, lease: Lease, now: float) -> list[str]:
        """Remove what was never finished and never will be; their ids. One run at a time on a control node, so that
        whatever the same node left was left by one that was killed."""
        removed = []
        for name in self._unfinished():
            holder, touched = self._lease(name)
            if holder is not None and holder.node != lease.node and now - touched < LEASE_SECONDS:
                since = time.strftime("%H:%M:%SZ", time.gmtime(holder.began))
                raise PlatformError(
                    f"Another backup is being made in {self.folder}",
                    f"{holder.operator} on {holder.node} began {name} at {since}",
                    f"Wait for it to end. If that run was killed, its remains go "
                    f"{LEASE_SECONDS / 60:.0f} minutes after it last did something.",
                )
            shutil.rmtree(self.partial(name))
            removed.append(name)
        return removed

    def touch(self, identifier: str) -> None:
        """Say that the run still lives.

        :raises PlatformError: when the set is not being made any more.
        """
        try:
            os.utime(os.path.join(self.partial(identifier), LEASE))
        except FileNotFoundError as error:
            raise PlatformError(
                f"The set {identifier} is not being made in {self.folder}",
                "another run has cleared it away",
                "Run make backup again.",
            ) from error

    @contextmanager
    def part_folder(self, identifier: str, name: str) -> Iterator[str]:
        """An empty folder for a part; it goes again when the part fails."""
        self.touch(identifier)
        folder = self.part(identifier, name)
        shutil.rmtree(folder, ignore_errors=True)  # what a killed run left; there may be none
        ensure_folder(folder, 0o711)
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)  # the error that is on its way says more
            raise
        self.touch(identifier)

    def publish(self, manifest: Manifest) -> None:
        """The manifest, and then all of it by one rename: until then there is no such set."""
        made = self.made(manifest.id)
        write_atomically(File(os.path.join(made, MANIFEST), manifest.as_json(), 0o600))
        sync_folder(made)
        os.rename(made, self.path(manifest.id))
        sync_folder(self.folder)
        shutil.rmtree(self.partial(manifest.id))

    def remove(self, identifier: str) -> None:
        """First out of sight by one rename: a set that is half removed would look damaged."""
        ensure_folder(os.path.join(self.folder, PARTIAL), 0o700)
        gone = self.partial(identifier)
        shutil.rmtree(gone, ignore_errors=True)  # what a killed run left; there may be none
        os.rename(self.path(identifier), gone)
        sync_folder(self.folder)
        shutil.rmtree(gone)

    def _unfinished(self) -> list[str]:
        try:
            return sorted(os.listdir(os.path.join(self.folder, PARTIAL)))
        except FileNotFoundError:
            return []

    def _lease(self, name: str) -> tuple[Lease | None, float]:
        path = os.path.join(self.partial(name), LEASE)
        try:
            with open(path, encoding="utf-8") as file:
                return Lease(**json.load(file)), os.stat(path).st_mtime
        except (OSError, ValueError, TypeError):  # a run that was killed before it had written it, or while removing
            return None, 0.0
