"""Puts the backend's package and the scripts on the path; the tested modules need the standard library only."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
REFERENCE_APP = HERE.parents[2] / "reference_app"

for folder in (HERE, REFERENCE_APP / "python-backend", REFERENCE_APP / "scripts"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
