from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from small_project import ROOT

VERBS = re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


def make(folder: Path, *arguments: str) -> str:
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The Makefile, with tools that print what reaches them."""
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    for program in ("tools/bootstrap", ".venv/bin/python", "tools/test.sh"):
        path = tmp_path / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            '#!/bin/sh\necho "$0 $*"\nprintf "[%s]" "$ERNI_ENV" "$ERNI_GREP" "$ERNI_QUERY"\n'
            'printf "[%s]" "$ERNI_RELEASE" "$ERNI_TO" "$ERNI_REASON" "$ERNI_STATE" "$ERNI_RESTORE_DB"\n'
        )
        path.chmod(0o755)
    return tmp_path


def test_help_is_what_make_alone_prints_and_lists_each_verb() -> None:
    printed = make(ROOT)
    assert printed == make(ROOT, "help")
    assert [line.split()[0] for line in printed.splitlines() if re.match(r"  [a-z0-9-]+  ", line)] == VERBS


@pytest.mark.parametrize(
    "verb",
    [
        *("up", "preflight", "deploy", "rollback", "releases", "maintenance"),
        *("status", "psql", "redis-cli", "destroy", "secrets"),
    ],
)
def test_a_verb_goes_to_the_wrapper(folder: Path, verb: str) -> None:
    assert f"python tools/run.py {verb}\n" in make(folder, verb)


def test_help_has_a_section_for_releases() -> None:
    _, found, rest = make(ROOT).partition("\nReleases ")
    assert found
    section = rest.partition("\n\n")[0].splitlines()[1:]
    assert [line.split()[0] for line in section] == ["deploy", "rollback", "releases", "maintenance"]


@pytest.mark.parametrize(
    ("target", "part"), [("test", "all"), ("test-unit", "unit"), ("test-e2e", "e2e"), ("bench", "bench")]
)
def test_a_test_goes_to_its_part(folder: Path, target: str, part: str) -> None:
    assert f"tools/test.sh {part}\n" in make(folder, target)


@pytest.mark.parametrize(
    "value", ["plain", "two words", "it's", '"quoted"', "$HOME and `id`", "a;b|c&d", "back\\slash", "#x"]
)
def test_values_reach_the_wrapper_unharmed(folder: Path, value: str) -> None:
    printed = make(folder, "logs", f"GREP={value.replace('$', '$$')}", f"QUERY={value}")
    assert f"[local][{value.replace('$', '$$')}][{value}]" in printed


def test_what_is_said_about_a_release_reaches_the_wrapper(folder: Path) -> None:
    words = ["RELEASE=backend=a:1,frontend=b:1", "TO=0123456789ab", "REASON=it's $$5", "STATE=on", "RESTORE_DB=1"]
    printed = make(folder, "deploy", *words)
    assert printed.endswith("[backend=a:1,frontend=b:1][0123456789ab][it's $$5][on][1]")
