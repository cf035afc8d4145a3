"""The engine's small verbs: whose user a container runs as, found without leaving anything behind."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import pytest
from ansible.module_utils.erni import engine
from ansible.module_utils.erni.errors import PlatformError
from platform_builders import service

PASSWD = "root:x:0:0::/root:/bin/sh\nweb:x:10001:10002::/:/bin/false\n"
NAMED = service(user="")


class Engine:
    """One image, whose user is ``web``; containers by name with the image that they have."""

    def __init__(self, user: str = "web", **containers: str) -> None:
        self.user = user
        self.containers = {name.replace("_", "-"): image for name, image in containers.items()}
        self.told: list[str] = []

    def inspect_image(self, _reference: str) -> dict[str, Any]:
        return {"Id": "this image", "Config": {"User": self.user}}

    def inspect_container(self, name: str) -> dict[str, Any]:
        if name not in self.containers:
            raise engine.docker_errors.NotFound("no such container")
        return {"Image": self.containers[name]}

    def create_container_from_config(self, _config: dict[str, Any], name: str) -> dict[str, str]:
        assert name not in self.containers, "the engine refuses a name that is in use"
        self.containers[name] = "this image"
        self.told.append(f"create {name}")
        return {"Id": name}

    def remove_container(self, name: str, *, force: bool, v: bool) -> None:
        assert force
        assert v
        if self.containers.pop(name, None) is None:
            raise engine.docker_errors.NotFound("no such container")
        self.told.append(f"remove {name}")

    def get_archive(self, name: str, path: str) -> tuple[list[bytes], None]:
        self.told.append(f"read {path} of {name}")
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            entry = tarfile.TarInfo("passwd")
            entry.size = len(PASSWD)
            archive.addfile(entry, io.BytesIO(PASSWD.encode()))
        return [buffer.getvalue()], None


@pytest.mark.parametrize(
    ("user", "of_image", "expected"),
    [("999:998", "web", (999, 998)), ("5", "web", (5, 5)), ("", "101:102", (101, 102)), ("", "", (0, 0))],
)
def test_a_user_given_by_number_needs_no_look_into_the_image(
    user: str, of_image: str, expected: tuple[int, int]
) -> None:
    client = Engine(of_image)
    assert engine.user_ids(client, service(user=user)) == expected
    assert client.told == []


def test_a_named_user_is_looked_up_in_the_container_that_has_the_image() -> None:
    client = Engine(erni_web="this image")
    assert engine.user_ids(client, NAMED) == (10001, 10002)
    assert client.told == ["read /etc/passwd of erni-web"], "a run that changes nothing makes no container"


@pytest.mark.parametrize("containers", [{}, {"erni_web": "another image"}, {"erni_web_image": "this image"}])
def test_without_such_a_container_one_is_made_for_it_and_goes_again(containers: dict[str, str]) -> None:
    client = Engine(**containers)
    assert engine.user_ids(client, NAMED) == (10001, 10002)
    assert client.told[-3:] == ["create erni-web-image", "read /etc/passwd of erni-web-image", "remove erni-web-image"]
    assert "erni-web-image" not in client.containers


def test_a_user_that_the_image_does_not_know_is_a_sentence() -> None:
    with pytest.raises(PlatformError, match="runs as user 'nobody-knows' but has no such user"):
        engine.user_ids(Engine("nobody-knows"), NAMED)
