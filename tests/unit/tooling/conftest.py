"""The folder in which a test runs a verb."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_project import ROOT, Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    for name in ("inventories", "playbooks"):
        (folder / name).mkdir(parents=True)
    shutil.copytree(ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "ansible.cfg", folder)
    shutil.copy(ROOT / "playbooks" / "secrets.yml", folder / "playbooks")
    for name in ("library", "module_utils", "plugins", "roles"):
        (folder / name).symlink_to(ROOT / name)
    return Project(folder)
