"""Which environments the backend starts in, and what it says where it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from erni_backend import settings
from reference_environment import SOUND


def problems_of(environ: dict[str, str]) -> list[str]:
    with pytest.raises(settings.ConfigurationError) as caught:
        settings.load(environ)
    return caught.value.problems


def test_a_sound_production_environment_starts() -> None:
    assert settings.load(SOUND).environment == "production"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        *((name, "", "is not set") for name in settings.SECRETS),
        ("OPENAI_API_KEY", "sk-...", "placeholder"),
        ("OPENAI_VECTOR_STORE_ID", "your-vector-store-id", "placeholder"),
        ("SECRET_KEY", "change-me-change-me-change-me-change", "placeholder"),
        ("SECRET_KEY", "nV7pQ2xK9wLm4RtYz8BcD3fGh6JsUa1", "shorter than 32"),
        ("SECRET_KEY", "xyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxy", "repeats"),
        ("JWT_SECRET_KEY", "<generate one and write it here please>", "placeholder"),
        ("JWT_SECRET_KEY", SOUND["SECRET_KEY"], "equal"),
        ("DB_PASSWORD", "postgres", "well-known"),
        ("DB_PASSWORD", "hT4mQz9Lw2XrK7v", "shorter than 16"),
        ("REDIS_PASSWORD", "   ", "is not set"),
        ("DATABASE_URL", "sqlite:///conversations.db", "PostgreSQL"),
        ("DATABASE_URL", "sqlite+aiosqlite:///conversations.db", "PostgreSQL"),
        ("DATABASE_URL", "", "is not set"),
        ("RATE_LIMIT_PER_MINUTE", "many", "whole number"),
        ("RATE_LIMIT_PER_DAY", "0", "whole number"),
        ("GUARDRAIL_CACHE_TTL", "-1", "whole number"),
        ("REQUIRE_AUTH", "perhaps", "true nor false"),
        ("RATE_LIMIT_STORAGE", "paper", "redis, memory"),
        ("LOG_LEVEL", "loud", "DEBUG"),
        ("DEMO_USERS", "name-without-password", "name:password"),
    ],
)
def test_production_refuses_one_bad_value_with_one_sentence(name: str, value: str, reason: str) -> None:
    (problem,) = problems_of({**SOUND, name: value})
    assert name in problem
    assert reason in problem
    assert problem.endswith(".")


def test_every_problem_is_told_at_once() -> None:
    problems = problems_of({"ENVIRONMENT": "production"})
    assert all(any(name in problem for problem in problems) for name in (*settings.SECRETS, "DATABASE_URL"))


def test_problems_never_show_values() -> None:
    text = " ".join(problems_of({**SOUND, "DB_PASSWORD": "tooShort12", "SECRET_KEY": "placeholder-abcdefgh"}))
    assert "tooShort12" not in text
    assert "abcdefgh" not in text


@pytest.mark.parametrize("environment", ["development", "staging"])
def test_elsewhere_the_vector_store_alone_is_required(environment: str) -> None:
    assert settings.load({"ENVIRONMENT": environment, "OPENAI_VECTOR_STORE_ID": "vs_1"}).environment == environment
    (problem,) = problems_of({"ENVIRONMENT": environment})
    assert problem.startswith("OPENAI_VECTOR_STORE_ID")


def test_an_unknown_environment_is_not_taken_for_a_lenient_one() -> None:
    assert any("ENVIRONMENT" in problem for problem in problems_of({**SOUND, "ENVIRONMENT": "prod"}))


def test_defaults_are_the_contracts() -> None:
    loaded = settings.load({"OPENAI_VECTOR_STORE_ID": "vs_1"})
    limits = (loaded.rate_limit_per_minute, loaded.rate_limit_per_hour, loaded.rate_limit_per_day)
    assert limits == (60, 1_000, 10_000)
    assert loaded.sessions_db_path == "/app/data/conversations.db"
    assert (loaded.require_auth, loaded.enable_metrics, loaded.demo_users) == (False, False, {})


@pytest.mark.parametrize("written", ["shop.test, api.test", '["shop.test", "api.test"]'])
def test_health_checks_pass_whatever_hosts_are_allowed(written: str) -> None:
    hosts = settings.load({**SOUND, "ALLOWED_HOSTS": written}).allowed_hosts
    assert hosts == ("shop.test", "api.test", *settings.INTERNAL_HOSTS)


def test_without_allowed_hosts_the_public_name_is_allowed() -> None:
    hosts = settings.load({**SOUND, "PUBLIC_HOSTNAME": "erni-gruppe.ch"}).allowed_hosts
    assert hosts == ("erni-gruppe.ch", *settings.INTERNAL_HOSTS)


def test_demo_users_may_have_colons_in_their_passwords() -> None:
    loaded = settings.load({**SOUND, "DEMO_USERS": "ada:one:two, bob:three"})
    assert loaded.demo_users == {"ada": "one:two", "bob": "three"}


def test_a_printed_setting_shows_no_secret() -> None:
    loaded = replace(settings.load(SOUND), demo_users={"ada": "pa55-w0rd"})
    text = repr(loaded)
    assert not any(secret in text for secret in (*settings.secret_values(SOUND), "pa55-w0rd"))


def test_secret_values_are_found_decoded_and_encoded_inside_urls() -> None:
    found = settings.secret_values({"DATABASE_URL": "postgresql://app:a%2Fb-c@postgres/db", "DB_PASSWORD": "a/b-c"})
    assert set(found) == {"a%2Fb-c", "a/b-c"}
