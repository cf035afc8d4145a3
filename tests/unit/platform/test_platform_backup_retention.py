"""Which backup sets may go."""

from __future__ import annotations

import calendar
import time

import pytest
from ansible.module_utils.erni.backup_retention import DAY, Kept, RetentionRules, reasons, to_remove

NOW = float(calendar.timegm(time.strptime("2026-06-30 02:00", "%Y-%m-%d %H:%M")))
NOTHING = RetentionRules(days=0, daily=0, weekly=0, monthly=0, minimum=0)


def daily(count: int, now: float = NOW) -> list[Kept]:
    """A set a night, the newest first."""
    return [Kept(f"d{age}", now - age * DAY) for age in range(count)]


def left(sets: list[Kept], rules: RetentionRules) -> list[str]:
    gone = {one.id for one in to_remove(sets, rules)}
    return [one.id for one in sets if one.id not in gone]


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        (RetentionRules(30, 0, 0, 0, 0), [f"d{age}" for age in range(30)]),
        (RetentionRules(1, 0, 0, 0, 3), ["d0", "d1", "d2"]),
        (RetentionRules(0, 4, 0, 0, 0), ["d0", "d1", "d2", "d3"]),
        # 30 June 2026 is a Tuesday: this week's newest set, and those of the Sundays before.
        (RetentionRules(0, 0, 3, 0, 0), ["d0", "d2", "d9"]),
        (RetentionRules(0, 0, 0, 3, 0), ["d0", "d30", "d61"]),
        (NOTHING, ["d0"]),
    ],
)
def test_each_rule_keeps_its_sets(rules: RetentionRules, kept: list[str]) -> None:
    assert left(daily(100), rules) == kept


def test_rules_add_up() -> None:
    assert left(daily(100), RetentionRules(3, 0, 2, 2, 0)) == ["d0", "d1", "d2", "d30"]


def test_nothing_goes_because_nothing_was_made() -> None:
    """Thirty nights of failed backups must not leave an empty folder."""
    sets = daily(30)
    assert to_remove(sets, RetentionRules(days=30, weekly=0, monthly=0, minimum=0)) == []
    assert left([Kept("old", NOW - 400 * DAY)], NOTHING) == ["old"]


def test_the_newest_verified_and_the_newest_drilled_set_never_go() -> None:
    sets = [
        Kept("unverified", NOW, verified=False),
        Kept("verified", NOW - DAY),
        Kept("older", NOW - 2 * DAY),
        Kept("drilled", NOW - 9 * DAY, drilled=True),
        Kept("drilled before", NOW - 20 * DAY, drilled=True),
    ]
    assert left(sets, NOTHING) == ["unverified", "verified", "drilled"]
    why = reasons(sets, NOTHING)
    assert why["verified"] == "the newest verified one"
    assert why["drilled"] == "the newest drilled one"


def test_what_was_not_verified_stands_for_no_day_week_or_month() -> None:
    sets = [Kept("bad", NOW, verified=False), Kept("good", NOW - 3600), Kept("older", NOW - DAY)]
    assert left(sets, RetentionRules(0, 1, 0, 0, 0)) == ["bad", "good"]


def test_what_goes_goes_oldest_first() -> None:
    assert [one.id for one in to_remove(daily(5), RetentionRules(2, 0, 0, 0, 0))] == ["d4", "d3", "d2"]


def test_without_sets_there_is_nothing_to_do() -> None:
    assert to_remove([], RetentionRules()) == []
