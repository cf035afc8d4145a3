"""The control node's journal: one line of JSON for each run, however it ended."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Record:
    """One run. ``started`` is ISO 8601 in UTC, ``seconds`` its duration, ``outcome`` ok, failed or interrupted."""

    verb: str
    env: str
    operator: str
    outcome: str
    exit_code: int
    seconds: float
    started: str


def append(path: Path, record: Record) -> None:
    """Add the line durably. A single write in append mode: two runs never mix their lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, (json.dumps(asdict(record)) + "\n").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
