"""Makes the project's logic importable under the names that modules and tools use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import ansible.module_utils

ROOT = Path(__file__).resolve().parents[2]

ansible.module_utils.__path__.append(str(ROOT / "module_utils"))
sys.path.insert(0, str(ROOT / "tools"))

# An outer make exports its options; what the tests start shall not take them for its own.
for name in [name for name in os.environ if name.startswith("ERNI_")]:
    del os.environ[name]
