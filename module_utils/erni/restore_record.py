"""What a restore has brought into a service, and how one gets back: a small file per kind on the service's host.

Written before what it tells is done, so that after a kill at any point the next run knows where to look: whether it was
done is asked of the service itself, never of this file.
"""

from __future__ import annotations

import calendar
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .files import File, ensure_folder, write_atomically

STAMP = "%Y%m%d%H%M%S"
BEFORE = "before_"


@dataclass(frozen=True)
class Restored:
    """``source`` is the set's id, or what else was restored from; ``kept`` where that is which served before, '' for
    nowhere. ``state`` is by what the service is known again: as long as it is the same, nobody has written to it.
    ``mark`` tells it from what it replaces, ``facts`` what it has to hold."""

    source: str
    kept: str = ""
    state: str = ""
    mark: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """``prepared`` stands ready beside what serves, or takes its place just now; ``done`` has, and can be undone."""

    prepared: Restored | None = None
    done: Restored | None = None


@dataclass(frozen=True)
class RecordFile:
    """The file of a kind in the platform's folder of restores."""

    folder: str
    kind: str

    @property
    def path(self) -> str:
        return os.path.join(self.folder, f"{self.kind}.json")

    def read(self) -> Record:
        """A file that is missing or damaged says nothing: there is nothing to undo then."""
        try:
            with open(self.path, encoding="utf-8") as file:
                told = json.load(file)
            return Record(_restored(told["prepared"]), _restored(told["done"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Record()

    def write(self, record: Record) -> None:
        ensure_folder(self.folder, 0o700)
        write_atomically(File(self.path, json.dumps(asdict(record), indent=2, sort_keys=True) + "\n", 0o600))


def _restored(told: Any) -> Restored | None:
    return None if told is None else Restored(**told)


def stamp(now: float) -> str:
    """Names what was kept at that moment (seconds since the epoch, UTC)."""
    return time.strftime(STAMP, time.gmtime(now))


def kept_since(name: str) -> float | None:
    """When what has that name was kept, in seconds since the epoch; None for any other name."""
    _, found, told = name.rpartition(BEFORE)
    try:
        return float(calendar.timegm(time.strptime(told[:14], STAMP))) if found else None
    except ValueError:
        return None


def expired(names: Iterable[str], now: float, keep_seconds: float) -> list[str]:
    """Of what was kept, that which has been for long enough."""
    return [name for name in names if (since := kept_since(name)) is not None and now - since >= keep_seconds]
