"""A container that cannot come up never costs the one that serves."""

from __future__ import annotations

import e2e_web
from e2e_platform import NAME, Platform


def test_a_cache_that_refuses_its_configuration_serves_with_the_former_one(running: Platform) -> None:
    before, files = running.identities(), running.files()

    run = running.make("up", args={"redis_settings": {"no-such-directive": "1"}})

    run.refused(f"{NAME}-redis does not stay up")
    assert "The former configuration is back." in run.output
    after = running.identities()
    assert {service: i.id for service, i in after.items()} == {service: i.id for service, i in before.items()}
    assert {service for service in before if before[service] != after[service]} == {"redis"}
    assert running.files().keys() == files.keys()
    assert e2e_web.secure("GET", "/readiness").status == 200


def test_a_backend_that_dies_at_boot_never_costs_the_one_that_serves(running: Platform, conversation: str) -> None:
    before = running.serving()

    run = running.make("up", args={"backend_settings": {"ENVIRONMENT": "nowhere"}})

    run.refused("does not stay up")
    assert "ENVIRONMENT is not one of" in run.output, "its last words are shown"
    assert "serves as before; nothing else was touched" in run.output
    assert running.serving() == before
    assert e2e_web.chat("Are you there again?")["response"]
    assert running.messages_of(conversation) == 2
    assert running.up().changes == []


def test_a_configuration_that_nginx_refuses_never_reaches_it(running: Platform) -> None:
    before = running.footprint()

    run = running.make("up", args={"nginx_http_extra": "no_such_directive on;"})

    run.refused("The new configuration of nginx is refused by its own check")
    assert 'unknown directive "no_such_directive"' in run.output
    assert running.footprint() == before
    assert e2e_web.secure("GET", "/").status == 200
