"""Every module does what its documentation says: the documentation is compared with the argument spec."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from platform_builders import ROOT

MODULES = sorted((ROOT / "library").glob("*.py"))
SECRET_NAME = re.compile(r"password|secret|token|credential|passphrase|private|api_key", re.IGNORECASE)
COMPARED = ("type", "default", "choices", "required", "elements")


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"library_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def argument_spec(module: ModuleType) -> dict[str, Any]:
    spec: dict[str, Any] = module.ARGUMENT_SPEC if hasattr(module, "ARGUMENT_SPEC") else module.ARGUMENTS
    return spec


def comparable(option: dict[str, Any], below: str) -> dict[str, Any]:
    """An option with what it leaves out filled in as Ansible does; ``below`` is where its own options stand."""
    defaults = {"type": "str", "required": False, "default": None, "choices": None, "elements": None}
    facts = {key: option.get(key, defaults[key]) for key in COMPARED}
    return facts | {"options": {name: comparable(sub, below) for name, sub in (option.get(below) or {}).items()}}


def documented(module: ModuleType) -> dict[str, Any]:
    text: dict[str, Any] = yaml.safe_load(module.DOCUMENTATION)
    return text


def flattened(options: dict[str, Any], path: str = "") -> dict[str, dict[str, Any]]:
    found = {}
    for name, option in options.items():
        found[f"{path}{name}"] = option
        found |= flattened(option.get("options") or {}, f"{path}{name}.")
    return found


@pytest.fixture(params=MODULES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    chosen: Path = request.param
    return chosen


def test_there_are_modules_to_compare() -> None:
    assert len(MODULES) >= 10


def test_the_documentation_is_true_to_the_argument_spec(path: Path) -> None:
    module = load(path)
    told = {name: comparable(option, "suboptions") for name, option in documented(module).get("options", {}).items()}
    real = {name: comparable(option, "options") for name, option in argument_spec(module).items()}
    assert told == real


def test_a_module_is_documented_under_its_own_name_and_each_option_is_described(path: Path) -> None:
    documentation = documented(load(path))
    assert documentation["module"] == path.stem
    assert documentation["short_description"]
    assert documentation["author"]

    def undescribed(options: dict[str, Any]) -> list[str]:
        below = [name for option in options.values() for name in undescribed(option.get("suboptions") or {})]
        return [name for name, option in options.items() if not option.get("description")] + below

    assert undescribed(documentation.get("options", {})) == []


def test_the_examples_use_the_module_with_options_that_it_has(path: Path) -> None:
    module = load(path)
    tasks = yaml.safe_load(module.EXAMPLES)
    assert tasks
    for task in tasks:
        assert task["name"]
        given, spec = task[path.stem], argument_spec(module)
        assert set(given) <= set(spec)
        assert {name for name, option in spec.items() if option.get("required")} <= set(given)


def test_each_returned_value_says_what_it_is_and_when_it_comes(path: Path) -> None:
    returned = yaml.safe_load(load(path).RETURN)
    assert returned
    for value in returned.values():
        assert {"description", "type", "returned"} <= set(value)


def test_a_check_is_possible_with_every_module(path: Path) -> None:
    assert re.search(r"AnsibleModule\([^)]*supports_check_mode=True", path.read_text())


def test_what_looks_like_a_secret_is_kept_out_of_the_log_or_said_not_to_be_one(path: Path) -> None:
    options = flattened(argument_spec(load(path)))
    assert [
        name for name, o in options.items() if SECRET_NAME.search(name.rsplit(".", 1)[-1]) and "no_log" not in o
    ] == []


NO_SECRETS_THEMSELVES = {
    "host_preflight.certificate.key": "a path",
    "container_service.service.secret_files": "its contents are marked one by one",
    "vault_file.password_file": "a path",
    "secret_rotation.password_file": "a path",
}


def test_an_option_is_said_to_be_no_secret_only_where_it_is_none(path: Path) -> None:
    options = flattened(argument_spec(load(path)))
    declared = {f"{path.stem}.{name}" for name, option in options.items() if option.get("no_log") is False}
    assert declared <= set(NO_SECRETS_THEMSELVES)


@pytest.mark.parametrize(
    ("module", "option"),
    [
        ("application_database", "admin_password"),
        ("application_database", "logins.password"),
        ("container_service", "service.secret_environment"),
        ("container_service", "service.secret_files.content"),
        ("service_images", "credentials"),
    ],
)
def test_the_secrets_that_are_known_are_never_logged(module: str, option: str) -> None:
    assert flattened(argument_spec(load(ROOT / "library" / f"{module}.py")))[option]["no_log"] is True
