"""The host's journal of runs, and the figures about them for Prometheus."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .files import ensure_folder, sync_folder
from .metrics import labelled, write_metrics


@dataclass(frozen=True)
class Run:
    """One run of one verb. ``ended`` is seconds since the epoch, ``seconds`` the duration."""

    verb: str
    environment: str
    operator: str
    outcome: str
    release: str
    ended: int
    seconds: float


def append_line(path: str, run: Run) -> None:
    append_record(path, asdict(run), 0o640)


def append_record(path: str, record: Mapping[str, Any], mode: int) -> None:
    """One durable write in append mode: two runs never mix their lines, and a cut one spoils no other.

    :raises OSError: when the line did not reach the disk as a whole; a reader skips what did.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # a line that another run is just writing is not a cut one
        size = os.fstat(descriptor).st_size
        cut_off = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        line = ("\n" * cut_off + json.dumps(record, sort_keys=True) + "\n").encode()
        if os.write(descriptor, line) != len(line):  # a full disk takes what still fits, without an error
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def figures(run: Run) -> str:
    """Prometheus' text format (its documentation, "Exposition formats"), for node_exporter's textfile collector."""
    labels = labelled({"verb": run.verb, "environment": run.environment, "outcome": run.outcome})
    return (
        "# HELP erni_run_timestamp_seconds When the verb last ended this way.\n"
        "# TYPE erni_run_timestamp_seconds gauge\n"
        f"erni_run_timestamp_seconds{{{labels}}} {run.ended}\n"
        "# HELP erni_run_duration_seconds How long that run took.\n"
        "# TYPE erni_run_duration_seconds gauge\n"
        f"erni_run_duration_seconds{{{labels}}} {run.seconds:.1f}\n"
    )


def record(root: str, run: Run) -> None:
    """Journal line first: it is the history; the figures can be made from it again."""
    ensure_folder(root, 0o711)
    append_line(os.path.join(root, "journal.jsonl"), run)
    sync_folder(root)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", f"erni_run_{run.verb}_{run.outcome}")
    write_metrics(root, name, figures(run))
