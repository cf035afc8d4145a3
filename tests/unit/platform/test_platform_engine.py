"""The engine's small verbs: whose user a container runs as, found without leaving anything behind; and its absence."""

from __future__ import annotations

import http.server
import io
import socketserver
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from ansible.module_utils.erni import engine, engine_connection
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


# An engine that ends in the middle of a run.


class Transport:
    """What the SDK sends its requests through, after the engine has told its version."""

    def __init__(self, failure: Exception) -> None:
        self.failure = failure

    def send(self, *_: object, **__: object) -> None:
        raise self.failure


GONE = [
    (requests.exceptions.ConnectionError("('Connection aborted.', RemoteDisconnected())"), "it has ended"),
    (requests.exceptions.ChunkedEncodingError("connection broken"), "it has ended"),
    (urllib3.exceptions.ProtocolError("connection broken"), "it has ended"),
    (requests.exceptions.ReadTimeout("read timed out"), "it takes too long over an answer"),
]


@pytest.mark.parametrize(("failure", "why"), GONE)
def test_an_engine_that_ends_is_a_sentence_wherever_it_is_asked_something(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, why: str
) -> None:
    monkeypatch.setattr(engine_connection.docker, "APIClient", lambda **_: Transport(failure))
    client = engine.connect()
    with pytest.raises(engine.EngineAwayError) as told:
        client.send("a request", timeout=1)
    assert str(told.value).startswith(f"The Docker Engine on this host does not answer any more: {why}. Run make up: ")
    assert "RemoteDisconnected" not in str(told.value)


@pytest.mark.parametrize(("failure", "why"), GONE)
def test_so_is_one_that_ends_in_the_middle_of_an_answer(failure: Exception, why: str) -> None:
    with pytest.raises(engine.EngineAwayError, match=why), engine.explained("It could not be changed"):
        raise failure


def test_a_refusal_is_told_as_such() -> None:
    with (
        pytest.raises(PlatformError, match=r"It could not be changed: no such network\. Correct the cause"),
        engine.explained("It could not be changed"),
    ):
        raise engine.docker_errors.APIError("500", explanation="no such network")


def test_every_request_of_the_real_client_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK sends through the method that is replaced; an engine that answers once, and then no more, shows it."""
    path = str(tmp_path / "docker.sock")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")

    class AnswersOnce(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"ApiVersion": "1.41"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "socket"

        def log_message(self, *_: object) -> None:
            pass

    with socketserver.UnixStreamServer(path, AnswersOnce) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        client = engine.connect()
        thread.join()
    with pytest.raises(engine.EngineAwayError):
        client.inspect_container("erni-web")


@pytest.mark.parametrize(
    ("answers", "expected", "asked"),
    [
        ([(0, "yes")], (0, "yes"), 1),
        ([(0, ""), (0, ""), (0, "yes")], (0, "yes"), 3),
        ([(1, "")], (1, ""), 1),
        ([(0, "")] * 9, (0, ""), 1 + engine.ASKED_AGAIN),
    ],
    ids=["an answer", "lost twice", "a failure needs no words", "never"],
)
def test_an_answer_that_the_engine_has_lost_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, answers: list[tuple[int, str]], expected: tuple[int, str], asked: int
) -> None:
    left = list(answers)
    monkeypatch.setattr(engine, "run_inside", lambda *_: left.pop(0))
    assert engine.ask_inside(None, "erni-redis", ("redis-cli", "info")) == expected
    assert len(answers) - len(left) == asked


class Busy(Engine):
    """Its container ends by itself when it is to be removed, the first few times."""

    def __init__(self, said: str, times: int) -> None:
        super().__init__(web="this image")
        self.said, self.times = said, times

    def remove_container(self, name: str, *, force: bool, v: bool) -> None:
        if self.times:
            self.times -= 1
            raise engine.docker_errors.APIError(self.said)
        super().remove_container(name, force=force, v=v)


@pytest.mark.parametrize(
    "said",
    [
        "Could not kill running container 7f, cannot remove - Container 7f is not running",
        "removal of container web is already in progress",
    ],
)
def test_a_container_that_ends_when_it_is_removed_is_removed(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PAUSE_SECONDS", 0)
    client = Busy(said, times=2)
    engine.remove_if_present(client, "web")
    assert client.containers == {}


@pytest.mark.parametrize(
    ("said", "times"), [("web is not running", 99), ("driver failed to remove root filesystem", 1)]
)
def test_a_container_that_cannot_be_removed_is_an_error(said: str, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PAUSE_SECONDS", 0)
    with pytest.raises(engine.docker_errors.APIError, match=said):
        engine.remove_if_present(Busy(said, times), "web")
