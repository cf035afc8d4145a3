"""How old an environment's secrets are, as a table for people and as figures for alerts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .keyring import VAULT_PASSWORD, Keyring, due, parsed
from .metrics import labelled
from .secrets import SecretSpec
from .text_table import text_table

DAY = 86400
CERTIFICATE = "certificate"  # among the names that make rotate takes
GAUGES = {
    "erni_secret_age_seconds": "Since when a secret has its value; absent where nobody knows.",
    "erni_secret_max_age_seconds": "At what age it should be replaced.",
    "erni_secret_overdue": "Whether it is older than that, or of an age that nobody knows.",
    "erni_secret_previous_holds": "Whether the value before it still holds, too.",
}


@dataclass(frozen=True)
class Age:
    """Of one secret, or of a host's certificate. ``seconds`` is None where nobody knows, ``days_left`` how long it may
    stay, of the ``policy`` days that it may in all."""

    name: str
    version: str
    seconds: float | None
    policy: float
    days_left: float
    remark: str = ""
    host: str = ""

    @property
    def overdue(self) -> bool:
        return self.days_left < 0

    def due_within(self, days: int) -> bool:
        return 0 <= self.days_left <= days

    def as_row(self) -> dict[str, str]:
        days = "unknown" if self.seconds is None else f"{self.seconds / DAY:.0f} days"
        state = "overdue" if self.overdue else "in time"
        return {
            "secret": f"{self.name} of {self.host}" if self.host else self.name,
            "version": self.version,
            "age": days,
            "policy": f"{self.policy:.0f} days",
            "state": "; ".join(part for part in (state, self.remark) if part),
        }


def ages(specs: Iterable[SecretSpec], keyring: Keyring, max_days: int, moment: datetime) -> list[Age]:
    """Of the secrets that ``make rotate`` replaces, and of none that the environment does not have."""
    names = [spec.name for spec in specs if spec.rotation and spec.name in keyring.values]
    return [_age(name, keyring, max_days, moment) for name in names]


def age_of_vault_password(keyring: Keyring, max_days: int, moment: datetime) -> Age:
    """Its age is stored in the vault that it opens."""
    return _age(VAULT_PASSWORD, keyring, max_days, moment)


def _age(name: str, keyring: Keyring, max_days: int, moment: datetime) -> Age:
    now = keyring.now.get(name)
    seconds = (moment - parsed(now.since)).total_seconds() if now and now.since else None
    left = -1.0 if seconds is None else max_days - seconds / DAY
    return Age(name, str(now.version if now else 1), seconds, float(max_days), left, _remark(name, keyring, moment))


def certificate_age(seen: Mapping[str, Any], moment: datetime) -> Age:
    """Of a host's certificate.

    :param seen: ``host``, ``serial`` (hexadecimal), ``not_before`` and ``not_after`` (ISO 8601, UTC), and how many days
        before that it is to be replaced (``renew_days``).
    """
    begins, ends = (datetime.fromisoformat(seen[key]).replace(tzinfo=UTC) for key in ("not_before", "not_after"))
    policy = (ends - begins).total_seconds() / DAY - seen["renew_days"]
    age = (moment - begins).total_seconds()
    remark = f"ends on {ends:%Y-%m-%d}"
    return Age(CERTIFICATE, seen["serial"][-8:], age, policy, policy - age / DAY, remark, seen["host"])


def remedy(found: Iterable[Age]) -> str:
    """What to run for those that are overdue; nothing where none is."""
    names = list(dict.fromkeys(age.name for age in found if age.overdue))
    together = [",".join(name for name in names if name != VAULT_PASSWORD)]
    alone = [name for name in names if name == VAULT_PASSWORD]
    runs = [f"make rotate SECRETS={those}" for those in together + alone if those]
    return f"Run {' and '.join(runs)}." if runs else ""


def _remark(name: str, keyring: Keyring, moment: datetime) -> str:
    if name in keyring.unfinished:
        return "a rotation was interrupted: make rotate goes on"
    if name in keyring.revoked:
        return "its revocation was interrupted: make revoke-previous goes on"
    if name not in keyring.previous:
        return ""
    until = keyring.previous[name].until
    if name in due(keyring, moment):
        return f"the previous value was to be revoked at {until}: make revoke-previous"
    return f"the previous value holds until {until}"


def table(found: Iterable[Age]) -> str:
    return text_table([age.as_row() for age in found])


def figures(found: Sequence[Age], keyring: Keyring, environment: str) -> str:
    """Prometheus' text format."""
    text = ""
    for gauge, meaning in GAUGES.items():
        lines = ""
        for age in found:
            value = _figure(gauge, age, keyring)
            if value is not None:
                labels = {"environment": environment, "secret": age.name} | ({"host": age.host} if age.host else {})
                lines += f"{gauge}{{{labelled(labels)}}} {value:.1f}\n"
        if lines:
            text += f"# HELP {gauge} {meaning}\n# TYPE {gauge} gauge\n{lines}"
    return text


def _figure(gauge: str, age: Age, keyring: Keyring) -> float | None:
    match gauge:
        case "erni_secret_age_seconds":
            return age.seconds
        case "erni_secret_max_age_seconds":
            return age.policy * DAY
        case "erni_secret_overdue":
            return float(age.overdue)
        case _:
            return float(age.name in keyring.previous)
