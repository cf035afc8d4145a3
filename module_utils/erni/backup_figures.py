"""Figures about an environment's sets for Prometheus' textfile collector, written by one rename."""

from __future__ import annotations

import os
from collections.abc import Mapping

from .backup_set import Manifest, newest
from .backup_store import Store
from .files import File, ensure_folder, write_atomically

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
    drilled = max(((store.drilled(one.id), store.drill_seconds(one.id)) for one in sets), default=(0.0, 0.0))
    _write(store, "erni_backup.prom", figures(sets, environment, drilled))


def write_offsite_figures(store: Store, environment: str, complete: float, sets: int) -> None:
    """In a file of their own: they are known at other moments, and only where there is an off-site target.

    :param complete: when all sets that should be there last were; 0 for never.
    """
    values: dict[str, float] = {"erni_backup_offsite_sets": sets}
    if complete:
        values["erni_backup_offsite_last_success_timestamp_seconds"] = complete
    _write(store, "erni_backup_offsite.prom", _as_text(values, OFFSITE_GAUGES, environment))


def _write(store: Store, name: str, content: str) -> None:
    folder = os.path.join(os.path.dirname(store.folder), "metrics")
    ensure_folder(folder, 0o755)
    write_atomically(File(os.path.join(folder, name), content, 0o644))


def figures(sets: list[Manifest], environment: str, drilled: tuple[float, float]) -> str:
    """Prometheus' text format. ``drilled``: when a drill last ended well, and how long it took.

    A figure that is not known is left out: 0 would be a time long ago."""
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
    return _as_text(values, GAUGES, environment)


def _as_text(values: Mapping[str, float], gauges: Mapping[str, str], environment: str) -> str:
    return "".join(
        f'# HELP {name} {gauges[name]}\n# TYPE {name} gauge\n{name}{{environment="{environment}"}} {value:.1f}\n'
        for name, value in sorted(values.items())
    )
