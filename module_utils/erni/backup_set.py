"""What a backup set is: parts of one point in time, and the manifest without which there is no set. Pure."""

from __future__ import annotations

import calendar
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import PlatformError

FORMAT = 1
MANIFEST = "manifest.json"
PARTS = POSTGRES, REDIS, SESSIONS, SECRETS, RELEASE = "postgres", "redis", "sessions", "secrets", "release"
ENCRYPTED_SUFFIX = ".age"

_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class StoredFile:
    """A file of the set: its name in the set's folder, its size in bytes and SHA-256 as it is stored."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Part:
    """What one service gave.

    ``host`` is its name in the inventory, ``taken`` the moment whose state it is (seconds since the epoch),
    ``seconds`` how long that took, ``facts`` what a restore of it is compared with.
    """

    kind: str
    host: str
    taken: float
    seconds: float
    files: tuple[StoredFile, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Manifest:
    """A whole set. ``began`` and ``verified`` are seconds since the epoch, ``recipients`` whom it is encrypted for.

    ``safety``: made of what a restore was about to replace. It is none that one would want back without naming it.
    """

    id: str
    environment: str
    platform: str
    began: float
    seconds: float
    operator: str
    reason: str
    parts: tuple[Part, ...]
    verified: float
    recipients: tuple[str, ...] = ()
    safety: bool = False
    format: int = FORMAT

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(part.size for part in self.parts)

    def part(self, kind: str) -> tuple[Part, ...]:
        """The parts of the kind: of sessions there is one for each host of the backend."""
        return tuple(part for part in self.parts if part.kind == kind)

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> Manifest:
        """:raises PlatformError: naming ``where`` it was read, when it is damaged or of a later version of this."""
        try:
            told = json.loads(text)
            if told["format"] > FORMAT:
                raise PlatformError(
                    f"{where} is of a later version of the platform",
                    f"its format is {told['format']}, and this one knows {FORMAT}",
                    "Use the version that made it.",
                )
            parts = tuple(part_from(part) for part in told.pop("parts"))
            return cls(**{**told, "parts": parts, "recipients": tuple(told["recipients"])})
        except (ValueError, KeyError, TypeError) as error:
            raise PlatformError(
                f"{where} cannot be read as the manifest of a set",
                f"{type(error).__name__}: {error}",
                "The set does not count; make backups lists those that do.",
            ) from error


def part_from(told: Mapping[str, Any]) -> Part:
    """From what ``asdict`` made of it."""
    return Part(**{**told, "files": tuple(StoredFile(**file) for file in told["files"])})


def set_id(now: float, token: str) -> str:
    """Sorts by time; the token (four hexadecimal digits) tells apart what began in the same second."""
    return f"{time.strftime(_TIME, time.gmtime(now))}-{token}"


def is_set_id(name: str) -> bool:
    return _ID.fullmatch(name) is not None


def time_of(identifier: str) -> float:
    """When the set began, in seconds since the epoch."""
    return float(calendar.timegm(time.strptime(identifier.partition("-")[0], _TIME)))


def routine(sets: Iterable[Manifest]) -> list[Manifest]:
    """Those that one would want back without naming them: not what a restore was about to replace."""
    return [one for one in sets if not one.safety]


def newest(sets: Iterable[Manifest]) -> Manifest | None:
    """Of the routine ones."""
    return max(routine(sets), key=lambda one: one.began, default=None)


def fresh_enough(sets: Iterable[Manifest], now: float, max_age: float) -> Manifest | None:
    """The newest set, where it is not older than ``max_age`` seconds; 0 takes none."""
    latest = newest(sets)
    return latest if latest is not None and now - latest.began < max_age else None


@dataclass(frozen=True)
class CollapseRules:
    """How much smaller than the sets before a part may be. ``share`` of their median; below ``rows`` nothing counts."""

    share: float = 0.5
    rows: int = 100
    compared: int = 5


DEFAULT_RULES = CollapseRules()


def collapse(part: Part, before: Iterable[Manifest], rules: CollapseRules = DEFAULT_RULES) -> str:
    """Why the part looks as if its source had lost data since the sets before, or ''.

    By its rows: what is stored may well become smaller, by a better compression say. Redis is a cache that may forget,
    and secrets and releases have no size that means anything.
    """
    if part.kind not in (POSTGRES, SESSIONS):
        return ""
    earlier = sorted(routine(before), key=lambda one: one.began)[-rules.compared :]
    totals = sorted(rows_of(same) for one in earlier for same in one.part(part.kind) if same.host == part.host)
    usual = totals[len(totals) // 2] if totals else 0
    now = rows_of(part)
    if usual < rules.rows or now >= usual * rules.share:
        return ""
    return f"{part.kind} on {part.host} has {now} rows, where the last {len(totals)} sets had about {usual}"


def rows_of(part: Part) -> int:
    return sum(int(rows) for rows in part.facts.get("rows", {}).values())
