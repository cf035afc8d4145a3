"""Secret managers as homes of secrets, OpenBao's server and moto's: what Ansible and a rotation find there."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import hvac
import pytest
import yaml
from ansible.module_utils.erni import secret_homes
from ansible.module_utils.erni.errors import PlatformError
from azure.identity import DefaultAzureCredential
from azure.keyvault.secrets import SecretClient
from module_run import ROOT, run_module
from offsite_targets import free_port
from secret_managers import SERVERS, Manager

SPECS = [{"name": "db_password", "rotation": "generated"}, {"name": "secret_key", "rotation": "generated"}]
NAMES = {spec["name"] for spec in SPECS}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    with SERVERS[request.param](tmp_path_factory.mktemp("manager")) as running:
        yield running


@pytest.fixture
def manager(server: Manager, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Manager:
    """The server with a place of the test's own."""
    server.let_in(monkeypatch)
    place = f"erni-{abs(hash(request.node.name))}"
    key = "path" if "path" in server.settings else "secret"
    return replace(server, settings=server.settings | {key: place})


def document(manager: Manager) -> dict[str, Any]:
    return secret_homes.opened(manager.settings).load() or {}


def step(manager: Manager, name: str, **more: Any) -> str:
    """The module's whole output."""
    nowhere = {"path": "/nowhere/vault.yml", "password_file": "/nowhere/.vault_password"}
    done = run_module(name, {"home": manager.settings, "specs": SPECS, **nowhere, **more})
    assert done.returncode == 0, done.stdout + done.stderr
    assert not Path("/nowhere").exists()
    return done.stdout + done.stderr


def before(manager: Manager) -> dict[str, Any]:
    """The version that the manager itself keeps as the one before."""
    if manager.settings["type"] == "azure_key_vault":
        client = SecretClient(manager.settings["url"], DefaultAzureCredential())
        versions = [each.version for each in client.list_properties_of_secret_versions(manager.settings["secret"])]
        return dict(json.loads(client.get_secret(manager.settings["secret"], versions[-2]).value))
    if manager.settings["type"] == "hashicorp_vault":
        kv = hvac.Client(url=manager.settings["url"]).secrets.kv.v2
        latest = kv.read_secret_metadata(path=manager.settings["path"])["data"]["current_version"]
        found = kv.read_secret_version(path=manager.settings["path"], version=latest - 1, raise_on_deleted_version=True)
        return dict(found["data"]["data"])
    client = boto3.client("secretsmanager", region_name="eu-central-1", endpoint_url=manager.settings["endpoint"])
    answer = client.get_secret_value(SecretId=manager.settings["secret"], VersionStage="AWSPREVIOUS")
    return dict(json.loads(answer["SecretString"]))


def test_secrets_are_made_and_rotated_there_step_by_step_and_no_value_is_shown(manager: Manager) -> None:
    shown = step(manager, "vault_file")
    first = document(manager)["erni_secrets"]
    assert set(first) == NAMES
    shown += step(manager, "secret_rotation", state="pending", names=["secret_key"])
    pending = document(manager)["erni_rotation"]["pending"]["secret_key"]["value"]
    assert document(manager)["erni_secrets"] == first
    shown += step(manager, "secret_rotation", state="promoted", grace=0)
    promoted = document(manager)
    assert promoted["erni_secrets"] == {**first, "secret_key": pending}
    assert promoted["erni_rotation"]["previous"]["secret_key"]["value"] == first["secret_key"]
    assert before(manager)["erni_secrets"] == first
    step(manager, "secret_rotation", state="proven")
    step(manager, "secret_rotation", state="revoked", force=True)
    assert document(manager)["erni_rotation"]["previous"] == {}
    status = step(manager, "secret_rotation", state="known", format="json")
    assert '"name": "secret_key"' in status.replace("\\", "")
    assert '"name": "vault_password"' not in status.replace("\\", "")
    assert not [value for value in (*first.values(), pending) if value in shown + status]


def test_what_another_has_written_meanwhile_is_not_overwritten(manager: Manager) -> None:
    ours, theirs = (secret_homes.opened(manager.settings) for _ in range(2))
    assert ours.read() == theirs.read() == {}
    theirs.write({"secret_key": "theirs"})
    with pytest.raises(PlatformError, match="another has written there since"):
        ours.write({"secret_key": "ours"})
    assert document(manager)["erni_secrets"] == {"secret_key": "theirs"}
    assert ours.read() == {"secret_key": "theirs"}
    ours.write({"secret_key": "ours"})
    assert document(manager)["erni_secrets"] == {"secret_key": "ours"}


def test_a_secret_that_holds_something_else_is_a_sentence_and_stays(manager: Manager) -> None:
    secret_homes.opened(manager.settings).save({"another": "application's"})
    with pytest.raises(PlatformError, match=r"has no mapping 'erni_secrets'\. Mend it with `"):
        secret_homes.opened(manager.settings).read()
    assert document(manager) == {"another": "application's"}


@pytest.mark.parametrize("doing", ["load", "save"])
def test_a_manager_that_does_not_answer_is_a_sentence(manager: Manager, doing: str) -> None:
    scheme = "https" if manager.settings["type"] == "azure_key_vault" else "http"
    closed = f"{scheme}://127.0.0.1:{free_port()}"
    place = {key: closed if key in ("url", "endpoint") else value for key, value in manager.settings.items()}
    store = secret_homes.opened(place)
    with pytest.raises(PlatformError, match=r"Nothing was changed\. See that it can be reached from here") as refused:
        store.load() if doing == "load" else store.save({"erni_secrets": {"secret_key": "a-value-of-ours"}})
    assert "a-value-of-ours" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_token_that_opens_nothing_is_a_sentence(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    if manager.settings["type"] != "hashicorp_vault":
        pytest.skip("moto lets everybody in, and a model would show itself alone")
    monkeypatch.setenv("VAULT_TOKEN", "another-token")
    with pytest.raises(PlatformError, match="could not be read: permission denied") as refused:
        document(manager)
    assert "another-token" not in str(refused.value)


def inventory(folder: Path, manager: Manager) -> Path:
    shared = folder / "demo" / "group_vars" / "all"
    shared.mkdir(parents=True)
    (folder / "demo" / "hosts.yml").write_text("all: {hosts: {here: {ansible_connection: local}}}\n")
    (shared / "00-shared").symlink_to(ROOT / "group_vars" / "all")
    (shared / "main.yml").write_text(
        yaml.safe_dump({"erni_env": "demo", "erni_secrets_autogenerate": True, "erni_secrets_home": manager.settings})
    )
    return folder


def told(*words: str) -> str:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_operator_makes_secrets_there_and_plays_find_them(manager: Manager, tmp_path: Path) -> None:
    folder = inventory(tmp_path, manager)
    make = ("make", "--no-print-directory", "secrets", "ENV=demo", f"INVENTORIES={folder}")
    assert "gets generated values for" in told(*make)
    found = document(manager)["erni_secrets"]
    assert len(found) > len(NAMES)
    assert "changed" not in told(*make)
    asked = ("ansible", "here", "-i", str(folder / "demo"), "-m", "debug", "-a", "var=erni_secrets")
    assert f'"db_password": "{found["db_password"]}"' in told(*asked)
    assert not [path for path in (folder / "demo").rglob("*") if "vault" in path.name], "no vault file, and no password"
    refused = subprocess.run(
        ("make", "rotate", "ENV=demo", "SECRETS=vault_password", f"INVENTORIES={folder}"),
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "its secrets are in a secret manager" in refused.stdout + refused.stderr


def test_what_the_vault_file_holds_moves_there_once_and_is_what_serves(manager: Manager, tmp_path: Path) -> None:
    folder = inventory(tmp_path, manager)
    variables = folder / "demo" / "group_vars" / "all" / "main.yml"
    named = variables.read_text()
    variables.write_text(yaml.safe_dump({"erni_env": "demo", "erni_secrets_autogenerate": True}))
    make = ("make", "--no-print-directory", "secrets", "ENV=demo", f"INVENTORIES={folder}")
    told(*make)
    vault = folder / "demo" / "group_vars" / "all" / "vault.yml"
    kept = vault.read_bytes()
    password_file = str(folder / "demo" / ".vault_password")
    held = yaml.safe_load(told("ansible-vault", "view", "--vault-password-file", password_file, str(vault)))
    variables.write_text(named)

    assert f"gets all that {vault} holds" in told(*make, "CHECK=1")
    assert document(manager) == {}
    assert f"gets all that {vault} holds" in told(*make)

    assert vault.read_bytes() == kept
    assert document(manager) == held
    assert held.keys() == {"erni_secrets", "erni_rotation"}
    assert "changed" not in told(*make)
    asked = ("ansible", "here", "-i", str(folder / "demo"), "-m", "debug", "-a", "var=erni_secrets")
    vault.unlink()
    assert f'"db_password": "{held["erni_secrets"]["db_password"]}"' in told(*asked)
    assert document(manager) == held


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"type": "paper"}, "its type is 'paper'"),
        ({"type": "hashicorp_vault", "url": "https://vault.example.org"}, "it has no path"),
        ({"type": "aws_secrets_manager"}, "it has no secret and no region"),
    ],
)
def test_a_home_that_is_not_named_well_is_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(PlatformError, match=why):
        secret_homes.opened(settings)
