"""What a release is: the same content has the same id, and a secret shows in nothing but a change of it."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.release_content import (
    FINGERPRINT_LENGTH,
    content_of,
    differences,
    fingerprint,
    secrets_as_they_were,
)
from ansible.module_utils.erni.service_arguments import SERVICE

PASSWORD = "correct horse battery staple"
HEALTH = {"command": ["true"]}
LIMITS = {"memory": "1g", "cpus": 1.0, "pids": 10}
BACKEND: dict[str, Any] = {
    "name": "backend",
    "image": "erni/backend:0123456789ab",
    "environment": {"LOG_LEVEL": "INFO", "URL": "http://backend-{slot}:8000"},
    "health": HEALTH,
    "limits": LIMITS,
}
FRONTEND: dict[str, Any] = {"name": "frontend", "image": "erni/frontend:1", "health": HEALTH, "limits": LIMITS}
SERVICES = {"backend": BACKEND, "frontend": FRONTEND}
SECRETS = {"backend": {"DB_PASSWORD": PASSWORD}}
CONTENT = content_of(SERVICES, SECRETS, {})


def changed(**options: Any) -> str:
    return content_of(SERVICES | {"backend": BACKEND | options}, SECRETS, {}).id


def test_the_same_content_has_the_same_id() -> None:
    spelled_out = BACKEND | {"init": False, "limits": LIMITS | {"shm": "64m"}}
    assert content_of(dict(reversed(SERVICES.items())), SECRETS, {}).id == CONTENT.id
    assert content_of(SERVICES | {"backend": spelled_out}, SECRETS, {}).id == CONTENT.id


@pytest.mark.parametrize(
    "other",
    [
        changed(image="erni/backend:ba9876543210"),
        changed(environment={"LOG_LEVEL": "DEBUG"}),
        changed(read_only=False),
        changed(limits=LIMITS | {"memory": "2g"}),
        content_of(SERVICES, {"backend": {"DB_PASSWORD": "another one"}}, {}).id,
        content_of(SERVICES, {"backend": {}}, {}).id,
        content_of(SERVICES, SECRETS, {"frontend": "erni/frontend:2"}).id,
    ],
)
def test_whatever_differs_makes_another_release(other: str) -> None:
    assert other != CONTENT.id


def test_the_configuration_of_other_images_is_the_same() -> None:
    other = content_of(SERVICES, SECRETS, {"backend": "erni/backend:ba9876543210"})
    assert other.config_digest == CONTENT.config_digest
    assert other.images["backend"] == "erni/backend:ba9876543210"


def test_a_secret_is_in_nothing_that_is_written_down() -> None:
    written = json.dumps([CONTENT.services, CONTENT.fingerprints, CONTENT.id, CONTENT.config_digest, repr(CONTENT)])
    assert PASSWORD not in written
    assert len(CONTENT.fingerprints["backend"]["DB_PASSWORD"]) == FINGERPRINT_LENGTH


def test_a_malformed_mapping_is_refused_with_its_name() -> None:
    with pytest.raises(PlatformError, match=r"service mapping of backend is malformed.*imaeg"):
        content_of({"backend": BACKEND | {"imaeg": "x"}}, {}, {})


def test_what_a_service_is_given_by_default_is_its_own() -> None:
    spec, first = deepcopy(SERVICE), content_of(SERVICES, SECRETS, {})
    first.services["frontend"]["environment"]["LOG_LEVEL"] = "DEBUG"
    first.services["frontend"]["gate"]["command"].append("false")
    assert content_of(SERVICES, SECRETS, {}).id == CONTENT.id
    assert spec == SERVICE


def test_a_record_that_is_older_than_an_option_of_the_mapping_is_read_with_its_default() -> None:
    older = deepcopy(CONTENT.services)
    del older["backend"]["gate"]["port"], older["backend"]["init"]
    assert replace(CONTENT, services=older).specs("erni") == CONTENT.specs("erni")


def test_specs_carry_the_secrets() -> None:
    spec = CONTENT.specs("erni")["backend"]
    assert (spec.container, spec.secret_environment) == ("erni-backend", {"DB_PASSWORD": PASSWORD})


# Secrets of a recorded release.

RECORDED = {"backend": {"DB_PASSWORD": fingerprint("DB_PASSWORD", PASSWORD)}}


@pytest.mark.parametrize(
    ("now", "accepted", "value", "replaced"),
    [
        pytest.param(PASSWORD, [], PASSWORD, [], id="it still holds"),
        pytest.param("successor", [PASSWORD], PASSWORD, [], id="rotated, and both are accepted"),
        pytest.param("successor", [], "successor", ["DB_PASSWORD"], id="revoked"),
        pytest.param("successor", ["something else"], "successor", ["DB_PASSWORD"], id="others are accepted"),
    ],
)
def test_a_secret_is_as_it_was_or_its_successor_takes_its_place(
    now: str, accepted: list[str], value: str, replaced: list[str]
) -> None:
    found = secrets_as_they_were(
        RECORDED, {"backend": {"DB_PASSWORD": now, "NEWER": "x"}}, {"backend": {"DB_PASSWORD": accepted}}
    )
    assert found == ({"backend": {"DB_PASSWORD": value}}, replaced)


def test_a_secret_that_is_gone_is_said_before_anything_is_touched() -> None:
    with pytest.raises(PlatformError, match="needs the secret DB_PASSWORD of backend, which is no longer given"):
        secrets_as_they_were(RECORDED, {"backend": {}}, {})


# Differences.


def test_differences_are_named_as_an_operator_knows_them_and_of_secrets_only_that_they_differ() -> None:
    after = content_of(
        SERVICES | {"backend": BACKEND | {"environment": {"LOG_LEVEL": "DEBUG"}, "image": "erni/backend:2"}},
        {"backend": {"DB_PASSWORD": "another one"}},
        {},
    )
    found = differences(after, CONTENT.services, CONTENT.fingerprints)
    shown = {difference.name: difference.shown() for difference in found}
    assert shown == {
        "backend DB_PASSWORD": ("(secret) before", "(secret) after"),
        "backend LOG_LEVEL": ("INFO", "DEBUG"),
        "backend URL": ("http://backend-{slot}:8000", None),
        "backend image": ("erni/backend:0123456789ab", "erni/backend:2"),
    }


def test_a_release_does_not_differ_from_itself() -> None:
    assert differences(CONTENT, CONTENT.services, CONTENT.fingerprints) == []


@pytest.mark.parametrize("recorded_with", [{}, {"KEY_PREVIOUS": "of another time"}])
def test_a_recorded_release_verifies_with_the_previous_keys_of_today(recorded_with: dict[str, str]) -> None:
    """Whoever was logged in before a rotation stays so after a rollback; a key that was revoked is not given again."""
    recorded = {"backend": {"KEY": fingerprint("KEY", "the first"), **recorded_with}}
    today = {"backend": {"KEY": "the second", "KEY_PREVIOUS": "the first"}}
    assert secrets_as_they_were(recorded, today, {}) == (today, ["KEY"])
    revoked = {"backend": {"KEY": "the second"}}
    assert secrets_as_they_were(recorded, revoked, {}) == (revoked, ["KEY"])
