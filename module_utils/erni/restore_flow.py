"""How anything is restored: made ready beside what serves, swapped in, and swapped back; the same for every kind.

Each step first finds out how far one that was killed has come: what it had meant to do is in the record, whether it was
done the service tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from .errors import PlatformError
from .restore_record import Record, RecordFile, Restored, expired, stamp

UNDO = "undo"


class Target(Protocol):
    """A service's data. Names are of what lies beside that which serves: what is prepared, and what was kept."""

    @property
    def prepared(self) -> str: ...

    def state(self) -> str:
        """By what that which serves is known again."""

    def mark(self, name: str) -> str:
        """By what that is known again which has the name now, whatever name it gets."""

    def kept_name(self, moment: str) -> str: ...

    def kept(self) -> list[str]: ...

    def swapped(self, going: Restored) -> bool:
        """Whether what was going to serve does, and what served before is kept."""

    def swap(self, going: Restored, incoming: str) -> float:
        """``incoming`` serves, and what did is ``going.kept``; seconds for which nobody could use it."""

    def exists(self, name: str) -> bool: ...

    def drop(self, name: str) -> None: ...


def settle(target: Target, file: RecordFile) -> Record:
    """The record, after whatever a killed run has left in the middle is taken for what it is."""
    record = file.read()
    going = record.prepared
    if going is None or not going.kept:
        return record
    if not target.swapped(going):
        settled = Record(None if going.source == UNDO else replace(going, kept=""), record.done)
    else:
        settled = Record(None, None if going.source == UNDO else going)
    file.write(settled)
    return settled


def is_restored(target: Target, record: Record, source: str) -> bool:
    """Whether what serves came from the source, and nobody has written to it since."""
    done = record.done
    return done is not None and done.source == source and bool(done.state) and done.state == target.state()


def prepare(file: RecordFile, record: Record, source: str, make: Callable[[], tuple[Restored, list[str]]]) -> list[str]:
    """What ``make`` makes ready beside what serves is on record; what else it has done, as sentences."""
    file.write(Record(None, record.done))
    made, said = make()
    file.write(Record(replace(made, source=source, kept=""), record.done))
    return said


def switch(target: Target, file: RecordFile, source: str, now: float) -> float:
    """What was made ready of the source serves; seconds for which nobody could use it.

    :raises PlatformError: when nothing of it was made ready.
    """
    record = settle(target, file)
    if record.prepared is None or record.prepared.source != source:
        raise PlatformError(
            f"Nothing of {source} stands ready to serve",
            "another run has prepared something else meanwhile",
            "What serves was not touched. Run make restore again.",
        )
    going = replace(record.prepared, kept=free_name(target, now))
    file.write(Record(going, record.done))
    seconds = target.swap(going, target.prepared)
    file.write(Record(None, replace(going, state=going.state or target.state())))
    if target.exists(target.prepared):
        target.drop(target.prepared)
    return seconds


def free_name(target: Target, now: float) -> str:
    """For what is kept from now on. Names tell the second, and several restores may fall into one."""
    taken = target.kept()
    while (name := target.kept_name(stamp(now))) in taken:
        now += 1
    return name


def confirm(target: Target, file: RecordFile) -> None:
    """What serves by now is the restored state, with whatever a verification has written."""
    record = file.read()
    if record.done:
        file.write(Record(record.prepared, replace(record.done, state=target.state())))


def undo(target: Target, file: RecordFile, record: Record, now: float) -> float:
    """What served before the last restore serves again; what it had brought is kept in turn.

    :raises PlatformError: when that which served before is not there any more.
    """
    done = record.done
    if done is None or done.kept not in target.kept():
        raise PlatformError(
            f"What served before {done.source if done else 'it'} is not kept any more",
            "it is dropped after backup_keep_replaced_days",
            "What serves was not touched. make restore SET=<the safety backup's id> brings it back.",
        )
    going = Restored(UNDO, free_name(target, now), mark=target.mark(done.kept))
    file.write(Record(going, done))
    seconds = target.swap(going, done.kept)
    file.write(Record(None, None))
    return seconds


def to_drop(target: Target, record: Record, now: float, keep_seconds: float) -> list[str]:
    """The names of what was kept for long enough, and of what a killed restore had made ready."""
    left = [target.prepared] if record.prepared or target.exists(target.prepared) else []
    return [*left, *expired(target.kept(), now, keep_seconds)]


def clear(target: Target, file: RecordFile, record: Record, names: list[str]) -> None:
    """They are gone."""
    if record.prepared:
        file.write(Record(None, record.done))
    for name in names:
        if target.exists(name):
            target.drop(name)
