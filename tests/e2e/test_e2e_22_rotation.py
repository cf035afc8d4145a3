"""Secrets are replaced while users go on; until they are revoked one can go back; a killed run is gone on with."""

from __future__ import annotations

import json

import e2e_web
from cryptography import x509
from e2e_load import assert_nothing_lost, load
from e2e_platform import ENV, PLATFORM_ROOT, Platform
from e2e_rotation import assert_opens, assert_refused, login_opens, redis_opens, user_of
from e2e_secrets import Evidence, Watch
from signed_token import token

RATE = 150.0  # requests a second, mixed
ROTATED = ("db_password", "redis_password", "secret_key", "jwt_secret_key")
# What a run says when a step is done: servers have the successor, it is in use, the application moves over, it serves.
KILLED_AT = ("Redis serves", "is its value from now on", "starts in slot", "Nobody was refused")


def test_a_rotation_under_load_that_is_killed_step_by_step_ends_and_the_former_values_once_they_are_revoked(
    running: Platform,
) -> None:
    before = running.secrets()
    containers = {name: running.identities()[name] for name in ("postgres", "redis", "nginx")}
    former_token, former_certificate, texts = token(before["jwt_secret_key"]), e2e_web.certificate(), {}
    with load(RATE) as traffic:
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
        report = traffic.stop()

    assert_nothing_lost(running, report)
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


def test_an_emergency_ends_what_was_before_and_begins_the_incidents_record(running: Platform) -> None:
    running.make("rotate-emergency").refused("make rotate-emergency does not say what has happened")
    before = running.secrets()
    with load(RATE) as traffic:
        running.make("rotate-emergency", reason="a key was seen in a chat").succeeded()
        report = traffic.stop()
    assert_nothing_lost(running, report)
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
