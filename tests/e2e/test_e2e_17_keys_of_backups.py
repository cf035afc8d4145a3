"""Keys that no user ever sees: those of backup sets, and the password of the image registry."""

from __future__ import annotations

import http.client
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
from e2e_backups import BACKUPS, newest
from e2e_platform import ENV, NAME, Platform
from offsite_targets import free_port

USER = "deployer"


@pytest.fixture
def alone(running: Platform) -> Iterator[Platform]:
    """The environment, without whatever a test adds to it."""
    before = running.vault_file.read_bytes()
    yield running
    running.write_environment(ENV)
    running.vault_file.write_bytes(before)


def opens(identity: Path, set_id: str) -> bool:
    file = str(BACKUPS / set_id / "globals.sql.zst.age")
    words = ["age", "--decrypt", "--identity", str(identity), "--output", "/dev/null", file]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_sets_are_made_for_the_new_key_alone_and_those_of_before_can_still_be_restored(
    alone: Platform, conversation: str, identity: Path, tmp_path: Path
) -> None:
    (former_key,) = [line for line in identity.read_text().splitlines() if line.startswith("AGE-SECRET-KEY")]
    alone.write_environment(ENV, secrets={**alone.secrets(), "backup_identity": former_key})
    alone.make("backup").succeeded()
    former = newest(alone)["id"]

    rotated = alone.make("rotate", secrets="backup_identity").succeeded()
    alone.make("backup").succeeded()
    later = newest(alone)["id"]

    keys = alone.secrets()["backup_identity"].splitlines()
    assert keys[1:] == [former_key]
    (tmp_path / "new").write_text(f"{keys[0]}\n")
    (tmp_path / "new").chmod(0o600)
    assert (opens(identity, former), opens(identity, later)) == (True, False)
    assert (opens(tmp_path / "new", former), opens(tmp_path / "new", later)) == (False, True)
    assert "AGE-SECRET-KEY" not in rotated.output
    assert "backup_identity" in alone.make("rotation-status").succeeded().output
    alone.make("restore", set=former).succeeded()
    assert alone.messages_of(conversation) == 2


def bcrypt(password: str) -> str:
    """The one form that the registry takes. Perl, which every Debian has, calls its library."""
    salt = secrets.token_hex(11)[:21] + "u"
    words = ["perl", "-e", "print crypt(<STDIN>, q($2b$05$) . shift)", salt]
    return subprocess.run(words, input=password, capture_output=True, text=True, check=True).stdout


@contextmanager
def registry_with(platform: Platform, image: str, folder: Path) -> Iterator[tuple[str, str]]:
    """A registry that wants a password and has the image: its password, and the image's name there."""
    password, port = secrets.token_urlsafe(18), free_port()
    name = f"127.0.0.1:{port}/redis:{image.rpartition(':')[2]}"
    (folder / "htpasswd").write_text(f"{USER}:{bcrypt(password)}\n")
    container = platform.engine.containers.run(
        platform.engine.images.list(name="erni/registry")[0].id,
        name=f"{NAME}-registry",
        detach=True,
        user="0:0",  # a folder of this user alone
        labels={"ch.erni.test": "1"},
        ports={"5000/tcp": ("127.0.0.1", port)},
        volumes={str(folder): {"bind": "/etc/registry", "mode": "ro"}},
        environment={
            "REGISTRY_AUTH": "htpasswd",
            "REGISTRY_AUTH_HTPASSWD_REALM": "tests",
            "REGISTRY_AUTH_HTPASSWD_PATH": "/etc/registry/htpasswd",
        },
    )
    try:
        until_it_answers(port)
        platform.engine.images.get(image).tag(name)
        pushed = platform.engine.images.push(name, auth_config={"username": USER, "password": password})
        assert "errorDetail" not in pushed, pushed
        yield password, name
    finally:
        container.remove(force=True, v=True)
        platform.engine.images.remove(name)


def until_it_answers(port: int) -> None:
    deadline, status = time.monotonic() + 30, 0
    while status != HTTPStatus.UNAUTHORIZED:
        assert time.monotonic() < deadline, "the registry does not come up"
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/v2/")
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
        finally:
            connection.close()


def test_a_registrys_new_password_is_tried_there_before_it_is_the_vaults(alone: Platform, tmp_path: Path) -> None:
    image = str(alone.container("redis").attrs["Config"]["Image"])
    with registry_with(alone, image, tmp_path) as (password, name):
        former = {**alone.secrets(), "registry_password": secrets.token_urlsafe(18)}
        alone.write_environment(ENV, {"redis_image": name, "platform_registry_username": USER}, former)
        file = tmp_path / "password"
        file.write_text(f"{secrets.token_urlsafe(18)}\n")
        refused = alone.make("rotate", secrets="registry_password", file=file)
        assert refused.code != 0
        assert f"The registry does not give {name} to {USER} with the new password" in refused.one_line
        assert alone.secrets() == former

        file.write_text(f"{password}\n")
        rotated = alone.make("rotate", secrets="registry_password", file=file).succeeded()

        assert alone.secrets() == {**former, "registry_password": password}
        assert password not in rotated.output
