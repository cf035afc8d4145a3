"""What cannot be meant is refused in a sentence, before anything is touched."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from e2e_platform import ENV, Platform, Run

BUSY_PORT = 18090


@dataclass(frozen=True)
class Case:
    """``variables`` are given with -e; ``sentences`` must all be said."""

    name: str
    variables: dict[str, Any]
    sentences: tuple[str, ...]


CASES = [
    Case("a number in words", {"postgres_max_connections": "many"}, ("postgres_max_connections", "malformed", "many")),
    Case("an unknown source", {"nginx_certificate_source": "foo"}, ("nginx_certificate_source", "malformed", "acme")),
    Case(
        "a small host and a wrong address, told together",
        {
            "platform_min_disk_gb": 900000,
            "platform_min_memory_mb": 90000000,
            "platform_public_hostname": "https://erni.example",
            "backend_cors_origins": ["https://erni.example"],
        },
        (
            *("of disk are free", "900000 GiB are needed", "of memory", "90000000 MiB are needed"),
            *("that is no host name", "does not hold the public URL"),
        ),
    ),
    Case(
        "what was to be filled in", {"platform_public_hostname": "FILL_IN"}, ("platform_public_hostname is not filled",)
    ),
    Case(
        "an image that does not exist",
        {"backend_image": f"nowhere.invalid/erni/backend@sha256:{'0' * 64}"},
        ("The image nowhere.invalid/erni/backend@sha256:0000", "cannot be had", "Check the reference"),
    ),
    Case("a missing build context", {"platform_application_root": "no_such_application"}, ("no_such_application",)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_a_bad_variable_is_refused_before_anything_is_touched(running: Platform, case: Case) -> None:
    with untouched(running):
        run = running.make("up", args=case.variables)

    assert_refused(run, case.sentences)


def test_a_port_in_use_is_refused_and_its_holder_named(running: Platform) -> None:
    with socket.create_server(("127.0.0.1", BUSY_PORT)), untouched(running):
        run = running.make("up", args={"nginx_http_port": BUSY_PORT})

    assert_refused(run, (f"Port {BUSY_PORT} is in use", "by python", "(process "))


BAD_SECRETS = {
    "db_password": ("short", "it has 5 characters, and needs 16"),
    "openai_api_key": ("CHANGE_ME", "it is still a placeholder"),
    "redis_password": ("ab" * 20, "it repeats too few different characters"),
}


def test_bad_secrets_are_refused_together_and_without_showing_them(running: Platform) -> None:
    secrets = running.secrets() | {name: value for name, (value, _) in BAD_SECRETS.items()}
    secrets["jwt_secret_key"] = secrets["secret_key"]
    running.write_environment("e2e-weak", secrets=secrets)

    with untouched(running):
        run = running.make("up", env="e2e-weak")

    assert_refused(run, tuple(f"The secret {name}" for name in BAD_SECRETS))
    assert_refused(run, tuple(why for _, why in BAD_SECRETS.values()))
    assert_refused(run, ("it equals secret_key",))
    assert not [value for value in secrets.values() if len(value) > 10 and value in run.output]


@pytest.mark.parametrize("verb", ["up", "status", "destroy"])
def test_an_unknown_environment_is_refused_and_the_known_ones_named(running: Platform, verb: str) -> None:
    with untouched(running):
        run = running.make(verb, env="produktion")

    assert_refused(run, ("There is no environment 'produktion'", ENV))


def test_a_missing_vault_password_is_refused(running: Platform) -> None:
    folder = running.write_environment("e2e-keyless", secrets=running.secrets())
    (folder / ".vault_password").unlink()

    with untouched(running):
        run = running.make("up", env="e2e-keyless")

    assert_refused(run, ("The secrets of 'e2e-keyless' cannot be read", "is missing or not readable"))


def test_a_wrong_vault_password_is_refused(running: Platform) -> None:
    folder = running.write_environment("e2e-wrong-key", secrets=running.secrets())
    (folder / ".vault_password").write_text("not this one\n")

    with untouched(running):
        run = running.make("up", env="e2e-wrong-key")

    assert_refused(run, ("The secrets of 'e2e-wrong-key' cannot be read", "does not open"))


def test_an_unreachable_host_is_refused(running: Platform) -> None:
    folder = running.write_environment("e2e-far", secrets=running.secrets())
    hosts = yaml.safe_load((folder / "hosts.yml").read_text())
    hosts["all"]["hosts"]["localhost"] = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts))

    with untouched(running):
        run = running.make("up", env="e2e-far")

    assert_refused(run, ("localhost cannot be reached", "Check its address, user and key in the inventory"))


@pytest.mark.parametrize("verb", ["restart", "stop", "logs"])
def test_an_unknown_service_is_refused(running: Platform, verb: str) -> None:
    with untouched(running):
        run = running.make(verb, service="databse")

    assert_refused(run, ("databse", "postgres"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"check": "perhaps"}, "CHECK=perhaps is neither yes nor no"),
        ({"tail": "many"}, "TAIL=many is not a whole number"),
        ({"format": "xml"}, "FORMAT=xml is unknown"),
        ({"args": "-e 'open"}, "ARGS cannot be split into words"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_bad_option_is_refused(running: Platform, options: dict[str, Any], sentence: str) -> None:
    with untouched(running):
        run = running.make("status", **options)

    assert_refused(run, (sentence,))


@contextmanager
def untouched(platform: Platform) -> Iterator[None]:
    before = platform.footprint()
    yield
    assert platform.footprint() == before


def assert_refused(run: Run, sentences: tuple[str, ...]) -> None:
    for sentence in sentences:
        run.refused(sentence)
