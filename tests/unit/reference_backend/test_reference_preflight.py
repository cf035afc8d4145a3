"""The preflight check: what it refuses, what it says, and that it agrees with the backend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import preflight_check
import pytest
from erni_backend import settings
from reference_environment import SCRIPTS, SOUND

SCRIPT = SCRIPTS / "preflight_check.py"
BAD_VALUES = (
    "",
    "  ",
    "changeme-changeme-changeme-changeme-x",
    "your-key-goes-here-and-must-be-replaced",
    "short",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "password",
    "<set me to something of your own making>",
)


def run(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], env=environ, capture_output=True, text=True, check=False
    )


def test_sound_secrets_pass() -> None:
    finished = run(SOUND)
    assert (finished.returncode, finished.stderr) == (0, "")


@pytest.mark.parametrize("name", settings.SECRETS)
def test_a_missing_variable_is_named_with_its_remedy(name: str) -> None:
    finished = run({key: value for key, value in SOUND.items() if key != name})
    (sentence,) = finished.stderr.splitlines()
    assert finished.returncode == 1
    assert sentence.startswith(f"{name} is missing; ")
    assert sentence.endswith(".")


def test_equal_keys_are_refused() -> None:
    finished = run({**SOUND, "JWT_SECRET_KEY": SOUND["SECRET_KEY"]})
    assert finished.returncode == 1
    assert "SECRET_KEY and JWT_SECRET_KEY are equal" in finished.stderr


def test_values_are_never_shown() -> None:
    finished = run({**SOUND, "SECRET_KEY": "placeholder-Zw8", "DB_PASSWORD": "tiny-Qx7"})
    assert finished.returncode == 1
    assert not any(part in finished.stdout + finished.stderr for part in ("Zw8", "Qx7", *settings.secret_values(SOUND)))


@pytest.mark.parametrize("value", BAD_VALUES)
@pytest.mark.parametrize("name", settings.SECRETS)
def test_preflight_and_backend_agree(name: str, value: str) -> None:
    assert bool(preflight_check.problem(name, value)) == bool(settings.weakness(name, value))


def test_preflight_and_backend_know_the_same_placeholders() -> None:
    for constant in (
        "MINIMUM_LENGTHS",
        "PLACEHOLDER_PARTS",
        "PLACEHOLDER_STARTS",
        "WELL_KNOWN",
        "FEWEST_DISTINCT_CHARACTERS",
    ):
        assert getattr(preflight_check, constant) == getattr(settings, constant)


def test_an_environment_file_replaces_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "backend.env"
    path.write_text("# secrets\n\n" + "".join(f"{name}={value}\n" for name, value in SOUND.items()), encoding="utf-8")
    assert run({}, "--env-file", str(path)).returncode == 0
    path.write_text("SECRET_KEY=x\n", encoding="utf-8")
    assert run(SOUND, "--env-file", str(path)).returncode == 1


def test_an_unreadable_environment_file_is_a_sentence(tmp_path: Path) -> None:
    finished = run(SOUND, "--env-file", str(tmp_path / "absent.env"))
    assert finished.returncode == 1
    assert "cannot be read" in finished.stderr
    assert "Traceback" not in finished.stderr
