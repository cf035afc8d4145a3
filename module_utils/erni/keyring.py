"""The values that a secret has while it is replaced: the next one, the one in use, and the one before. Pure.

A rotation goes pending, set, tested, promoted, deployed, proven, previous revoked. What is between two steps stands
here and nowhere else, so that a run that was killed is gone on with: a pending value is stored before anything is told
it, servers take all values that are stored here, and a value leaves this place before they are told to forget it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from .errors import PlatformError

MAPPING = "erni_rotation"
# Which no vault holds as a secret of the environment: only its age is known there.
VAULT_PASSWORD = "vault_password"  # noqa: S105 - its name, not its value


@dataclass(frozen=True)
class Current:
    """About the value in use. ``since`` is a moment (ISO 8601, UTC), ``login`` the database login that has it,
    ``proven`` whether users were served with it."""

    since: str
    version: int = 1
    login: str = ""
    proven: bool = True


@dataclass(frozen=True)
class Pending:
    """The next value, stored before anything is told it."""

    value: str = field(repr=False)
    since: str
    login: str = ""


@dataclass(frozen=True)
class Previous:
    """The value before, which is taken until it is revoked; ``until`` is when that may be done without asking."""

    value: str = field(repr=False)
    version: int
    until: str
    login: str = ""


@dataclass(frozen=True)
class Keyring:
    """An environment's secrets by name, and what is known of their succession. ``revoked`` are names whose previous
    value stands here no longer, and may still be known to servers."""

    values: Mapping[str, str] = field(repr=False)
    now: Mapping[str, Current] = field(default_factory=dict)
    pending: Mapping[str, Pending] = field(default_factory=dict)
    previous: Mapping[str, Previous] = field(default_factory=dict)
    revoked: tuple[str, ...] = ()

    @classmethod
    def load(cls, values: Mapping[str, str], stored: Mapping[str, Any]) -> Keyring:
        """From ``erni_secrets`` and what :meth:`dump` made; an empty mapping is a vault that was never rotated."""
        kinds = {"now": Current, "pending": Pending, "previous": Previous}
        read = {
            kind: {name: made(**entry) for name, entry in (stored.get(kind) or {}).items()}
            for kind, made in kinds.items()
        }
        return cls(dict(values), **read, revoked=tuple(stored.get("revoked") or ()))

    def dump(self) -> dict[str, Any]:
        kinds = (("now", self.now), ("pending", self.pending), ("previous", self.previous))
        dumped: dict[str, Any] = {
            kind: {name: asdict(entry) for name, entry in entries.items()} for kind, entries in kinds
        }
        return dumped | {"revoked": list(self.revoked)}

    @property
    def unfinished(self) -> list[str]:
        """Names whose rotation began and has not been proven."""
        unproven = {name for name, entry in self.now.items() if not entry.proven}
        return sorted(unproven | self.pending.keys())


def created(keyring: Keyring, names: Collection[str], moment: datetime) -> Keyring:
    """Secrets that have just got their first value."""
    return replace(keyring, now={**keyring.now, **{name: Current(told(moment)) for name in names}})


def password_replaced(keyring: Keyring, moment: datetime) -> Keyring:
    """The password that opens the vault is another one."""
    version = keyring.now[VAULT_PASSWORD].version + 1 if VAULT_PASSWORD in keyring.now else 2
    return replace(keyring, now={**keyring.now, VAULT_PASSWORD: Current(told(moment), version)})


def begin(keyring: Keyring, fresh: Mapping[str, str], logins: Collection[str], moment: datetime) -> Keyring:
    """The fresh values are pending; a rotation that is under way is not begun anew.

    :param fresh: new values by name.
    :param logins: those of the database, which take turns; the first has the password where none is recorded.
    :raises PlatformError: while the value before the one in use still holds.
    """
    wanted = {name: value for name, value in fresh.items() if name not in keyring.unfinished}
    held = sorted(wanted.keys() & keyring.previous.keys())
    if held:
        until = min(keyring.previous[name].until for name in held)
        raise PlatformError(
            f"The values of {', '.join(held)} before the last rotation still hold",
            f"a third one would end them before their time, which is {until}",
            "Run make revoke-previous first (FORCE=1 before that time), or make rotate-emergency.",
        )
    pending = {name: Pending(value, told(moment), other_login(keyring, name, logins)) for name, value in wanted.items()}
    return replace(keyring, pending={**keyring.pending, **pending})


def other_login(keyring: Keyring, name: str, logins: Collection[str]) -> str:
    """That which does not serve; '' for a secret that no login has."""
    if name != "db_password":
        return ""
    order = list(logins)
    if len(order) < 2:
        raise PlatformError(
            "The database's password cannot be rotated",
            f"it takes two logins that take turns, and postgres_logins names {len(order)}",
            "Name a second one, and run make up.",
        )
    serving = (keyring.now[name].login if name in keyring.now else "") or order[0]
    return next(login for login in order if login != serving)


def promote(keyring: Keyring, first_login: str, moment: datetime, grace: int) -> Keyring:
    """What was pending is in use from now on, and what was in use is the previous value.

    :param first_login: that of the database which has the password where none is recorded.
    :param grace: seconds for which the previous value holds at least.
    """
    values, now, previous = dict(keyring.values), dict(keyring.now), dict(keyring.previous)
    until = told(moment + timedelta(seconds=grace))
    for name, pending in keyring.pending.items():
        before = now.get(name) or Current("")
        if name in values:
            login = before.login or (first_login if name == "db_password" else "")
            previous[name] = Previous(values[name], before.version, until, login)
        values[name] = pending.value
        now[name] = Current(told(moment), before.version + 1, pending.login, proven=False)
    return replace(keyring, values=values, now=now, pending={}, previous=previous)


def prove(keyring: Keyring) -> Keyring:
    """Users are served with the values in use."""
    return replace(keyring, now={name: replace(entry, proven=True) for name, entry in keyring.now.items()})


def revoke(keyring: Keyring, moment: datetime, *, force: bool, patient: bool = False) -> Keyring:
    """Previous values hold no longer: those whose time is over, or all.

    :param patient: whether those whose successors are unproven are kept, since a rotation of them goes on.
    :raises PlatformError: for them, otherwise: they are the way back.
    """
    unproven = sorted(keyring.previous.keys() & set(keyring.unfinished))
    if unproven and not patient:
        raise PlatformError(
            f"The previous values of {', '.join(unproven)} cannot be revoked",
            "their successors have not been proven to serve",
            "Run make rotate, which goes on where it was interrupted.",
        )
    kept = {
        name: entry
        for name, entry in keyring.previous.items()
        if name in unproven or (not force and entry.until > told(moment))
    }
    ended = keyring.previous.keys() - kept.keys()
    return replace(keyring, previous=kept, revoked=tuple(sorted({*keyring.revoked, *ended})))


def forget(keyring: Keyring) -> Keyring:
    """Servers know the revoked values no more."""
    return replace(keyring, revoked=())


def due(keyring: Keyring, moment: datetime) -> list[str]:
    """Names whose previous value's time is over."""
    return sorted(name for name, entry in keyring.previous.items() if entry.until <= told(moment))


def told(moment: datetime) -> str:
    """Such texts have the order of the moments."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parsed(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
