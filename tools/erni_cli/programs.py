"""Ansible's programs, as the environment that runs this one has them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from . import ROOT

_BIN = Path(sys.executable).parent


def executable(name: str) -> str:
    return str(_BIN / name)


def child_environment() -> dict[str, str]:
    """For a child: this environment's programs first in PATH, and the configuration by name.

    Ansible ignores an ansible.cfg that it finds in a world-writable folder.
    """
    path = f"{_BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "PATH": path, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
