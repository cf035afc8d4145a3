"""What the control node remembers of deploys: that a release has served elsewhere before it comes to production.

Releases of two environments have ids of their own, since their settings differ. They are the same release where they
come from the same commit, or, without one, are made of the same backend image.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .files import ensure_folder
from .journal import append_record


@dataclass(frozen=True)
class Evidence:
    """A deploy that ended well. ``image`` is the backend's reference; ``time`` UTC, RFC 3339."""

    environment: str
    commit: str
    image: str
    release: str
    time: str


def read_evidence(path: str) -> list[Evidence]:
    """Oldest first; a line that cannot be read is none."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8", errors="replace") as handle:
        return [found for line in handle if (found := _parsed(line)) is not None]


def _parsed(line: str) -> Evidence | None:
    try:
        told: Any = json.loads(line)
        return Evidence(**{name: str(told[name]) for name in Evidence.__dataclass_fields__})
    except (ValueError, KeyError, TypeError):
        return None


def record(path: str, evidence: Evidence) -> None:
    ensure_folder(os.path.dirname(path), 0o755)
    append_record(path, asdict(evidence), 0o644)


def missing(evidence: Iterable[Evidence], environments: Iterable[str], commit: str, image: str) -> list[str]:
    """Those of the environments in which the release has not served yet."""
    served = {e.environment for e in evidence if (e.commit == commit if commit else e.image == image)}
    return [environment for environment in environments if environment not in served]


def refusal(absent: list[str], environment: str, reason: str, subject: Mapping[str, str]) -> str:
    """Why the release may not come to the environment yet, or ''. A reason given by the operator is enough.

    :param subject: the release's ``commit`` and ``image``."""
    if not absent or reason.strip():
        return ""
    what = f"commit {subject['commit'][:12]}" if subject["commit"] else f"image {subject['image']}"
    where = " and ".join(absent)
    return (
        f"{environment} takes only what has served in {where} before, and {what} has not: this control node knows of "
        f"no such deploy. Nothing was touched. Deploy it there first (make deploy ENV={absent[0]} RELEASE=…), or say "
        "why it must be now with REASON='…', which the journal keeps."
    )
