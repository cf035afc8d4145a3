"""The folder in which the workers share their metrics. It must exist before `prometheus_client` is imported."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def prepare(environ: MutableMapping[str, str]) -> str | None:
    """Create and empty the folder. Where that fails, say why and have each worker answer with its own numbers."""
    if not environ.get(VARIABLE):
        return None
    folder = Path(environ[VARIABLE])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_files_of_an_earlier_start(folder)
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"no permission to write to {folder}")
    except OSError as error:
        del environ[VARIABLE]
        return f"The folder {folder} of {VARIABLE} cannot be used ({error}): each worker reports its own metrics only."
    return None


def _remove_files_of_an_earlier_start(folder: Path) -> None:
    """A counter file of a dead process would be added to for ever; the folder belongs to this container alone."""
    for path in folder.glob("*.db"):
        path.unlink()
