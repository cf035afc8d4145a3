from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.module_utils.erni.errors import PlatformError

from erni_cli.options import Options, as_unsafe_yaml, from_environment


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Options()),
        ({"ERNI_ENV": "", "ERNI_TAIL": "", "ERNI_CHECK": ""}, Options()),
        ({"ERNI_ENV": "production", "ERNI_CONFIRM": "production"}, Options(env="production", confirm="production")),
        ({"ERNI_TAIL": "20", "ERNI_FOLLOW": "yes"}, Options(tail=20, follow=True)),
        ({"ERNI_VOLUMES": "1", "ERNI_CHECK": "true", "ERNI_DIFF": "0"}, Options(volumes=True, check=True)),
        ({"ERNI_ARGS": "--limit 'a b' -t x"}, Options(arguments=("--limit", "a b", "-t", "x"))),
        ({"ERNI_LOCK_WAIT": "0", "ERNI_V": "3"}, Options(lock_wait=0, verbosity=3)),
        ({"ERNI_FORMAT": "json"}, Options(format="json")),
    ],
)
def test_what_is_typed_is_understood(variables: dict[str, str], expected: Options) -> None:
    assert from_environment(variables) == expected


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ERNI_CHECK": "maybe"}, "CHECK=maybe is neither yes nor no"),
        ({"ERNI_TAIL": "-1"}, "TAIL=-1 is not a whole number"),
        ({"ERNI_TAIL": "ten"}, "TAIL=ten is not a whole number"),
        ({"ERNI_V": "9"}, "V=9 is not a whole number up to 6"),
        ({"ERNI_FORMAT": "xml"}, "FORMAT=xml is unknown. Choose text or json."),
        ({"ERNI_ARGS": "--limit 'a"}, "ARGS cannot be split into words: No closing quotation"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(variables: dict[str, str], said: str) -> None:
    with pytest.raises(PlatformError, match=f"^{said}"):
        from_environment(variables)


def test_only_what_was_given_becomes_a_variable() -> None:
    assert Options().extra_vars() == {}
    assert Options(service="backend", tail=0, volumes=True).extra_vars() == {
        "erni_service": "backend",
        "erni_tail": 0,
        "erni_volumes": True,
    }


def test_flags_come_in_ansibles_words() -> None:
    options = Options(check=True, diff=True, verbosity=2, arguments=("--limit", "a b"))
    assert options.ansible_flags() == ["--check", "--diff", "-vv", "--limit", "a b"]


@pytest.mark.parametrize(
    "value", ["a 'b' \"c\" $d `e`", "{{ not_a_template }}", "line\nbreak", "ü € 😀", "\\", "!x: [", 3, True]
)
def test_values_survive_the_way_to_ansible(value: Any) -> None:
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))
    assert yaml.load(as_unsafe_yaml({"x": value, "y": "z"}), Loader=Loader) == {"x": value, "y": "z"}  # noqa: S506 (a SafeLoader)
