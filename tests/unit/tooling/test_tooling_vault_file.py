"""The module vault_file, run by the real playbook with the real ansible-vault."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml
from small_project import BIN, Project

SPECS = [
    {"name": "db_password", "min_length": 16, "generate_length": 24, "description": "for tests"},
    {"name": "openai_api_key", "supplied_by_operator": True},
    {"name": "notify_webhook", "optional": True},
]


class Vault:
    def __init__(self, project: Project) -> None:
        self.project = project
        self.file = project.folder / "vault.yml"
        self.password_file = project.folder / "password"

    def run(self, *flags: str, autogenerate: bool = False) -> subprocess.CompletedProcess[str]:
        variables = {
            "erni_vault_file": str(self.file),
            "erni_vault_password_file": str(self.password_file),
            "erni_secret_specs": SPECS,
            "erni_secrets_autogenerate": autogenerate,
        }
        return subprocess.run(
            [
                BIN / "ansible-playbook",
                "playbooks/secrets.yml",
                "-e",
                yaml.safe_dump(variables, default_flow_style=True),
                *flags,
            ],
            cwd=self.project.folder,
            env=os.environ,
            capture_output=True,
            text=True,
            check=False,
        )

    def vault(self, verb: str, text: str | None = None) -> str:
        words = [BIN / "ansible-vault", verb, "--vault-password-file", self.password_file, "--output", "-"]
        words += [] if text else [self.file]
        return subprocess.run(words, input=text, capture_output=True, text=True, check=True).stdout

    def content(self) -> dict[str, dict[str, str]]:
        loaded: dict[str, dict[str, str]] = yaml.safe_load(self.vault("decrypt"))
        return loaded


@pytest.fixture
def vault(project: Project) -> Vault:
    return Vault(project)


def test_check_mode_says_what_would_be_made_and_makes_nothing(vault: Vault) -> None:
    said = vault.run("--check", "--diff")
    assert said.returncode == 0, said.stdout + said.stderr
    assert f"would: {vault.password_file} is created, with a new vault password" in said.stdout
    assert f"would: {vault.file} gets generated values for db_password" in said.stdout
    assert "+db_password\n+openai_api_key\n" in said.stdout
    assert not vault.file.exists()
    assert not vault.password_file.exists()


def test_missing_secrets_are_made_once_and_kept_private(vault: Vault) -> None:
    first = vault.run("--diff", "-vvv")
    made = vault.content()["erni_secrets"]
    assert len(made["db_password"]) == 24
    assert made["openai_api_key"] == "CHANGE_ME"
    assert made["db_password"] not in first.stdout + first.stderr
    assert vault.password_file.read_text().strip() not in first.stdout + first.stderr
    assert {path.stat().st_mode & 0o777 for path in (vault.file, vault.password_file)} == {0o600}

    before = vault.file.stat()
    second = vault.run()
    assert "changed" not in second.stdout
    assert vault.file.stat() == before


def test_what_exists_is_kept_whatever_its_value(vault: Vault) -> None:
    vault.password_file.write_text("right\n")
    vault.file.write_text(vault.vault("encrypt", "erni_secrets: {db_password: weak}\nother: {kept: true}\n"))
    assert vault.run(autogenerate=True).returncode == 0
    content = vault.content()
    assert content["erni_secrets"]["db_password"] == "weak"
    assert len(content["erni_secrets"]["openai_api_key"]) == 32
    assert content["other"] == {"kept": True}


@pytest.mark.parametrize("flags", [[], ["--check"]])
@pytest.mark.parametrize(
    ("password", "said"), [("wrong\n", "does not decrypt"), (None, "does not exist. Put the password there")]
)
def test_a_vault_that_does_not_open_is_left_alone(
    vault: Vault, password: str | None, said: str, flags: list[str]
) -> None:
    vault.password_file.write_text("right\n")
    vault.file.write_text(vault.vault("encrypt", "erni_secrets: {}\n"))
    before = vault.file.read_bytes()
    vault.password_file.unlink()
    if password:
        vault.password_file.write_text(password)
    failed = vault.run(*flags)
    assert failed.returncode == 2
    assert said in failed.stdout
    assert "Traceback" not in failed.stdout + failed.stderr
    assert vault.file.read_bytes() == before
    assert vault.password_file.exists() is bool(password)


def test_a_lost_vault_is_made_again_with_the_password_that_is_there(vault: Vault) -> None:
    vault.password_file.write_text("kept\n")
    assert vault.run().returncode == 0
    assert vault.password_file.read_text() == "kept\n"
    assert set(vault.content()["erni_secrets"]) == {"db_password", "openai_api_key"}


def test_nothing_half_written_stays(vault: Vault) -> None:
    vault.run()
    assert [path.name for path in Path(vault.project.folder).iterdir() if path.name.startswith(".new-")] == []
