"""Which secrets a rotation is about, what its steps are told as, how old secrets are, and who was refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from ansible.module_utils.erni import keyring, refused_logins, rotation_plan, rotation_report
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.keyring import Current, Keyring, Pending
from ansible.module_utils.erni.secrets import SecretSpec

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
SPECS = [
    SecretSpec("superuser"),
    SecretSpec("db_password", rotation="generated"),
    SecretSpec("redis_password", rotation="generated"),
    SecretSpec("api_key", min_length=20, supplied_by_operator=True, rotation="supplied"),
    SecretSpec("store_id", min_length=4, supplied_by_operator=True, rotation="supplied"),
]
RING = Keyring({"superuser": "s" * 20, "db_password": "d" * 20, "redis_password": "r" * 20, "api_key": "k" * 20})
SUPPLIED = "0123456789-another-one"


def before(days: float) -> str:
    return keyring.told(NOW - timedelta(days=days))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["all"], ["db_password", "redis_password"]),
        ([], ["db_password", "redis_password"]),
        (["REDIS_PASSWORD", "db_password"], ["db_password", "redis_password"]),
        (["api_key"], ["api_key"]),
    ],
)
def test_names_mean_secrets(names: list[str], expected: list[str]) -> None:
    assert rotation_plan.chosen(SPECS, names, RING) == expected


@pytest.mark.parametrize(
    ("name", "told"),
    [("nonsense", "There is no secret 'nonsense'"), ("superuser", "make rotate cannot replace superuser")],
)
def test_what_cannot_be_rotated_is_refused(name: str, told: str) -> None:
    with pytest.raises(PlatformError, match=told):
        rotation_plan.chosen(SPECS, [name], RING)


def test_what_can_be_generated_is_and_what_comes_from_elsewhere_is_taken_as_it_is() -> None:
    fresh = rotation_plan.fresh_values(SPECS, ["db_password", "api_key"], SUPPLIED, RING)
    assert fresh["api_key"] == SUPPLIED
    assert len(fresh["db_password"]) == 32
    assert fresh["db_password"] not in RING.values.values()


@pytest.mark.parametrize(
    ("names", "supplied", "told"),
    [
        (["api_key"], "", "The new value of api_key is not known"),
        (["api_key", "store_id"], SUPPLIED, "one run takes one"),
        (["db_password"], SUPPLIED, "a value that no secret is waiting for"),
        (["api_key"], "too-short", "it has 9 characters, and needs 20"),
        (["api_key"], "CHANGE_ME-CHANGE_ME-CHANGE_ME", "placeholder"),
        (["api_key"], "k" * 20, "the value that api_key has already"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_and_not_shown(names: list[str], supplied: str, told: str) -> None:
    with pytest.raises(PlatformError, match=told) as refused:
        rotation_plan.fresh_values(SPECS, names, supplied, RING)
    assert not supplied or supplied not in str(refused.value)


def test_an_interrupted_rotation_of_what_was_supplied_goes_on_without_the_file() -> None:
    ring = Keyring(RING.values, pending={"api_key": Pending(SUPPLIED, before(0))})
    rotation_plan.fresh_values(SPECS, ["api_key"], "", ring)
    rotation_plan.fresh_values(SPECS, ["api_key"], SUPPLIED, ring)


def test_each_step_is_told_by_name_and_without_a_value() -> None:
    begun = keyring.begin(RING, {"db_password": "the next one"}, ("a", "b"), NOW)
    promoted = keyring.promote(begun, "a", NOW, 60)
    proven = keyring.prove(promoted)
    revoked = keyring.revoke(proven, NOW, force=True)
    rings = (RING, begun, promoted, proven, revoked)
    plans = [rotation_plan.plan(first, second, "step") for first, second in pairwise(rings)]
    assert [plan.kinds for plan in plans] == [["store"], ["promote"], ["prove"], ["revoke"]]
    assert plans[2].sentences == ["db_password is replaced: version 2 serves"]
    told = str([(plan.sentences, plan.diff("x")) for plan in plans])
    assert "the next one" not in told
    assert RING.values["db_password"] not in told
    assert not rotation_plan.plan(revoked, revoked, "step").changed


@pytest.mark.parametrize(
    ("now", "overdue"),
    [
        ({"db_password": Current(before(90))}, False),
        ({"db_password": Current(before(90.01))}, True),
        ({"db_password": Current(before(0))}, False),
        ({"db_password": Current("")}, True),
        ({}, True),
    ],
)
def test_a_secret_is_overdue_once_it_is_older_than_it_should_be_or_nobody_knows(
    now: Mapping[str, Current], overdue: bool
) -> None:
    age = rotation_report.ages(SPECS, Keyring(RING.values, now=now), 90, NOW)[0]
    assert (age.name, age.overdue) == ("db_password", overdue)


@pytest.mark.parametrize(
    ("days", "soon"), [(0, False), (75.9, False), (76, True), (90, True), (90.1, False), (400, False)]
)
def test_people_are_reminded_in_the_last_days_before(days: float, soon: bool) -> None:
    ring = Keyring(RING.values, now={"db_password": Current(before(days))})
    assert rotation_report.ages(SPECS, ring, 90, NOW)[0].due_within(14) == soon


def test_the_table_tells_of_each_secret_that_can_be_rotated_and_is_there() -> None:
    ring = keyring.prove(keyring.promote(keyring.begin(RING, {"db_password": "next"}, ("a", "b"), NOW), "a", NOW, 60))
    table = rotation_report.table(rotation_report.ages(SPECS, ring, 90, NOW))
    assert [line.split()[0] for line in table.splitlines()] == ["SECRET", "db_password", "redis_password", "api_key"]
    assert "in time; the previous value holds until 2026-04-01T12:01:00Z" in table
    assert "unknown" in table
    later = rotation_report.ages(SPECS, ring, 90, NOW + timedelta(minutes=2))
    assert "make revoke-previous" in rotation_report.table(later)


def test_figures_say_each_help_once_and_nothing_of_an_age_that_nobody_knows() -> None:
    ring = Keyring(RING.values, now={"db_password": Current(before(1))})
    text = rotation_report.figures(rotation_report.ages(SPECS, ring, 90, NOW), ring, "demo")
    assert 'erni_secret_age_seconds{environment="demo",secret="db_password"} 86400.0' in text
    assert 'erni_secret_overdue{environment="demo",secret="redis_password"} 1.0' in text
    assert 'erni_secret_age_seconds{environment="demo",secret="redis_password"}' not in text
    assert text.count("# HELP erni_secret_overdue ") == 1


def seen(begun: float, ends: float) -> dict[str, str | int]:
    """A host's certificate, in days before and after now."""
    times = {"not_before": NOW - timedelta(days=begun), "not_after": NOW + timedelta(days=ends)}
    naive = {key: moment.replace(tzinfo=None).isoformat() for key, moment in times.items()}
    return {"host": "web-1", "serial": "0123456789ABCDEF", "renew_days": 30, **naive}


@pytest.mark.parametrize(
    ("begun", "ends", "overdue", "soon"),
    [(1, 89, False, False), (50, 40, False, True), (61, 29, True, False), (100, -10, True, False)],
)
def test_a_certificate_is_overdue_once_fewer_days_are_left_than_it_is_to_be_renewed_before(
    begun: float, ends: float, overdue: bool, soon: bool
) -> None:
    age = rotation_report.certificate_age(seen(begun, ends), NOW)
    assert (age.overdue, age.due_within(14)) == (overdue, soon)
    row = age.as_row()
    assert row["secret"] == "certificate of web-1"
    assert row["version"] == "89ABCDEF"
    assert row["policy"] == "60 days"
    figures = rotation_report.figures([age], RING, "demo")
    assert f'erni_secret_overdue{{environment="demo",secret="certificate",host="web-1"}} {overdue:.1f}' in figures


def test_what_is_overdue_is_told_with_what_to_run() -> None:
    ring = Keyring(RING.values, now={keyring.VAULT_PASSWORD: Current(before(91))})
    found = rotation_report.ages(SPECS, ring, 90, NOW)[:2]
    certificates = [rotation_report.certificate_age(seen(1, left), NOW) for left in (10, 20)]
    password = rotation_report.age_of_vault_password(ring, 90, NOW)
    assert rotation_report.remedy([*found, *certificates, password]) == (
        "Run make rotate SECRETS=db_password,redis_password,certificate and make rotate SECRETS=vault_password."
    )
    assert rotation_report.remedy([password]) == "Run make rotate SECRETS=vault_password."
    assert rotation_report.remedy([rotation_report.certificate_age(seen(1, 89), NOW)]) == ""


REFUSED = [
    'FATAL:  password authentication failed for user "erni_app_a"',
    'FATAL:  role "erni_app_b" is not permitted to log in',
    "redis.exceptions.AuthenticationError: WRONGPASS invalid username-password pair or user is disabled.",
    "redis.exceptions.AuthenticationError: NOAUTH Authentication required.",
    "openai.AuthenticationError: Error code: 401 - {'error': {'code': 'invalid_api_key'}}",
]


@pytest.mark.parametrize("line", REFUSED)
def test_a_line_that_tells_of_a_refused_secret_is_found(line: str) -> None:
    (found,) = refused_logins.findings({"erni-backend": f"all is well\n{line}\n", "erni-nginx": "GET / 401"})
    assert line in found.why
    assert found.what == "erni-backend has logged 1 refused logins since the rotation began"


def test_of_many_lines_the_last_are_shown() -> None:
    (found,) = refused_logins.findings({"one": "\n".join(f"{number} {REFUSED[0]}" for number in range(50))})
    assert "50 refused" in found.what
    assert found.why.count("password authentication failed") == 3
