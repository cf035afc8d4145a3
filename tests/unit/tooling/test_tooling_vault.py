from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible.module_utils.erni.errors import PlatformError
from ansible.parsing.vault import VaultLib, VaultSecret

from erni_cli.environment import Environment
from erni_cli.vault import missing_secrets, read_secrets

SPECS = "erni_secret_specs:\n  - name: db_password\n  - name: secret_key\n  - {name: webhook, optional: true}\n"


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    folder = tmp_path / "local"
    (folder / "group_vars" / "all").mkdir(parents=True)
    (folder / "group_vars" / "all" / "secrets.yml").write_text(SPECS)
    return Environment("local", folder, folder / ".vault_password")


def lock_up(environment: Environment, text: str, password: str) -> None:
    encrypted = VaultLib([("default", VaultSecret(password.encode()))]).encrypt(text)
    environment.vault_file.write_bytes(encrypted)


def test_without_a_vault_file_every_secret_is_missing_that_is_not_optional(environment: Environment) -> None:
    assert missing_secrets(environment) == ["db_password", "secret_key"]


def test_what_the_vault_has_is_not_missing(environment: Environment) -> None:
    lock_up(environment, "erni_secrets: {db_password: x}", "right")
    environment.vault_password_file.write_text("right\n")
    assert missing_secrets(environment) == ["secret_key"]


def test_the_password_may_come_from_a_program(environment: Environment) -> None:
    lock_up(environment, "erni_secrets: {db_password: x}", "right")
    environment.vault_password_file.write_text("#!/bin/sh\necho right\n")
    environment.vault_password_file.chmod(0o700)
    assert read_secrets(environment) == {"db_password": "x"}


def test_a_missing_password_names_its_place_and_the_remedy(environment: Environment) -> None:
    lock_up(environment, "erni_secrets: {}", "right")
    with pytest.raises(PlatformError) as refusal:
        read_secrets(environment)
    assert str(refusal.value) == (
        f"The secrets of 'local' cannot be read: the vault password file {environment.vault_password_file} is missing "
        "or not readable. Put the password there (mode 0600), or name its file in ERNI_VAULT_PASSWORD_FILE."
    )


@pytest.mark.parametrize(
    ("text", "password", "said"),
    [
        ("erni_secrets: {}", "wrong", "does not open"),
        ("erni_secrets: {}", "", "does not open"),
        ("- a list", "right", "has no mapping 'erni_secrets'"),
        ("erni_secrets: [1]", "right", "has no mapping 'erni_secrets'"),
    ],
)
def test_a_vault_that_cannot_be_used_is_refused(environment: Environment, text: str, password: str, said: str) -> None:
    lock_up(environment, text, "right")
    environment.vault_password_file.write_text(password)
    with pytest.raises(PlatformError, match=re.escape(said)):
        read_secrets(environment)


def test_secrets_in_clear_text_are_refused(environment: Environment) -> None:
    environment.vault_file.write_text("erni_secrets: {db_password: x}")
    with pytest.raises(PlatformError, match="is not encrypted"):
        read_secrets(environment)
