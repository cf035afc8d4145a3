from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible.module_utils.erni.errors import PlatformError

from erni_cli.environment import Environment, group_variable, operator, resolve


def make_environments(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name / "group_vars" / "all").mkdir(parents=True)
    return folder


def test_an_environment_is_a_folder(tmp_path: Path) -> None:
    inventories = make_environments(tmp_path, "local", "production")
    found = resolve("production", inventories)
    assert found == Environment("production", inventories / "production", inventories / "production/.vault_password")
    assert found.vault_file == inventories / "production/group_vars/all/vault.yml"


@pytest.mark.parametrize("name", ["prod", "", "..", "local/../production", "Local"])
def test_an_unknown_environment_is_answered_with_those_that_exist(tmp_path: Path, name: str) -> None:
    inventories = make_environments(tmp_path, "local", "production")
    said = f"There is no environment '{name}': {inventories} has local, production. Name one of them: ENV=local."
    with pytest.raises(PlatformError, match=f"^{re.escape(said)}$"):
        resolve(name, inventories)


def test_a_missing_folder_of_inventories_is_told(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="has no environment"):
        resolve("local", tmp_path / "nowhere")


def test_the_password_file_can_be_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "password"
    assert resolve("local", make_environments(tmp_path, "local"), str(elsewhere)).vault_password_file == elsewhere


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "default"),
        ({"main.yml": "other: 1"}, "default"),
        ({"main.yml": "wanted: main"}, "main"),
        ({"00-shared/b.yml": "wanted: shared", "main.yml": "wanted: main"}, "main"),
        ({"00-shared/b.yml": "wanted: shared", "main.yml": "other: !vault |\n  x"}, "shared"),
        ({"main.yml": "secret: !vault |\n  x\nwanted: beside"}, "beside"),
        ({"main.yml": "nested:\n  wanted: 1"}, "default"),
        ({"vault.yml": "$ANSIBLE_VAULT;1.1;AES256\n6162"}, "default"),
        ({".hidden.yml": "wanted: hidden", "notes.txt": "wanted: notes"}, "default"),
    ],
)
def test_variables_are_looked_up_in_ansibles_order(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    environment = resolve("local", make_environments(tmp_path, "local"))
    for name, text in files.items():
        path = environment.folder / "group_vars/all" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert group_variable(environment, "wanted", "default") == expected


def test_the_operator_is_who_stands_behind_sudo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    assert operator({"SUDO_USER": "ana", "USER": "root"}) == "ana"
    assert operator({"USER": "ben"}) == "ben"
    (tmp_path / "gitconfig").write_text("[user]\nemail = ben@example.org\n")
    assert operator({"USER": "ben"}) == "ben <ben@example.org>"
