"""The vault's own password is replaced, and a run that was killed on the way locks nobody out."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.erni import files, keyring
from ansible.module_utils.erni.errors import PlatformError
from ansible.parsing.vault import VaultLib, VaultSecret

from erni_cli import rekey, vault
from erni_cli.environment import Environment

TEXT = "erni_secrets: {db_password: x}\nerni_rotation: {now: {}}\n"


class KilledError(BaseException):
    pass


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    folder = tmp_path / "demo"
    (folder / "group_vars" / "all").mkdir(parents=True)
    made = Environment("demo", folder, folder / ".vault_password")
    made.vault_password_file.write_text("the former\n")
    made.vault_file.write_bytes(VaultLib([("default", VaultSecret(b"the former"))]).encrypt(TEXT))
    return made


def opens(environment: Environment, password: str) -> bool:
    try:
        VaultLib([("default", VaultSecret(password.encode()))]).decrypt(environment.vault_file.read_bytes())
    except AnsibleError:
        return False
    return True


def test_the_new_password_opens_what_the_former_opened_and_that_does_no_longer(environment: Environment) -> None:
    said = rekey.rekey(environment)
    password = environment.vault_password_file.read_text().strip()
    assert len(password) == 64
    assert opens(environment, password)
    assert not opens(environment, "the former")
    content = yaml.safe_load(vault.decrypted(environment))
    age = content["erni_rotation"]["now"].pop("vault_password")
    assert datetime.now(UTC) - keyring.parsed(age["since"]) < timedelta(minutes=1)
    assert age["version"] == 2
    assert {**content, "erni_rotation": {"now": {}}} == {**yaml.safe_load(TEXT), rekey.FORMER: ["the former"]}
    assert not rekey.next_file(environment).exists()
    paths = (environment.vault_file, environment.vault_password_file)
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}
    assert password not in said
    assert "the former" not in said.replace("The former", "")


def test_each_former_password_is_kept_for_the_backup_sets_that_it_opens(environment: Environment) -> None:
    rekey.rekey(environment)
    second = environment.vault_password_file.read_text().strip()
    rekey.rekey(environment)
    assert yaml.safe_load(vault.decrypted(environment))[rekey.FORMER] == ["the former", second]


@pytest.mark.parametrize("renames", range(3))
def test_killed_between_any_two_of_its_steps_the_vault_opens_and_the_next_run_ends_it(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    """Its steps are renames: of the next password's file, of the vault's, and of the next password's to its place."""
    left = [renames]

    def killed(rename: Callable[..., None]) -> Callable[..., None]:
        def instead(*paths: str | Path) -> None:
            if left[0] == 0:
                raise KilledError
            left[0] -= 1
            rename(*paths)

        return instead

    with monkeypatch.context() as broken:
        broken.setattr(files.os, "rename", killed(os.rename))
        broken.setattr(rekey.os, "replace", killed(os.replace))
        with pytest.raises(KilledError):
            rekey.rekey(environment)
    assert vault.read_secrets(environment) == {"db_password": "x"}
    rekey.rekey(environment)
    assert vault.read_secrets(environment) == {"db_password": "x"}
    assert not opens(environment, "the former")
    assert "the former" in yaml.safe_load(vault.decrypted(environment))[rekey.FORMER]
    assert not rekey.next_file(environment).exists()


def test_what_opens_nothing_is_refused_and_nothing_is_changed(environment: Environment) -> None:
    environment.vault_password_file.write_text("another\n")
    before = environment.vault_file.read_bytes()
    with pytest.raises(PlatformError, match="does not open"):
        rekey.rekey(environment)
    assert environment.vault_file.read_bytes() == before
    assert not rekey.next_file(environment).exists()


def test_a_password_that_a_program_tells_is_that_programs(environment: Environment) -> None:
    environment.vault_password_file.write_text("#!/bin/sh\necho the former\n")
    environment.vault_password_file.chmod(0o700)
    with pytest.raises(PlatformError, match="Change it where the program has it from"):
        rekey.rekey(environment)


def test_a_place_that_cannot_be_written_is_a_sentence(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: str, _content: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rekey, "write_private", full)
    with pytest.raises(PlatformError, match="No space left on device"):
        rekey.rekey(environment)
    assert opens(environment, "the former")
