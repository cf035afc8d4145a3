"""Figures about a job that runs by itself, for Prometheus' textfile collector: also of runs that fail."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields, replace

from .files import File, ensure_folder, write_atomically
from .metrics import samples

PREFIX = "erni_scheduled_"
GAUGES = {
    "last_start_timestamp_seconds": "When the last run began.",
    "last_end_timestamp_seconds": "When the last run that came to its end did so.",
    "last_success_timestamp_seconds": "When a run last ended well.",
    "last_exit_code": "How that run ended: 0 is well, 3 means that another run held the lock for too long.",
    "last_duration_seconds": "How long it took.",
}
_LINE = re.compile(rf"{PREFIX}(\w+)\{{.*\}} (\S+)")


@dataclass(frozen=True)
class Record:
    """What is known of a job. None: not yet; such a figure is left out, since 0 would be a time long ago."""

    last_start_timestamp_seconds: float | None = None
    last_end_timestamp_seconds: float | None = None
    last_success_timestamp_seconds: float | None = None
    last_exit_code: float | None = None
    last_duration_seconds: float | None = None


def begun(before: Record, now: float) -> Record:
    return replace(before, last_start_timestamp_seconds=now)


def ended(before: Record, now: float, code: int, seconds: float) -> Record:
    """The last success stays over failures: its age is what an alert looks at."""
    success = now if code == 0 else before.last_success_timestamp_seconds
    return replace(
        before,
        last_end_timestamp_seconds=now,
        last_success_timestamp_seconds=success,
        last_exit_code=code,
        last_duration_seconds=seconds,
    )


def as_text(record: Record, environment: str, verb: str) -> str:
    """Prometheus' text format."""
    told = {field.name: getattr(record, field.name) for field in fields(record)}
    known = {f"{PREFIX}{name}": value for name, value in told.items() if value is not None}
    meanings = {f"{PREFIX}{name}": meaning for name, meaning in GAUGES.items()}
    return samples(known, meanings, {"environment": environment, "verb": verb})


def from_text(text: str) -> Record:
    """What :func:`as_text` wrote; what is not to be understood counts as not known."""
    known = {}
    for name, value in _LINE.findall(text):
        if name in GAUGES and re.fullmatch(r"\d+(\.\d+)?", value):
            known[name] = float(value)
    return Record(**known)


def path(folder: str, environment: str, verb: str) -> str:
    """Beside the figures of all other runs."""
    return os.path.join(folder, re.sub(r"[^A-Za-z0-9_-]", "-", f"{PREFIX}{environment}_{verb}") + ".prom")


def read(file: str) -> Record:
    try:
        with open(file, encoding="utf-8", errors="replace") as handle:
            return from_text(handle.read())
    except FileNotFoundError:
        return Record()


def write(file: str, record: Record, environment: str, verb: str) -> None:
    ensure_folder(os.path.dirname(file), 0o755)
    write_atomically(File(file, as_text(record, environment, verb), 0o644))
