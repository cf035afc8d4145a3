"""Figures for Prometheus' textfile collector (its documentation, "Exposition formats"), written by one rename."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from .files import File, ensure_folder, write_atomically


def samples(
    values: Mapping[str, float], meanings: Mapping[str, str], labels: Mapping[str, str], counters: Collection[str] = ()
) -> str:
    """A sample of each figure, in their order, with what it means. What is not known is to be left out of ``values``:
    0 would be a time long ago.

    :param counters: those that only grow; all others are gauges.
    """
    told = labelled(labels)
    return "".join(
        f"# HELP {name} {meanings[name]}\n"
        f"# TYPE {name} {'counter' if name in counters else 'gauge'}\n"
        f"{name}{{{told}}} {value:.1f}\n"
        for name, value in values.items()
    )


def labelled(labels: Mapping[str, str]) -> str:
    """What stands between a sample's braces."""
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    """A label's value, as the format's documentation escapes it."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def write_metrics(root: str, name: str, content: str) -> None:
    """``<name>.prom`` beside the figures of all else, below the platform's folder."""
    folder = os.path.join(root, "metrics")
    ensure_folder(folder, 0o755)
    write_atomically(File(os.path.join(folder, f"{name}.prom"), content, 0o644))
