"""What a PostgreSQL archive (pgBackRest's) holds, what is due, and which moments it can bring back. Pure."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .errors import PlatformError
from .excerpts import one_line
from .planning import Plan

FULL, DIFFERENTIAL = "full", "diff"
DAY = 86_400.0
# What runs every day at the same time is a little early now and then; it must not wait for another day then.
EARLY_SECONDS = 3600.0
NO_STANZA, UNREADABLE = 1, 99  # pgBackRest's status codes "missing stanza path" and "other", which is an error

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d{1,6})?) ?(Z|[+-]\d\d:?(?:\d\d)?)", re.ASCII)
_COUNT = re.compile(r"(missing|checksum invalid|size invalid|other): (\d+)")
_LAST_COMMIT = re.compile(r"last completed transaction was at log time (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?\+00)")


@dataclass(frozen=True)
class BaseBackup:
    """``began`` and ``ended`` in seconds since the epoch, whole ones; ``size`` in bytes, as it will be restored."""

    label: str
    kind: str
    began: int
    ended: int
    size: int
    damaged: bool = False


@dataclass(frozen=True)
class ArchiveState:
    """``system`` is the identifier of the cluster that is archived, '' where there is no archive yet."""

    exists: bool
    system: str = ""
    backups: tuple[BaseBackup, ...] = ()


def parse_info(text: str, stanza: str) -> ArchiveState:
    """What ``pgbackrest info --output=json`` tells of one stanza (pgBackRest's command reference, info).

    :raises PlatformError: when it cannot read its repository.
    """
    try:
        # Not strict: of a file that it cannot decrypt it tells the bytes as they are.
        stanzas = json.loads(text, strict=False)
        told: dict[str, Any] = next((one for one in stanzas if one["name"] == stanza), {})
        code = int(told.get("status", {}).get("code", NO_STANZA))
        if code == NO_STANZA:
            return ArchiveState(exists=False)
        if code == UNREADABLE or not told["db"]:
            raise _unreadable(told)
        databases = told["db"]
        backups = tuple(sorted((_backup(one) for one in told["backup"]), key=lambda one: one.began))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlatformError("pgbackrest info says nothing that can be read", first_line(text)) from error
    return ArchiveState(exists=True, system=str(databases[-1]["system-id"]), backups=backups)


def _unreadable(told: dict[str, Any]) -> PlatformError:
    messages = [str(one["status"].get("message", "")) for one in (*told.get("repo", []), told) if one.get("status")]
    return PlatformError(
        "The archive cannot be read",
        first_line("\n".join(messages)),
        "See whether the passphrase (archive_passphrase in the vault) is the one that it was made with, and whether "
        "the place that postgres_archive names can be reached.",
    )


def first_line(text: str) -> str:
    """Its first line, as far as it can be shown."""
    return one_line(text.strip().partition("\n")[0])[:200] or "nothing"


def _backup(told: dict[str, Any]) -> BaseBackup:
    moments = told["timestamp"]
    return BaseBackup(
        label=str(told["label"]),
        kind=str(told["type"]),
        began=int(moments["start"]),
        ended=int(moments["stop"]),
        size=int(told["info"]["size"]),
        damaged=bool(told.get("error")),
    )


def plan_stanza(state: ArchiveState, system: str) -> Plan:
    """:param system: the server's identifier; '' while a check only predicts that there will be one.

    :raises PlatformError: when the archive is another cluster's.
    """
    plan = Plan()
    if not state.exists:
        plan.add("create", "stanza", "the archive of the database is begun")
    elif system and state.system != system:
        raise PlatformError(
            f"The archive holds the cluster {state.system}, and the server that runs is the cluster {system}",
            "the data was made anew, or the archive is another server's",
            "Nothing was archived. Set postgres_archive_folder (or path in postgres_archive) to a new place, and keep "
            "the old one for as long as its data may be wanted.",
        )
    return plan


def due(backups: Sequence[BaseBackup], now: float, full_days: float, diff_days: float) -> str:
    """``full``, ``diff`` or '': by when the last ones began."""
    good = [one for one in backups if not one.damaged]
    full = max((one.began for one in good if one.kind == FULL), default=None)
    if full is None or _is_older(full, now, full_days):
        return FULL
    newest = max(one.began for one in good)
    return DIFFERENTIAL if _is_older(newest, now, diff_days) else ""


def _is_older(began: float, now: float, days: float) -> bool:
    return now - began >= days * DAY - min(EARLY_SECONDS, days * DAY / 10)


def verify_troubles(text: str) -> list[str]:
    """What ``pgbackrest verify --output=text --verbose`` found; it ends with 0 whatever that is.

    Read by its text: ``status: ok`` has to be said once for the stanza, and nothing may be said against it.
    """
    troubles = []
    subject = "the archive"
    for line in (line.strip() for line in text.splitlines()):
        if line.startswith(("archiveId:", "backup:")):
            subject = line.partition(",")[0]
        troubles += [f"{subject}: {count} {what}" for what, count in _COUNT.findall(line) if int(count)]
        status = re.search(r"status: (.+?)(?:,|$)", line)
        if status and status[1] not in ("ok", "valid"):
            troubles.append(f"{subject}: {status[1]}")
    if "status: ok" not in text and not troubles:
        troubles.append(f"it does not say that all is well, but: {first_line(text)}")
    return sorted(set(troubles))


def parse_moment(text: str) -> dt.datetime:
    """``2026-11-23 14:05:00+00``: a date, a time, and its offset from UTC or ``Z``. In UTC.

    :raises PlatformError: where one of them is missing: what is meant must not depend on where it is read.
    """
    found = _MOMENT.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError
        return dt.datetime.fromisoformat(f"{found[1]}T{found[2]}{_offset(found[3])}").astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise PlatformError(
            f"TIME={text} is no moment",
            "it has a date, a time, and its offset from UTC",
            'Write TIME="2026-11-23 14:05:00+00", or Z in place of +00.',
        ) from None


def _offset(text: str) -> str:
    if text == "Z":
        return "+00:00"
    digits = text[1:].replace(":", "").ljust(4, "0")
    return f"{text[0]}{digits[:2]}:{digits[2:]}"


def told(moment: dt.datetime) -> str:
    """As :func:`parse_moment` reads it."""
    return moment.astimezone(dt.UTC).isoformat(sep=" ").replace("+00:00", "+00")


def from_epoch(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def oldest_moment(backups: Sequence[BaseBackup]) -> dt.datetime | None:
    """The first moment that can be brought back: a backup is consistent only once it has ended."""
    ends = [one.ended for one in backups if not one.damaged]
    return from_epoch(min(ends) + 1) if ends else None


def base_for(backups: Sequence[BaseBackup], moment: dt.datetime, now: dt.datetime) -> BaseBackup:
    """The newest backup that had ended by then, so that the least has to be replayed.

    :raises PlatformError: when no recovery to that moment is possible; it says which moments are.
    """
    oldest = oldest_moment(backups)
    if oldest is None:
        raise PlatformError(
            "There is no base backup to recover from",
            "the archive of changes alone brings nothing back",
            "make backup makes one; before that, only a backup set can be restored (make backups).",
        )
    possible = f"Possible is any moment from {told(oldest)} to {told(now.replace(microsecond=0))}."
    if moment > now:
        raise PlatformError(f"TIME={told(moment)} cannot be recovered", "it is in the future", possible)
    if moment < oldest:
        raise PlatformError(f"TIME={told(moment)} cannot be recovered", "no base backup is as old", possible)
    return max(
        (one for one in backups if not one.damaged and from_epoch(one.ended + 1) <= moment), key=lambda one: one.ended
    )


def last_commit(log: str) -> dt.datetime | None:
    """The commit that a server's log names as the last one that it replayed (its log is in UTC)."""
    found = _LAST_COMMIT.findall(log)
    return parse_moment(found[-1]) if found else None


def next_second(moment: dt.datetime) -> dt.datetime:
    """The first whole second from then on: what an operator would type to have all until then."""
    whole = moment.replace(microsecond=0)
    return whole if whole == moment else whole + dt.timedelta(seconds=1)


def is_end(moment: dt.datetime, commit: dt.datetime | None) -> bool:
    """Whether a moment that the archive does not reach means its end: the very next second after its last commit."""
    return commit is not None and commit <= moment <= next_second(commit)
