"""The steps of a rotation in a real vault file: what is stored, what is shown, and what happens when it cannot be."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from module_run import run_module

PASSWORD = "correct horse"
SPECS = [
    {"name": "db_password", "rotation": "generated"},
    {"name": "secret_key", "rotation": "generated", "generate_length": 64},
    {"name": "api_key", "rotation": "supplied", "min_length": 20},
]
VALUES = {
    "db_password": "the-first-db-password",
    "secret_key": "the-first-secret-key",
    "api_key": "the-first-api-key-of-all",
}
CIPHER = VaultLib([("default", VaultSecret(PASSWORD.encode()))])


class Vault:
    """An environment's, and what is asked of it."""

    def __init__(self, folder: Path) -> None:
        self.file, self.password_file, self.record = folder / "vault.yml", folder / ".vault_password", folder / "record"
        self.password_file.write_text(PASSWORD)
        self.file.write_bytes(CIPHER.encrypt(yaml.safe_dump({"erni_secrets": VALUES, "more": "stays"})))
        self.shown = ""

    def step(self, state: str, *flags: str, fails: bool = False, **more: Any) -> str:
        arguments = {"state": state, "path": str(self.file), "password_file": str(self.password_file), "specs": SPECS}
        arguments |= {"logins": ["a", "b"], "record": str(self.record), "operator": "somebody", "reason": "a test"}
        done = run_module("secret_rotation", arguments | more, *flags)
        self.shown += done.stdout + done.stderr
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout

    def content(self) -> dict[str, Any]:
        return dict(yaml.safe_load(CIPHER.decrypt(self.file.read_bytes())))


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_rotation_goes_through_its_steps_and_shows_no_value(vault: Vault) -> None:
    assert "would" not in vault.step("pending", "--check")
    assert vault.content() == {"erni_secrets": VALUES, "more": "stays"}
    vault.step("pending", names=["DB_PASSWORD"])
    pending = vault.content()["erni_rotation"]["pending"]["db_password"]
    assert "gets a successor" not in vault.step("pending", names=["db_password"]), "it is under way"
    assert vault.content()["erni_rotation"]["pending"]["db_password"] == pending

    vault.step("promoted", grace=0)
    content = vault.content()
    assert content["erni_secrets"] == {**VALUES, "db_password": pending["value"]}
    assert content["erni_rotation"]["previous"]["db_password"]["value"] == VALUES["db_password"]
    assert "have not been proven to serve" in vault.step("revoked", fails=True)
    vault.step("proven")
    vault.step("revoked")
    content = vault.content()
    assert content["erni_rotation"]["previous"] == {}
    assert content["more"] == "stays"
    assert not [value for value in (*VALUES.values(), pending["value"]) if value in vault.shown]
    record = [json.loads(line) for line in vault.record.read_text().splitlines()]
    assert [entry["actions"] for entry in record] == [["prove db_password"], ["revoke db_password"]]
    assert record[0]["operator"] == "somebody"
    assert vault.file.stat().st_mode & 0o777 == 0o600


def test_a_value_from_elsewhere_is_taken_as_it_is_and_not_shown(vault: Vault) -> None:
    vault.step("pending", names=["api_key"], value="the-second-api-key-of-all")
    assert vault.content()["erni_rotation"]["pending"]["api_key"]["value"] == "the-second-api-key-of-all"
    assert "the-second-api-key-of-all" not in vault.shown


def test_a_vault_that_does_not_open_stays_as_it_is(vault: Vault) -> None:
    before = vault.file.read_bytes()
    vault.password_file.write_text("another")
    assert "does not decrypt" in vault.step("pending", fails=True)
    assert vault.file.read_bytes() == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root mounts a small disk")
@pytest.mark.parametrize("state", ["pending", "promoted"])
def test_on_a_full_disk_the_vault_stays_as_it_is_and_the_next_run_goes_on(small_disk: Path, state: str) -> None:
    vault = Vault(small_disk)
    if state == "promoted":
        vault.step("pending")
    before = vault.file.read_bytes()
    ballast = small_disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as handle:
        while handle.write(b"x" * 4096):
            pass
    assert "No space left on device" in vault.step(state, fails=True)
    assert vault.file.read_bytes() == before
    assert sorted(path.name for path in small_disk.iterdir()) == [".vault_password", "ballast", "vault.yml"]
    ballast.unlink()
    vault.step(state)
    assert vault.file.read_bytes() != before
