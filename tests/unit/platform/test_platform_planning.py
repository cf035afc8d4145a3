"""What every plan is made of."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.findings import Finding, as_dicts
from ansible.module_utils.erni.planning import Difference, Plan, compare


def test_an_empty_plan_changes_nothing_and_shows_nothing() -> None:
    plan = Plan()
    assert not plan.changed
    assert plan.sentences == []
    assert plan.diff("x") == {"before_header": "x", "after_header": "x", "before": {}, "after": {}}


def test_actions_keep_their_order_when_plans_are_joined() -> None:
    first, second = Plan(), Plan()
    first.add("stop", "a", "a is stopped")
    second.add("start", "b", "b is started")
    second.differences.append(Difference("b", "down", "up"))
    first.extend(second)
    assert first.kinds == ["stop", "start"]
    assert first.sentences == ["a is stopped", "b is started"]
    assert first.diff("x")["after"] == {"b": "up"}


@pytest.mark.parametrize(
    ("current", "desired", "shown"),
    [
        ("old", "new", ("(secret) before", "(secret) after")),
        (None, "new", (None, "(secret) after")),
        ("old", None, ("(secret) before", None)),
    ],
)
def test_of_a_secret_only_its_coming_and_going_is_shown(
    current: str | None, desired: str | None, shown: tuple[str | None, str | None]
) -> None:
    assert Difference("password", current, desired, secret=True).shown() == shown


def test_a_diff_holds_plain_values_and_no_secret_ones() -> None:
    plan = Plan(
        differences=[Difference("port", 80, 81), Difference("token", "hunter2-old", "hunter2-new", secret=True)]
    )
    diff = plan.diff("erni-web")
    assert (diff["before"]["port"], diff["after"]["port"]) == (80, 81)
    assert "hunter2" not in json.dumps(diff)
    assert diff["before"]["token"] != diff["after"]["token"], "that it differs must still be seen"


@pytest.mark.parametrize(
    ("desired", "observed", "names"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, []),
        ({"a": 1, "b": 2}, {"b": 3, "a": 1}, ["b"]),
        ({"a": 1}, {}, ["a"]),
        ({}, {"a": 1}, ["a"]),
        ({"z": 1, "a": 1, "m": 1}, {}, ["a", "m", "z"]),
        ({"a": None}, {}, []),
    ],
)
def test_compare_names_what_differs_in_a_stable_order(
    desired: dict[str, object], observed: dict[str, object], names: list[str]
) -> None:
    assert [difference.name for difference in compare(desired, observed)] == names


def test_compare_marks_the_secret_ones_and_only_them() -> None:
    marked = {d.name: d.secret for d in compare({"a": 1, "b": 1}, {}, secret_names=["b"])}
    assert marked == {"a": False, "b": True}


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (("It failed", "no disk", "Free some."), "It failed: no disk. Free some."),
        (("It failed.", "no disk.", ""), "It failed: no disk."),
        (("It failed", "", "Run again."), "It failed. Run again."),
        (("It failed", "", ""), "It failed."),
    ],
)
def test_an_error_is_a_sentence_with_its_reason_and_remedy(parts: tuple[str, str, str], sentence: str) -> None:
    error = PlatformError(*parts)
    assert str(error) == sentence
    assert (error.what, error.why, error.remedy) == parts


def test_a_finding_is_an_error_unless_it_says_otherwise() -> None:
    told = as_dicts([Finding("a", "b", "c", "warning"), Finding("d", "e", "f")])
    assert told[0] == {"what": "a", "why": "b", "remedy": "c", "severity": "warning"}
    assert told[1]["severity"] == "error"
