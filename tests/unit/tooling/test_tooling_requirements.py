from __future__ import annotations

import json
import re
from pathlib import Path

import ansible_collections
import pytest
import yaml
from small_project import ROOT

LOCK_FILES = ["requirements.txt", "tools/bootstrap-requirements.txt"]


def collections() -> list[tuple[str, str]]:
    wanted = yaml.safe_load((ROOT / "requirements.yml").read_text())["collections"]
    return [(entry["name"], entry["version"]) for entry in wanted]


@pytest.mark.parametrize(("name", "version"), collections())
def test_collections_are_those_that_the_locked_ansible_carries(name: str, version: str) -> None:
    folder = Path(next(iter(ansible_collections.__path__)), *name.split("."))
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    assert manifest["collection_info"]["version"] == version


@pytest.mark.parametrize("lock_file", LOCK_FILES)
def test_every_package_is_pinned_with_its_hashes(lock_file: str) -> None:
    text = (ROOT / lock_file).read_text()
    packages = re.split(r"\n(?=[a-z])", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).strip())
    assert packages
    for package in packages:
        assert re.match(r"[a-z0-9._\[\]-]+==\S+ (?:; .* )?\\\n    --hash=sha256:[0-9a-f]{64}", package), package


@pytest.mark.parametrize("lock_file", LOCK_FILES)
def test_no_registry_is_named(lock_file: str) -> None:
    assert "://" not in (ROOT / lock_file).read_text()


def test_what_is_wanted_is_what_is_locked() -> None:
    wanted = re.findall(r"^([A-Za-z][\w.-]*)", (ROOT / "requirements.in").read_text(), re.MULTILINE)
    locked = re.findall(r"^([a-z][\w.-]*)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert {name.lower() for name in wanted} <= set(locked)
