"""A module, run as Ansible runs it, with everything shown that it would show."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def run_module(name: str, arguments: Mapping[str, Any], *flags: str) -> subprocess.CompletedProcess[str]:
    """On this machine, by ``ansible -vvv``."""
    words = [str(Path(sys.executable).with_name("ansible")), "-i", "localhost,", "-c", "local", "localhost", "-vvv"]
    words += ["-m", name, "-a", json.dumps(arguments), *flags]
    words += ["-e", f"ansible_python_interpreter={sys.executable}"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
