"""What the journal of transitions means: what serves by it, what is good, and where one can go back to. Pure.

The history is a stack: a deploy puts its release on top, a rollback takes away what lies above its target. So two
rollbacks in a row go back twice, and not to and fro.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from .errors import PlatformError
from .release_record import JournalEntry

DONE, FAILED, REVERTED, STUCK = "done", "failed", "reverted", "stuck"
ENDS = frozenset({DONE, FAILED, REVERTED, STUCK})
ROLLBACK, RECOVER = "rollback", "recover"


@dataclass(frozen=True)
class Ending:
    """How a transition ended. ``verb`` is what it was begun as, also where ``recover`` brought it to its end."""

    verb: str
    entry: JournalEntry


def endings(entries: Sequence[JournalEntry]) -> list[Ending]:
    """The transitions that ended, in that order."""
    found: list[Ending] = []
    begun_as: dict[str, str] = {}
    interrupted = ""  # the verb of a transition that has no end yet, which a recovery of its own id would finish
    for entry in entries:
        verb = interrupted if entry.verb == RECOVER and interrupted else entry.verb
        verb = begun_as.setdefault(entry.transition, verb)
        if entry.phase in ENDS:
            found.append(Ending(verb, entry))
        interrupted = "" if entry.phase in ENDS else verb
    return found


def open_transition(entries: Sequence[JournalEntry]) -> list[JournalEntry]:
    """The entries of the last transition where it was interrupted, else none."""
    if not entries or entries[-1].phase in ENDS:
        return []
    return [entry for entry in entries if entry.transition == entries[-1].transition]


def stack(entries: Sequence[JournalEntry]) -> list[str]:
    """Releases in the order in which one would go back over them: the current one is the last."""
    releases: list[str] = []
    for ending in endings(entries):
        target = ending.entry.release
        if ending.entry.phase != DONE or releases[-1:] == [target]:
            continue
        if ending.verb == ROLLBACK and target in releases:
            while releases[-1] != target:
                releases.pop()
        else:
            releases.append(target)
    return releases


def quarantined(entries: Sequence[JournalEntry]) -> set[str]:
    """Releases that served and had to be taken back, and have not served well since.

    A transition that failed before its switch says nothing about how the release serves: it neither puts a release
    here nor takes it out. One whose way back failed is here, too.
    """
    last = {ending.entry.release: ending.entry.phase for ending in endings(entries) if ending.entry.phase != FAILED}
    return {release for release, phase in last.items() if phase != DONE}


def good(entries: Sequence[JournalEntry]) -> set[str]:
    """Releases that a transition has brought to serve, and that are not in quarantine."""
    served = {ending.entry.release for ending in endings(entries) if ending.entry.phase == DONE}
    return served - quarantined(entries)


def rollback_target(entries: Sequence[JournalEntry], manifests: Collection[str], to: str = "") -> str:
    """Where a rollback goes: to ``to``, or by default to the last good release before the current one.

    :param manifests: ids of the releases that are recorded on the host.
    :raises PlatformError: when there is no such release, or it is the current one.
    """
    current = (stack(entries) or [""])[-1]
    choices = rollback_choices(entries, manifests)
    if to:
        _require_choice(to, current, choices, recorded=to in manifests)
        return to
    banned = quarantined(entries)
    for release in reversed(stack(entries)):
        if release in choices and release not in banned:
            return release
    raise PlatformError(
        "There is no release to go back to",
        _why_none(entries, manifests, current),
        f"A release can also be named: TO={' or TO='.join(choices)}." if choices else "Deploy one: make deploy.",
    )


def rollback_choices(entries: Sequence[JournalEntry], manifests: Collection[str]) -> list[str]:
    """All that ``TO`` may name, newest first: recorded releases that have served, the current one excepted."""
    current = stack(entries)[-1:]
    served = [ending.entry.release for ending in endings(entries) if ending.entry.phase != FAILED]
    return [release for release in _latest_first(served) if release in manifests and release not in current]


def _require_choice(to: str, current: str, choices: list[str], *, recorded: bool) -> None:
    if to == current:
        raise PlatformError(f"Release {to} serves already", "", "make releases shows those that could take its place.")
    if to not in choices:
        raise PlatformError(
            f"There is no going back to release {to}",
            "it has never served on this host" if recorded else "this host has no record of it",
            f"Name one of {', '.join(choices)}." if choices else "There is no other either; deploy one: make deploy.",
        )


def _why_none(entries: Sequence[JournalEntry], manifests: Collection[str], current: str) -> str:
    if not current:
        return "none has served on this host yet"
    below = _latest_first([release for release in stack(entries) if release != current])
    reasons = [
        f"{release} is quarantined" if release in manifests else f"the record of {release} is gone" for release in below
    ]
    return "; ".join([f"no good one came before {current}", *reasons])


def _latest_first(releases: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(reversed(releases)))


def retained(entries: Sequence[JournalEntry], keep: int, active: str, warm: str) -> set[str]:
    """The releases whose images and records stay.

    :param keep: how many good releases stay, those that came to serve last; others do not count.
    :param active: the release that serves, whatever the journal says; it stays, and so does the good one before it.
    :param warm: the release in the idle slot ('' for none), which stays.

    The last one that did not come to serve well stays, too: its logs are there to be read.
    """
    known_good = good(entries)
    came = [ending.entry.release for ending in endings(entries) if ending.entry.phase == DONE]
    counted = [release for release in _latest_first(came) if release in known_good][: max(keep, 0)]
    under_way = {release for entry in open_transition(entries) for release in (entry.release, entry.from_release)}
    return {*counted, active, warm, _good_before(entries, active), _last_bad(entries), *under_way} - {""}


def _last_bad(entries: Sequence[JournalEntry]) -> str:
    known_good = good(entries)
    ended = [ending.entry.release for ending in endings(entries)]
    return next((release for release in reversed(ended) if release not in known_good), "")


def _good_before(entries: Sequence[JournalEntry], active: str) -> str:
    """The last good release before the active one ('' for none); before all that is known, where it is unknown."""
    releases, known_good = stack(entries), good(entries)
    if active in releases:
        releases = releases[: len(releases) - 1 - releases[::-1].index(active)]
    return next((release for release in reversed(releases) if release in known_good and release != active), "")
