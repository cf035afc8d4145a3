"""One verb, one playbook, one name: whoever knows one role knows all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from platform_builders import ROOT

VERBS = ("preflight", "up", "verify", "status", "start", "stop", "restart", "logs", "destroy")
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
EXCUSE = "Nothing to do: "


def document(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text()) or {}
    return loaded


def specs(role: Path) -> dict[str, Any]:
    found: dict[str, Any] = document(role / "meta" / "argument_specs.yml")["argument_specs"]
    return found


def defaults(role: Path) -> dict[str, Any]:
    path = role / "defaults" / "main.yml"
    return document(path) if path.is_file() else {}


def shared_variables() -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for path in sorted((ROOT / "group_vars" / "all").glob("*.yml")):
        merged |= document(path)
    return merged


def makefile_operations() -> list[str]:
    line = re.search(r"^OPERATIONS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert line is not None
    return line[1].split()


@pytest.fixture(params=ROLES, ids=lambda path: path.name)
def role(request: pytest.FixtureRequest) -> Path:
    chosen: Path = request.param
    return chosen


def test_there_are_roles_and_verbs_to_compare() -> None:
    assert len(ROLES) >= 7
    assert set(VERBS) <= set(makefile_operations())


@pytest.mark.parametrize("verb", makefile_operations())
def test_each_verb_of_make_is_a_playbook_of_that_name(verb: str) -> None:
    assert (ROOT / "playbooks" / f"{verb}.yml").is_file()


@pytest.mark.parametrize("verb", VERBS)
def test_each_role_does_each_verb_or_says_why_there_is_nothing_to_do(role: Path, verb: str) -> None:
    entry = specs(role).get(verb)
    assert entry is not None, "a verb is always an entry point of the specs"
    reason = entry["short_description"]
    has_tasks = (role / "tasks" / f"{verb}.yml").is_file()
    assert has_tasks is not reason.startswith(EXCUSE)
    assert len(reason.removeprefix(EXCUSE)) > 10, "a reason is a sentence"


def test_what_is_specified_beyond_the_verbs_exists_as_tasks(role: Path) -> None:
    others = [name for name in specs(role) if name not in VERBS]
    assert [name for name in others if not (role / "tasks" / f"{name}.yml").is_file()] == []


def test_each_default_of_a_role_is_an_option_of_its_spec(role: Path) -> None:
    options = specs(role)["up"].get("options", {})
    assert [name for name in defaults(role) if not name.endswith("_service") and name not in options] == []


def test_each_option_of_a_role_has_a_default(role: Path) -> None:
    known = defaults(role) | shared_variables()
    assert [name for name in specs(role)["up"].get("options", {}) if name not in known] == []


def test_each_option_is_typed_and_described_and_a_list_says_of_what(role: Path) -> None:
    for name, option in specs(role)["up"].get("options", {}).items():
        assert option.get("description"), name
        assert option.get("type") in {"str", "int", "float", "bool", "list", "dict", "path", "raw"}, name
        assert option.get("type") != "list" or option.get("elements"), name


def test_a_roles_variables_carry_its_name(role: Path) -> None:
    path = role / "vars" / "main.yml"
    internal = document(path) if path.is_file() else {}
    # platform_image_refs and the like are facts of the host that the platform role tells all others.
    assert [name for name in defaults(role) if not name.startswith(f"{role.name}_")] == []
    assert [name for name in internal if not name.startswith(f"__{role.name}_")] == []


def test_a_playbook_asks_no_role_for_a_verb_that_it_does_not_have() -> None:
    asked = set()
    for playbook in sorted((ROOT / "playbooks").rglob("*.yml")):
        for name, tasks_from in re.findall(r"name: (\w+), tasks_from: (\w+)", playbook.read_text()):
            asked.add((name, tasks_from))
    assert asked
    assert [
        pair for pair in sorted(asked) if not (ROOT / "roles" / pair[0] / "tasks" / f"{pair[1]}.yml").is_file()
    ] == []
