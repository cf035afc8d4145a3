"""Figures about an environment's sets for Prometheus' textfile collector, written by one rename."""

from __future__ import annotations

import os

from .backup_set import Manifest, newest
from .backup_store import Store
from .metrics import samples, write_metrics

GAUGES = {
    "erni_backup_last_success_timestamp_seconds": "When the newest set began.",
    "erni_backup_last_verified_timestamp_seconds": "When it was read whole and compared.",
    "erni_backup_last_duration_seconds": "How long it took.",
    "erni_backup_last_size_bytes": "What it takes on the disk.",
    "erni_backup_sets": "How many sets there are.",
    "erni_backup_last_drill_duration_seconds": "How long that restore took.",
    "erni_backup_last_drill_timestamp_seconds": "When a restore of a set was last tried with success.",
}
OFFSITE_GAUGES = {
    "erni_backup_offsite_last_success_timestamp_seconds": "When all sets that should be off-site last were.",
    "erni_backup_offsite_sets": "How many sets there are off-site.",
}


def write_figures(store: Store, environment: str) -> None:
    """Beside the figures of all runs, below the folder that the sets' folder is in."""
    sets, _ = store.manifests()
    drilled = max((store.drill(one.id) for one in sets), default=(0.0, 0.0))
    write_metrics(os.path.dirname(store.folder), "erni_backup", figures(sets, environment, drilled))


def write_offsite_figures(store: Store, environment: str, complete: float, sets: int) -> None:
    """In a file of their own: they are known at other moments, and only where there is an off-site target.

    :param complete: when all sets that should be there last were; 0 for never.
    """
    values: dict[str, float] = {"erni_backup_offsite_sets": sets}
    if complete:
        values["erni_backup_offsite_last_success_timestamp_seconds"] = complete
    content = samples(dict(sorted(values.items())), OFFSITE_GAUGES, {"environment": environment})
    write_metrics(os.path.dirname(store.folder), "erni_backup_offsite", content)


def figures(sets: list[Manifest], environment: str, drilled: tuple[float, float]) -> str:
    """Prometheus' text format. ``drilled``: when a drill last ended well, and how long it took."""
    values: dict[str, float] = {"erni_backup_sets": len(sets)}
    if latest := newest(sets):
        values |= {
            "erni_backup_last_success_timestamp_seconds": latest.began,
            "erni_backup_last_verified_timestamp_seconds": latest.verified,
            "erni_backup_last_duration_seconds": latest.seconds,
            "erni_backup_last_size_bytes": latest.size,
        }
    ended, seconds = drilled
    if ended:
        values["erni_backup_last_drill_timestamp_seconds"] = ended
        values["erni_backup_last_drill_duration_seconds"] = seconds
    return samples(dict(sorted(values.items())), GAUGES, {"environment": environment})
