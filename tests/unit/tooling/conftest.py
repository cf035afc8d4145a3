"""The folder in which a test runs a verb, and a repository to deploy from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from product_repository import NOBODY, Product
from small_project import ROOT, Project
from small_servers import Web, web_server


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


@pytest.fixture
def web() -> Iterator[Web]:
    """A web server on the loopback interface."""
    with web_server() as running:
        yield running


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever proxy this machine has is not asked for what is on the loopback interface."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def product(tmp_path: Path) -> Product:
    return Product(tmp_path / "product")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Where mirrors and trees go."""
    return tmp_path / "run" / "sources"


@pytest.fixture
def no_git_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine or its user has told git is not seen."""
    for name, value in NOBODY.items():
        monkeypatch.setenv(name, value)
