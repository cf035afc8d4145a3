"""What cannot be rotated is refused before anything is touched; what servers refuse leaves the values in use."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from e2e_platform import Platform
from e2e_rotation import as_redis_operator, as_superuser, assert_opens

BY_HAND = "changed-by-hand"


def rotated(running: Platform, name: str, before: dict[str, str]) -> None:
    """A rotation of it passes, and its value alone is another one."""
    running.make("rotate", secrets=name).succeeded()
    after = running.secrets()
    assert {each for each in before if before[each] != after[each]} == {name}
    assert_opens(before)
    assert_opens(after)


def test_what_postgresql_refuses_leaves_the_values_in_use_and_a_database_that_is_down_is_started(
    running: Platform,
) -> None:
    before = running.secrets()
    verifier = running.sql("select rolpassword from pg_authid where rolname = 'postgres'").strip()
    running.sql(f"alter role postgres password '{BY_HAND}'")
    try:
        running.make("rotate", secrets="db_password").refused("PostgreSQL does not accept postgres on the socket")
    finally:
        as_superuser(BY_HAND, f"alter role postgres password '{verifier}'")
    assert running.secrets() == before
    assert_opens(before)

    running.container("postgres").stop()
    rotated(running, "db_password", before)


def test_what_redis_refuses_leaves_the_values_in_use(running: Platform) -> None:
    before = running.secrets()
    as_redis_operator(before["redis_operator_password"], "ACL", "SETUSER", "operator", "resetpass", f">{BY_HAND}")
    refused = running.make("rotate", secrets="redis_password").refused("refused to reload: AUTH failed: WRONGPASS")
    assert "The former configuration is back" in refused.one_line
    assert running.secrets() == before
    assert_opens(before)
    rotated(running, "redis_password", before)


@contextmanager
def openai(key: str) -> Iterator[str]:
    """The URL of an API that knows one key (its reference, "Authentication" and "Models")."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/v1/models" and self.headers["Authorization"] == f"Bearer {key}"
            content = b'{"object": "list", "data": []}' if known else b'{"error": {"code": "invalid_api_key"}}'
            self.send_response(200 if known else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_key_from_elsewhere_is_tried_before_it_is_used(running: Platform, tmp_path: Path) -> None:
    key, file = f"key-{secrets.token_urlsafe(24)}", tmp_path / "key"
    before = running.secrets()
    with openai(key) as url:
        options = {"secrets": "openai_api_key", "file": file, "args": {"rotation_openai_url": url}, "v": 3}
        file.write_text(f"key-{secrets.token_urlsafe(24)}\n")
        refused = running.make("rotate", **options)
        assert refused.code != 0
        assert f"{url} does not take the new value of openai_api_key: it answers 401. Nothing" in refused.one_line
        assert running.secrets() == before
        file.write_text(f"{key}\n")
        rotated = running.make("rotate", **options).succeeded()
    assert running.secrets() == {**before, "openai_api_key": key}
    environment = running.container("backend").attrs["Config"]["Env"]
    assert f"OPENAI_API_KEY={key}" in environment
    assert key not in rotated.output
    assert before["openai_api_key"] not in rotated.output


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"secrets": "no_such"}, "There is no secret 'no_such'"),
        ({"secrets": "postgres_superuser_password"}, "make rotate cannot replace postgres_superuser_password"),
        ({"secrets": "a b"}, "names no secrets"),
        ({"secrets": "openai_api_key"}, "The new value of openai_api_key is not known"),
        ({"args": {"backend_reads_previous_keys": False}}, "All users will have to log in again"),
    ],
)
def test_what_cannot_be_rotated_is_refused_before_anything_is_touched(
    running: Platform, options: dict[str, object], told: str
) -> None:
    vault = running.vault_file.read_bytes()
    refused = running.make("rotate", **options)
    assert refused.code != 0
    assert told in refused.one_line
    assert running.vault_file.read_bytes() == vault
