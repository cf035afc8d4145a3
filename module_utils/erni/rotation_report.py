"""How old an environment's secrets are, as a table for people and as figures for alerts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from .keyring import Keyring, due, parsed
from .metrics import labelled
from .secrets import SecretSpec
from .text_table import text_table

DAY = 86400
GAUGES = {
    "erni_secret_age_seconds": "Since when a secret has its value; absent where nobody knows.",
    "erni_secret_max_age_seconds": "At what age it should be replaced.",
    "erni_secret_overdue": "Whether it is older than that, or of an age that nobody knows.",
    "erni_secret_previous_holds": "Whether the value before it still holds, too.",
}


@dataclass(frozen=True)
class Age:
    """Of one secret. ``seconds`` is None where nobody knows, ``days_left`` how long it may stay."""

    name: str
    version: int
    seconds: float | None
    days_left: float
    remark: str

    @property
    def overdue(self) -> bool:
        return self.days_left < 0

    def due_within(self, days: int) -> bool:
        return 0 <= self.days_left <= days

    def as_row(self, max_days: int) -> dict[str, str]:
        days = "unknown" if self.seconds is None else f"{self.seconds / DAY:.0f} days"
        state = "overdue" if self.overdue else "in time"
        return {
            "secret": self.name,
            "version": str(self.version),
            "age": days,
            "policy": f"{max_days} days",
            "state": "; ".join(part for part in (state, self.remark) if part),
        }


def ages(specs: Iterable[SecretSpec], keyring: Keyring, max_days: int, moment: datetime) -> list[Age]:
    """Of the secrets that ``make rotate`` replaces, and of none that the environment does not have."""
    found = []
    for spec in specs:
        if not spec.rotation or spec.name not in keyring.values:
            continue
        now = keyring.now.get(spec.name)
        seconds = (moment - parsed(now.since)).total_seconds() if now and now.since else None
        left = -1.0 if seconds is None else max_days - seconds / DAY
        found.append(Age(spec.name, now.version if now else 1, seconds, left, _remark(spec.name, keyring, moment)))
    return found


def _remark(name: str, keyring: Keyring, moment: datetime) -> str:
    if name in keyring.unfinished:
        return "a rotation was interrupted: make rotate goes on"
    if name not in keyring.previous:
        return ""
    until = keyring.previous[name].until
    if name in due(keyring, moment):
        return f"the previous value was to be revoked at {until}: make revoke-previous"
    return f"the previous value holds until {until}"


def table(found: Iterable[Age], max_days: int) -> str:
    return text_table([age.as_row(max_days) for age in found])


def figures(found: Sequence[Age], keyring: Keyring, environment: str, max_days: int) -> str:
    """Prometheus' text format."""
    text = ""
    for gauge, meaning in GAUGES.items():
        lines = ""
        for age in found:
            value = _figure(gauge, age, keyring, max_days)
            if value is not None:
                lines += f"{gauge}{{{labelled({'environment': environment, 'secret': age.name})}}} {value:.1f}\n"
        if lines:
            text += f"# HELP {gauge} {meaning}\n# TYPE {gauge} gauge\n{lines}"
    return text


def _figure(gauge: str, age: Age, keyring: Keyring, max_days: int) -> float | None:
    match gauge:
        case "erni_secret_age_seconds":
            return age.seconds
        case "erni_secret_max_age_seconds":
            return float(max_days * DAY)
        case "erni_secret_overdue":
            return float(age.overdue)
        case _:
            return float(age.name in keyring.previous)
