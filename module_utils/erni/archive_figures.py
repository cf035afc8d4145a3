"""Figures about the archive for Prometheus' textfile collector, written by one rename."""

from __future__ import annotations

from .archive_apply import ArchiverState
from .archive_plan import FULL, ArchiveState, oldest_moment
from .metrics import samples, write_metrics

MEANINGS = {
    "erni_archive_lag_seconds": "Since when the oldest finished WAL segment waits to be archived.",
    "erni_archive_waiting_segments": "How many finished WAL segments wait to be archived.",
    "erni_archive_failing": "1 while the last attempt to archive a segment has failed.",
    "erni_archive_failures_total": "Attempts to archive that failed.",
    "erni_archive_last_success_timestamp_seconds": "When a segment was last archived.",
    "erni_archive_last_full_timestamp_seconds": "When the newest full base backup began.",
    "erni_archive_last_base_backup_timestamp_seconds": "When the newest base backup began.",
    "erni_archive_oldest_moment_timestamp_seconds": "The oldest moment that can be brought back.",
    "erni_archive_observed_timestamp_seconds": "When these figures were taken.",
}
COUNTERS = ("erni_archive_failures_total",)


def write_figures(root: str, environment: str, archiver: ArchiverState, state: ArchiveState, now: float) -> None:
    """Beside the figures of all runs, below the platform's folder."""
    write_metrics(root, "erni_archive", figures(environment, archiver, state, now))


def figures(environment: str, archiver: ArchiverState, state: ArchiveState, now: float) -> str:
    """Prometheus' text format."""
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
    return samples(dict(sorted(values.items())), MEANINGS, {"environment": environment}, COUNTERS)
