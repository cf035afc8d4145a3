"""Secrets are replaced while users go on; until they are revoked one can go back; a killed run is gone on with."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import e2e_web
import pytest
from cryptography import x509
from e2e_platform import ENV, HTTPS_PORT, PLATFORM_ROOT, Platform
from e2e_rotation import as_superuser, login_opens, redis_opens, user_of
from e2e_secrets import Evidence, Watch
from load_generator import Load
from load_posts import posts_applied_exactly_once
from load_settings import Settings
from signed_token import token

RATE = 150.0  # requests a second, mixed
ROTATED = ("db_password", "redis_password", "secret_key", "jwt_secret_key")
# What a run says when a step is done: servers have the successor, it is in use, the application moves over, it serves.
BY_HAND = "changed-by-hand"
KILLED_AT = ("Redis serves", "is its value from now on", "starts in slot", "Nobody was refused")


@pytest.fixture
def traffic() -> Iterator[Load]:
    with Load(Settings(port=HTTPS_PORT, authority=str(e2e_web.AUTHORITY), rate=RATE)) as load:
        yield load


def assert_nothing_lost(platform: Platform, traffic: Load) -> None:
    report = traffic.stop()
    assert report.failures == [], report.failures_by_kind()
    assert report.total > 0
    assert posts_applied_exactly_once(report.posts_answered, platform.sql) == []


def assert_opens(values: dict[str, str]) -> None:
    assert len(login_opens(values["db_password"])) == 1
    assert redis_opens(values["redis_password"])
    assert user_of(token(values["jwt_secret_key"])) == "ada"


def assert_refused(values: dict[str, str]) -> None:
    assert login_opens(values["db_password"]) == []
    assert not redis_opens(values["redis_password"])
    assert user_of(token(values["jwt_secret_key"])) is None


@pytest.mark.timeout(900)  # nine runs of make on a machine that answers users meanwhile
def test_a_rotation_under_load_that_is_killed_step_by_step_ends_and_the_former_values_once_they_are_revoked(
    running: Platform, traffic: Load
) -> None:
    before = running.secrets()
    containers = {name: running.identities()[name] for name in ("postgres", "redis", "nginx")}
    former_token, former_certificate, texts = token(before["jwt_secret_key"]), e2e_web.certificate(), {}
    for step in KILLED_AT:
        traffic.mark(f"killed at {step}")
        run = running.start("rotate", reason="a test of rotation", v=3)
        run.says(step)
        run.kill()
        texts[f"the output until {step}"] = run.output
        assert login_opens(running.secrets()["db_password"]), "what the vault names opens the database"
        assert redis_opens(running.secrets()["redis_password"])
        assert_opens(before)
    traffic.mark("gone on with")
    with Watch() as watch:
        texts["the output"] = running.make("rotate", reason="a test of rotation", v=3).succeeded().output
    after = running.secrets()
    assert e2e_web.certificate() != former_certificate
    assert {name for name in before if before[name] != after[name]} == set(ROTATED)
    assert_opens(before)
    assert_opens(after)
    assert user_of(former_token) == "ada", "users stay logged in"

    traffic.mark("rollback")
    running.make("rollback").succeeded()
    assert_opens(after)

    traffic.mark("revoke")
    kept = running.make("revoke-previous").succeeded()
    assert "holds no longer" not in kept.output, "its time is not over"
    assert_opens(before)
    running.make("revoke-previous", force=1).succeeded()
    assert_refused(before)
    assert_opens(after)
    assert user_of(former_token) is None

    assert_nothing_lost(running, traffic)
    assert {name: running.identities()[name] for name in containers} == containers, "none of them was restarted"
    assert running.up().changes == []
    assert_no_value_is_shown([before, after], {**texts, "the process list": watch.text()}, running)


def assert_no_value_is_shown(rings: list[dict[str, str]], texts: dict[str, str], platform: Platform) -> None:
    for name in ("postgres", "redis", "backend", "nginx"):
        container = platform.container(name)
        texts[f"the log of {name}"] = container.logs().decode(errors="replace")
        texts[f"labels of {name}"] = str(container.labels)
    texts["the record"] = (platform.inventories / ENV / "rotations.jsonl").read_text()
    texts["the journal"] = (PLATFORM_ROOT / "journal.jsonl").read_text()
    for values in rings:
        evidence = Evidence(values)
        evidence.texts |= texts
        assert evidence.leaks() == []
    record = [json.loads(line) for line in texts["the record"].splitlines()]
    assert record[0]["reason"] == "a test of rotation"
    serial = x509.load_der_x509_certificate(e2e_web.certificate()).serial_number
    proven = [f"prove {name}" for name in sorted(ROTATED)]
    assert record[0]["actions"] == [*proven, f"serve certificate {serial:X}"]


def test_an_emergency_ends_what_was_before_and_begins_the_incidents_record(running: Platform, traffic: Load) -> None:
    running.make("rotate-emergency").refused("make rotate-emergency does not say what has happened")
    before = running.secrets()
    traffic.mark("emergency")
    running.make("rotate-emergency", reason="a key was seen in a chat").succeeded()
    assert_nothing_lost(running, traffic)
    assert_refused(before)
    assert_opens(running.secrets())
    (record,) = (running.inventories / ENV / "incidents").iterdir()
    assert "a key was seen in a chat" in record.read_text()
    assert "## Why it could happen" in record.read_text()
    status = running.make("rotation-status").succeeded().output
    assert status.count("90 days   in time") == 7, status
    assert "certificate of " in status
    assert (
        f'erni_secret_overdue{{environment="{ENV}",secret="db_password"}} 0.0'
        in (PLATFORM_ROOT / "metrics" / "erni_secrets.prom").read_text()
    )


def test_what_a_server_refuses_leaves_the_values_in_use_and_a_database_that_is_down_is_started(
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
    running.make("rotate", secrets="db_password").succeeded()
    after = running.secrets()
    assert {name for name in before if before[name] != after[name]} == {"db_password"}
    assert_opens(before)
    assert_opens(after)


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
        assert f"{url} does not take the new value of openai_api_key: it answers 401. Nothing" in _one_line(
            refused.output
        )
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
    vault = (running.inventories / ENV / "group_vars" / "all" / "vault.yml").read_bytes()
    refused = running.make("rotate", **options)
    assert refused.code != 0
    assert told in _one_line(refused.output)
    assert (running.inventories / ENV / "group_vars" / "all" / "vault.yml").read_bytes() == vault


def _one_line(text: str) -> str:
    return " ".join(text.split())
