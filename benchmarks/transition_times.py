"""What a transition took, from its lines in the journal of releases, beside what it may take."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What the application, or a setting, takes for itself: its start-up until the gate, requests in flight, watching it.
NOT_OURS = ("gated", "drained", "baked")


@dataclass(frozen=True)
class Transition:
    """``seconds`` by phase, in their order; the first one, ``begun``, counts from the start of the module's process."""

    seconds: dict[str, float]

    @property
    def until_switched(self) -> float:
        """Until requests went to the release."""
        phases = list(self.seconds)
        return sum(self.seconds[phase] for phase in phases[: phases.index("switched") + 1])

    @property
    def overhead(self) -> float:
        return sum(seconds for phase, seconds in self.seconds.items() if phase not in NOT_OURS)


@dataclass(frozen=True)
class Bound:
    """Something that was measured several times, and how many seconds it may take."""

    what: str
    measured: list[float]
    limit: float

    @property
    def holds(self) -> bool:
        return statistics.median(self.measured) <= self.limit

    def row(self) -> str:
        figures = (statistics.median(self.measured), max(self.measured), self.limit)
        return f"{self.what:58}" + "".join(f"{figure:>9.2f} s" for figure in figures)


def bounds_table(bounds: Iterable[Bound]) -> str:
    head = f"{'seconds':58}" + "".join(f"{column:>11}" for column in ("median", "slowest", "allowed"))
    return "\n".join([head, *(bound.row() for bound in bounds)])


def transitions(root: Path) -> list[Transition]:
    """Those that came to their end, oldest first."""
    lines = [json.loads(line) for line in (root / "releases" / "journal.jsonl").read_text().splitlines()]
    grouped: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        grouped.setdefault(line["transition"], []).append(line)
    return [
        Transition({line["phase"]: line["seconds"] for line in phases})
        for phases in grouped.values()
        if phases[-1]["phase"] == "done" and phases[0]["phase"] == "begun"
    ]
