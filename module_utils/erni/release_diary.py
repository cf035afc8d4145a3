"""One transition's own lines in the journal: each phase is written, durably, before the next one begins."""

from __future__ import annotations

import datetime as dt
import os
import time
from dataclasses import dataclass, field, replace

from .release_record import JournalEntry, append_entry


def utc_now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def process_began() -> float:
    """When this process began, as :func:`time.monotonic` counts (proc(5), the start time in /proc/self/stat)."""
    with open("/proc/self/stat", encoding="ascii", errors="replace") as handle:
        ticks = int(handle.read().rpartition(")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - age


@dataclass
class Diary:
    """``root`` is the folder of the releases; ``template`` what all lines of this transition have in common; ``begun``
    what the seconds of the first line count from."""

    root: str
    template: JournalEntry
    begun: float = field(default_factory=time.monotonic)
    lines: list[tuple[str, float]] = field(default_factory=list)

    def note(self, phase: str, detail: str = "") -> None:
        """``seconds`` of a line is what its phase took since the line before."""
        passed = time.monotonic() - self.begun
        took = passed - sum(seconds for _, seconds in self.lines)
        append_entry(
            self.root,
            replace(self.template, time=utc_now(), phase=phase, detail=detail, seconds=round(took, 3)),
        )
        self.lines.append((phase, took))

    def summary(self) -> str:
        """``gated 3.1 s, switched 0.0 s``: what each phase took."""
        return ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in self.lines if phase != "begun")
