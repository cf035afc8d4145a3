"""What a host knows of a recovery: the note of the one that was begun, its data volumes, and the release in the set."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from .backup_set import RELEASE, Manifest
from .backup_unpack import unpack
from .errors import PlatformError
from .files import File, ensure_folder, write_atomically
from .pipeline import read_through
from .recovery_plan import Recovery
from .release_record import Manifest as ReleaseManifest
from .release_record import manifest_from_json

VOLUMES = "/var/lib/docker/volumes"  # where an engine that does not run just now has them
ASK_SECONDS = 30


@dataclass(frozen=True)
class Note:
    """The file in which a host remembers its recovery."""

    root: str

    @property
    def path(self) -> str:
        return os.path.join(self.root, "recovery.json")

    def read(self) -> Recovery | None:
        """:raises PlatformError: when it is there and cannot be read: what was begun must not be guessed."""
        try:
            with open(self.path, encoding="utf-8") as file:
                return Recovery(**json.load(file))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise PlatformError(
                f"{self.path} cannot be read", str(error), "Remove it if no recovery of this host is under way."
            ) from error

    def write(self, recovery: Recovery) -> None:
        if not os.path.isdir(self.root):
            ensure_folder(self.root, 0o711)
        write_atomically(File(self.path, json.dumps(asdict(recovery), indent=2, sort_keys=True) + "\n", 0o600))


def existing_volumes(names: Sequence[str]) -> list[str]:
    """Those of the names that are volumes on this host, which may have no engine at all."""
    there = _listed()
    if there is None:
        there = {name for name in names if os.path.isdir(os.path.join(VOLUMES, name))}
    return [name for name in names if name in there]


def _listed() -> set[str] | None:
    """By the engine; None where there is none that answers."""
    try:
        asked = subprocess.run(
            ["docker", "volume", "ls", "--quiet"], capture_output=True, text=True, check=False, timeout=ASK_SECONDS
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return set(asked.stdout.split()) if asked.returncode == 0 else None


def recorded_release(manifest: Manifest, folder: str, identity: str) -> ReleaseManifest | None:
    """The record of the release that served when the set was made; None where the set has none."""
    for part in manifest.part(RELEASE):
        for file in part.files:
            text = read_through(os.path.join(folder, file.name), unpack(file.name, identity))
            return manifest_from_json(text.decode())
    return None
