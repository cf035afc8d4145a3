"""Figures about the archive for Prometheus' textfile collector, written by one rename."""

from __future__ import annotations

import os

from .archive_apply import ArchiverState
from .archive_plan import FULL, ArchiveState, oldest_moment
from .files import File, ensure_folder, write_atomically

HELP = {
    "erni_archive_lag_seconds": ("gauge", "Since when the oldest finished WAL segment waits to be archived."),
    "erni_archive_waiting_segments": ("gauge", "How many finished WAL segments wait to be archived."),
    "erni_archive_failing": ("gauge", "1 while the last attempt to archive a segment has failed."),
    "erni_archive_failures_total": ("counter", "Attempts to archive that failed."),
    "erni_archive_last_success_timestamp_seconds": ("gauge", "When a segment was last archived."),
    "erni_archive_last_full_timestamp_seconds": ("gauge", "When the newest full base backup began."),
    "erni_archive_last_base_backup_timestamp_seconds": ("gauge", "When the newest base backup began."),
    "erni_archive_oldest_moment_timestamp_seconds": ("gauge", "The oldest moment that can be brought back."),
    "erni_archive_observed_timestamp_seconds": ("gauge", "When these figures were taken."),
}


def write_figures(root: str, environment: str, archiver: ArchiverState, state: ArchiveState, now: float) -> None:
    """Beside the figures of all runs, below the platform's folder."""
    folder = os.path.join(root, "metrics")
    ensure_folder(folder, 0o755)
    content = figures(environment, archiver, state, now)
    write_atomically(File(os.path.join(folder, "erni_archive.prom"), content, 0o644))


def figures(environment: str, archiver: ArchiverState, state: ArchiveState, now: float) -> str:
    """Prometheus' text format. A figure that is not known is left out: 0 would be a time long ago."""
    values: dict[str, float] = {
        "erni_archive_lag_seconds": archiver.waiting_seconds,
        "erni_archive_waiting_segments": archiver.waiting,
        "erni_archive_failing": archiver.failing,
        "erni_archive_failures_total": archiver.failed_count,
        "erni_archive_observed_timestamp_seconds": now,
    }
    if archiver.last_archived:
        values["erni_archive_last_success_timestamp_seconds"] = archiver.last_archived
    if state.backups:
        values["erni_archive_last_base_backup_timestamp_seconds"] = state.backups[-1].began
    if fulls := [one.began for one in state.backups if one.kind == FULL]:
        values["erni_archive_last_full_timestamp_seconds"] = max(fulls)
    if oldest := oldest_moment(state.backups):
        values["erni_archive_oldest_moment_timestamp_seconds"] = oldest.timestamp()
    return "".join(_sample(name, environment, value) for name, value in sorted(values.items()))


def _sample(name: str, environment: str, value: float) -> str:
    kind, meaning = HELP[name]
    return f'# HELP {name} {meaning}\n# TYPE {name} {kind}\n{name}{{environment="{environment}"}} {value:.1f}\n'
