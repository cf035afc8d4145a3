from __future__ import annotations

import string
from typing import Any

import pytest
from ansible.module_utils.erni.secrets import PLACEHOLDER, SecretSpec, create, findings, generate, plan

PASSWORD = SecretSpec("db_password", 16, 32)
KEY = SecretSpec("secret_key", 32, 64)
TOKEN_KEY = SecretSpec("jwt_secret_key", 32, 64, must_differ_from="secret_key")
API_KEY = SecretSpec("openai_api_key", 20, 48, supplied_by_operator=True)
SPECS = [PASSWORD, KEY, TOKEN_KEY, API_KEY]

GOOD = {
    "db_password": "k3Jd82hNf0qLw9Zx",
    "secret_key": "k3Jd82hNf0qLw9Zxk3Jd82hNf0qLw9Zx",
    "jwt_secret_key": "Zx9wLq0fNh28dJ3kZx9wLq0fNh28dJ3k",
    "openai_api_key": "sk-k3Jd82hNf0qLw9Zx2",
}


@pytest.mark.parametrize(
    ("existing", "autogenerate", "generated", "asked"),
    [
        ([], False, ["db_password", "secret_key", "jwt_secret_key"], ["openai_api_key"]),
        ([], True, ["db_password", "secret_key", "jwt_secret_key", "openai_api_key"], []),
        (["db_password", "secret_key"], False, ["jwt_secret_key"], ["openai_api_key"]),
        (list(GOOD), False, [], []),
        (list(GOOD), True, [], []),
        ([*GOOD, "unknown"], False, [], []),
    ],
)
def test_only_what_is_missing_is_planned(
    existing: list[str], autogenerate: bool, generated: list[str], asked: list[str]
) -> None:
    planned = plan(SPECS, existing, autogenerate)
    assert [spec.name for spec in planned.to_generate] == generated
    assert [spec.name for spec in planned.to_ask] == asked
    assert planned.changed == bool(generated or asked)


def test_generated_values_satisfy_their_own_rules() -> None:
    made = create(plan(SPECS, [], autogenerate=True))
    assert findings(SPECS, made) == []
    assert {name: len(value) for name, value in made.items()} == {spec.name: spec.generate_length for spec in SPECS}


def test_generated_values_need_no_quoting_anywhere() -> None:
    values = [generate(64) for _ in range(200)]
    assert set("".join(values)) <= set(string.ascii_letters + string.digits + "-_")
    assert not any(value[0] in "-_" for value in values)
    assert len(set(values)) == 200


def test_what_an_operator_must_supply_is_left_as_a_placeholder_that_is_refused() -> None:
    made = create(plan(SPECS, [], autogenerate=False))
    assert made["openai_api_key"] == PLACEHOLDER
    assert [finding.what for finding in findings(SPECS, made)] == ["The secret openai_api_key cannot be used"]


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("db_password", "", "it is empty or not text"),
        ("db_password", "   ", "it is empty or not text"),
        ("db_password", 1234567890123456, "it is empty or not text"),
        ("db_password", None, "it is empty or not text"),
        ("db_password", "CHANGE_ME", "it is still a placeholder"),
        ("db_password", "please-changeme-soon", "it is still a placeholder"),
        ("db_password", "<your password here>", "it is still a placeholder"),
        ("openai_api_key", "sk-your-key-goes-here", "it is still a placeholder"),
        ("db_password", "Postgres", "it is a well-known value"),
        ("db_password", "k3Jd82hNf0qLw9Z", "it has 15 characters, and needs 16"),
        ("secret_key", "k3Jd82hNf0qLw9Zxk3Jd82hNf0qLw9Z", "it has 31 characters, and needs 32"),
        ("db_password", "abababababababab", "it repeats too few different characters"),
        ("jwt_secret_key", GOOD["secret_key"], "it equals secret_key, and must not"),
    ],
)
def test_a_weak_value_is_named_and_never_shown(name: str, value: Any, why: str) -> None:
    (finding,) = findings(SPECS, GOOD | {name: value}, "vault.yml")
    assert (finding.what, finding.why) == (f"The secret {name} cannot be used", why)
    assert "vault.yml" in finding.remedy
    shown = f"{finding.what} {finding.why} {finding.remedy}"
    assert not str(value).strip() or str(value) not in shown


def test_all_that_is_wrong_is_found_at_once() -> None:
    found = findings(SPECS, {"db_password": "short"})
    assert [finding.what for finding in found] == [
        "The secret db_password cannot be used",
        "The secret secret_key is missing",
        "The secret jwt_secret_key is missing",
        "The secret openai_api_key is missing",
    ]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, []),
        ({"webhook": ""}, []),
        ({"webhook": None}, []),
        ({"webhook": "CHANGE_ME"}, ["it is still a placeholder"]),
        ({"webhook": "https"}, ["it has 5 characters, and needs 16"]),
    ],
)
def test_an_optional_secret_is_never_made_and_may_be_missing_but_not_weak(
    values: dict[str, Any], why: list[str]
) -> None:
    webhook = SecretSpec("webhook", optional=True)
    assert [finding.why for finding in findings([webhook], values)] == why
    assert not plan([webhook], values, autogenerate=True).changed


def test_strong_values_pass() -> None:
    assert findings(SPECS, GOOD) == []


def test_a_spec_is_read_from_the_inventorys_mapping() -> None:
    mapping = {"name": "a", "description": "of a thing", "min_length": 20, "must_differ_from": None}
    assert SecretSpec.from_mapping(mapping) == SecretSpec("a", min_length=20)
