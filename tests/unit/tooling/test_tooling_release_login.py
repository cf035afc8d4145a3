"""What logs in to the product's repository: used, and shown nowhere."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.git_mirror import repository_from
from ansible.module_utils.erni.release_tree import obtain
from product_repository import Product, trees

USER, PASSWORD = "deployer", "pa$$w0rd'\"%"


pytestmark = pytest.mark.usefixtures("no_git_configuration")


@pytest.fixture
def get(sources: Path) -> Any:
    return lambda name, repository: obtain(repository, name, str(sources), "/")


@pytest.mark.parametrize(
    ("value", "address", "login"),
    [
        ("https://git.example.org/p.git", "https://git.example.org/p.git", ("", "")),
        (" https://a:b%40c@git.example.org:8443/p.git ", "https://git.example.org:8443/p.git", ("a", "b@c")),
        ("https://token@git.example.org/p.git", "https://git.example.org/p.git", ("token", "")),
        ("ssh://git:x@git.example.org/p.git", "ssh://git@git.example.org/p.git", ("", "")),
        ("git@git.example.org:p.git", "git@git.example.org:p.git", ("", "")),
        ("product", "{root}/product", ("", "")),
        ("../{name}/product", "{root}/product", ("", "")),
        ("{root}/product", "{root}/product", ("", "")),
        ("elsewhere", "elsewhere", ("", "")),
    ],
)
def test_an_address_is_a_url_or_a_path_and_holds_nothing_that_logs_in(
    tmp_path: Path, value: str, address: str, login: tuple[str, str]
) -> None:
    (tmp_path / "product").mkdir()
    found = repository_from(value.format(root=tmp_path, name=tmp_path.name), str(tmp_path))
    assert found.address == address.format(root=tmp_path)
    assert (found.username, found.password) == login
    assert "b@c" not in repr(found)


@pytest.mark.parametrize("value", ["https://user:pass/word@git.example.org/p.git", "https://user:pw@[bad/p.git"])
def test_a_url_that_cannot_be_read_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(PlatformError, match=r"^release_repository is no valid URL\.") as refused:
        repository_from(value, "/")
    assert "git.example.org" not in str(refused.value)


class Server(ThreadingHTTPServer):
    """Serves a repository's files to whoever logs in (git's dumb protocol), or refuses and repeats the login."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.folder = folder
        self.command_lines: set[str] = set()

    def address(self, user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.server_address[1]}/p.git"


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.command_lines |= command_lines()
        given = self.headers.get("Authorization", "")
        path = self.server.folder / self.path.removeprefix("/p.git/").partition("?")[0]
        if given != "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="product"')
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(b"this may not read: " + base64.b64decode(given.removeprefix("Basic ")))
        elif path.is_file():
            self.send_response(200)
            self.end_headers()
            self.wfile.write(path.read_bytes())
        else:
            self.send_error(404)

    def log_message(self, *_: Any) -> None:
        return


def command_lines() -> set[str]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


@pytest.fixture
def server(product: Product) -> Iterator[Server]:
    product.git("update-server-info")
    with Server(product.folder / ".git") as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


ENCODED = "deployer:pa$$w0rd'%22%25@"


def test_a_password_in_the_url_logs_in_and_reaches_no_argument_and_no_file(
    product: Product, server: Server, sources: Path, get: Any
) -> None:
    assert get("main", server.address(ENCODED)).commit == product.first
    fetching = [line for line in server.command_lines if server.address() in line or "fetch" in line]
    assert fetching, "git was seen while it fetched"
    assert [line for line in server.command_lines if "pa$$w0rd" in line] == []
    assert [str(path) for path in sources.rglob("*") if path.is_file() and b"pa$$w0rd" in path.read_bytes()] == []


@pytest.mark.parametrize("user", ["deployer:wr0ng-one@", "wr0ng-one@", ""])
def test_a_refused_login_is_told_without_it(server: Server, sources: Path, get: Any, user: str) -> None:
    with pytest.raises(PlatformError) as refused:
        get("main", server.address(user))
    assert str(refused.value).startswith(f"The repository {server.address()} cannot be read: ")
    assert "wr0ng-one" not in str(refused.value)
    assert ("remote: this may not read" in str(refused.value)) is bool(user), "the server repeats what it was sent"
    assert trees(sources) == []
