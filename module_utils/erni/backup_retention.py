"""Which sets may go: never the newest verified one, nor the newest that was drilled, nor below a minimum. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, fields

from .backup_set import Manifest

DAY = 86_400.0


@dataclass(frozen=True)
class Kept:
    """A set as retention sees it: when it began (seconds since the epoch), whether it was verified and drilled."""

    id: str
    began: float
    verified: bool = True
    drilled: bool = False


def kept(manifest: Manifest, *, drilled: bool) -> Kept:
    """What a restore was about to replace stays for its days only: it is never the newest that has to stay."""
    return Kept(manifest.id, manifest.began, manifest.verified > 0 and not manifest.safety, drilled)


@dataclass(frozen=True)
class RetentionRules:
    """Everything for ``days``; beyond, the last set of each of so many days, weeks and months; ``minimum`` at least.

    A tier looks back from the newest set, not from now: sets do not go because none were made.
    """

    days: int = 30
    daily: int = 0
    weekly: int = 8
    monthly: int = 12
    minimum: int = 7


# As a module's option takes them.
RETENTION_OPTIONS = {rule.name: {"type": "int", "default": rule.default} for rule in fields(RetentionRules)}


def to_remove(sets: Iterable[Kept], rules: RetentionRules) -> list[Kept]:
    """Those that no rule keeps, oldest first."""
    ordered = sorted(sets, key=lambda one: one.began)
    kept = reasons(ordered, rules)
    return [one for one in ordered if one.id not in kept]


def reasons(sets: Iterable[Kept], rules: RetentionRules) -> dict[str, str]:
    """Why each set stays, by its id; a set without a reason goes."""
    ordered = sorted(sets, key=lambda one: one.began, reverse=True)
    if not ordered:
        return {}
    why: dict[str, str] = {}
    now = ordered[0].began
    for one in ordered:
        if now - one.began < rules.days * DAY:
            why.setdefault(one.id, f"not older than {rules.days} days")
    for name, count, form in (
        ("day", rules.daily, "%Y-%j"),
        ("week", rules.weekly, "%G-%V"),
        ("month", rules.monthly, "%Y-%m"),
    ):
        for one in _last_of_each(ordered, form)[:count]:
            why.setdefault(one.id, f"the last one of its {name}")
    for one in [one for one in ordered if one.verified][:1]:
        why.setdefault(one.id, "the newest verified one")
    for one in [one for one in ordered if one.drilled][:1]:
        why.setdefault(one.id, "the newest drilled one")
    for one in ordered[: max(rules.minimum, 1)]:
        why.setdefault(one.id, f"one of the last {rules.minimum}")
    return why


def _last_of_each(newest_first: list[Kept], form: str) -> list[Kept]:
    """The newest set of each period (UTC)."""
    found: dict[str, Kept] = {}
    for one in newest_first:
        if one.verified:
            found.setdefault(time.strftime(form, time.gmtime(one.began)), one)
    return list(found.values())
