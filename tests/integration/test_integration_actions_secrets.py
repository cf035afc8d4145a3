"""Secrets that are sent to GitHub Actions, to a server of the tests' own that opens what is sealed for its key."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible.module_utils.erni.actions_secrets import GitHub, Repository, plan
from ansible.module_utils.erni.errors import PlatformError
from module_run import run_module
from nacl.public import PrivateKey, SealedBox

TOKEN = "a-right-to-write"
WRITTEN = "2026-01-07T12:00:00Z"
PATH = re.compile(r"/repos/erni/agents/(actions|environments/[^/]+)/secrets(/[^?]+)?(\?.*)?$")


@dataclass
class Server:
    """What has arrived, by place and name, opened with the private key; ``times`` are told to whoever asks."""

    port: int = 0
    key: PrivateKey = field(default_factory=PrivateKey.generate)
    opened: dict[tuple[str, str], str] = field(default_factory=dict)
    times: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    page: int = 100

    def answer(self, method: str, path: str, body: Mapping[str, Any], bearer: str) -> tuple[int, Any]:
        self.requests.append(f"{method} {path}")
        found = PATH.match(path)
        if bearer != f"Bearer {TOKEN}":
            return 403, {}
        if found is None:
            return 404, {}
        place, name = found[1], (found[2] or "").lstrip("/")
        if method == "PUT":
            box = base64.b64decode(body["encrypted_value"])
            assert body["key_id"] == "1"
            self.opened[place, name] = SealedBox(self.key).decrypt(box).decode()
            self.times[name] = WRITTEN
            return 201, None
        if name == "public-key":
            return 200, {"key_id": "1", "key": base64.b64encode(bytes(self.key.public_key)).decode()}
        number = int(re.search(r"[?&]page=(\d+)", path)[1])  # type: ignore[index] # it is always asked for
        names = sorted(self.times)[(number - 1) * self.page : number * self.page]
        secrets = [{"name": one, "updated_at": self.times[one]} for one in names]
        return 200, {"total_count": len(self.times), "secrets": secrets}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            status, told = state.answer(self.command, self.path, body, self.headers.get("Authorization", ""))
            content = b"" if told is None else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = _serve  # noqa: N815 (the names are http.server's)

        def log_message(self, *_: object) -> None: ...

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.port = int(listening.server_address[1])
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield state
    listening.shutdown()
    listening.server_close()
    thread.join()


def repository(server: Server, environment: str = "", token: str = TOKEN) -> Repository:
    return Repository(f"http://127.0.0.1:{server.port}", "erni/agents", environment, token)


@pytest.mark.parametrize(("environment", "place"), [("", "actions"), ("production", "environments/production")])
def test_what_is_sent_is_opened_by_nobody_but_who_has_the_key(server: Server, environment: str, place: str) -> None:
    GitHub(repository(server, environment)).send({"DB_PASSWORD": "grün & 'quoted'"})
    assert server.opened == {(place, "DB_PASSWORD"): "grün & 'quoted'"}


def test_all_pages_are_read(server: Server) -> None:
    server.page = 2
    server.times = {f"NAME_{number}": WRITTEN for number in range(5)}
    assert GitHub(repository(server)).written() == server.times


@pytest.mark.parametrize(
    ("since", "sent"),
    [("2026-01-07T12:00:00Z", False), ("2026-01-07T12:00:01Z", True), ("2026-01-01T00:00:00Z", False), ("", True)],
)
def test_only_what_is_older_there_is_sent(since: str, sent: bool) -> None:
    assert plan({"DB_PASSWORD": since}, {"DB_PASSWORD": WRITTEN}).changed == sent
    assert plan({"DB_PASSWORD": since}, {}).changed


def test_a_token_without_the_right_is_a_sentence(server: Server) -> None:
    with pytest.raises(PlatformError, match=r"403.*github_token in the vault") as refused:
        GitHub(repository(server, token="another")).written()
    assert "another" not in str(refused.value).replace("make rotate", "")


def test_a_server_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(PlatformError, match="cannot be reached"):
        GitHub(Repository("http://127.0.0.1:9", "erni/agents", token=TOKEN)).written()


def test_the_module_sends_once_and_shows_no_value(server: Server) -> None:
    arguments = {
        "url": f"http://127.0.0.1:{server.port}",
        "repository": "erni/agents",
        "token": TOKEN,
        "values": {"DB_PASSWORD": "a-value-of-length"},
        "since": {"DB_PASSWORD": "2026-01-07T11:00:00Z"},
    }

    def run(*flags: str) -> str:
        done = run_module("actions_secrets", arguments, *flags)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "a-value-of-length" not in done.stdout + done.stderr
        return done.stdout

    predicted = run("--check", "--diff")
    assert "GitHub Actions gets the value of DB_PASSWORD" in predicted
    assert server.opened == {}
    run()
    assert server.opened == {("actions", "DB_PASSWORD"): "a-value-of-length"}
    count = len(server.requests)
    assert "gets the value" not in run()
    assert [request for request in server.requests[count:] if request.startswith("PUT")] == []
