"""What stops a run, or should be known before it: a sentence each for what, why and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Finding:
    """Something that an operator has to know. Names secrets, never values. ``severity``: ``error`` or ``warning``."""

    what: str
    why: str
    remedy: str
    severity: str = "error"


def as_dicts(findings: Iterable[Finding]) -> list[dict[str, str]]:
    return [asdict(finding) for finding in findings]
