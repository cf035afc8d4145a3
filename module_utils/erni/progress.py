"""How far long work has come: a module writes it to a file while it works, and the control node tells it.

The module's side is :class:`Progress`, the control node's is :class:`Track`. A module without anybody who listens has
the path '' and does nothing of this; whatever goes wrong here never fails the work.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from .at_once import meanwhile

BYTES, ROWS = "bytes", "rows"
WRITE_SECONDS = 0.5  # at most so often is the file written
WINDOW_SECONDS = 10.0  # over which the rate is taken
LONGEST_NAME = 80  # characters
SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


@dataclass(frozen=True)
class Standing:
    """``done`` of ``total``, in ``unit``; a total of 0 is unknown, and ``about`` says that it is an estimate."""

    subject: str
    phase: str
    done: int = 0
    total: int = 0
    unit: str = BYTES
    about: bool = False


# Where the work is done


class Tell:
    """Give it what is done so far, as often as it comes: it writes as often as somebody may look."""

    def __init__(self, standing: Standing, write: Callable[[Standing], None] | None) -> None:
        self.standing = standing
        self._write, self._next = write, 0.0

    @property
    def heard(self) -> bool:
        return self._write is not None

    def due(self) -> bool:
        """Whether it would be written now, for those to whom finding out what is done costs something."""
        return self._write is not None and time.monotonic() >= self._next

    def __call__(self, done: int) -> None:
        self.standing = replace(self.standing, done=done)
        if self._write is not None and self.due():
            self._next = time.monotonic() + WRITE_SECONDS
            self._write(self.standing)


class Share(Tell):
    """Of a work that goes on in several places at once, and is told of as one; see :func:`shares`."""

    def __init__(self, whole: Tell, done: list[int], place: int, lock: threading.Lock) -> None:
        super().__init__(whole.standing, None)
        self._whole, self._done, self._place, self._lock = whole, done, place, lock

    def due(self) -> bool:
        return self._whole.due()

    def __call__(self, done: int) -> None:
        with self._lock:
            self._done[self._place] = done
            self._whole(sum(self._done))


def shares(whole: Tell, number: int) -> list[Share]:
    """Of each it is told what is done in its place; together they tell the whole."""
    done, lock = [0] * number, threading.Lock()
    return [Share(whole, done, place, lock) for place in range(number)]


def untold() -> Tell:
    """For work that nobody listens to."""
    return Tell(Standing("", ""), None)


class Progress:
    """``with Progress(path, "postgres") as progress, progress.phase("restoring", total) as tell: tell(done)``.

    The file is there from the first phase until the end, also of work that fails.
    """

    def __init__(self, path: str = "", subject: str = "") -> None:
        self._path, self._subject = path, subject

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_how: object) -> None:
        self._end()

    @contextmanager
    def phase(self, name: str, total: int = 0, unit: str = BYTES, about: bool = False) -> Iterator[Tell]:
        tell = Tell(Standing(self._subject, name, 0, total, unit, about), self._write if self._path else None)
        tell(0)
        yield tell

    def _write(self, standing: Standing) -> None:
        """By rename, so that no half of it is read; not synchronized, since it is worth nothing after a crash.

        Never into a file that is there: in a folder that others may write to, it may be a link of theirs.
        """
        path, flags = self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        if not path:
            return
        try:
            with os.fdopen(os.open(f"{path}.new", flags, 0o600), "w", encoding="utf-8") as file:
                file.write(json.dumps(asdict(standing)) + "\n")
            os.rename(f"{path}.new", path)
        except OSError:
            self._end()

    def _end(self) -> None:
        """Whoever still tells something is not heard any more."""
        path, self._path = self._path, ""
        for left in (path, f"{path}.new") if path else ():
            with suppress(OSError):
                os.unlink(left)


@contextmanager
def polled(tell: Tell, probe: Callable[[], int]) -> Iterator[None]:
    """Meanwhile the probe is asked what is done, in a thread of its own. What it raises counts as no answer."""
    if not tell.heard:
        yield
        return

    def ask(ended: threading.Event) -> None:
        while not ended.wait(WRITE_SECONDS):
            with suppress(Exception):
                tell(probe())

    with meanwhile(ask, 10 * WRITE_SECONDS):  # a probe that hangs (a server that does not answer) holds nothing up
        yield


# Where it is told


def parse(text: str) -> Standing | None:
    """What a module has written; None for anything else. It comes from a folder that others may write to, too."""
    try:
        told: dict[str, Any] = json.loads(text)
        return Standing(
            subject=_printable(told["subject"]),
            phase=_printable(told["phase"]),
            done=max(0, int(told["done"])),
            total=max(0, int(told["total"])),
            unit=_printable(told["unit"]),
            about=bool(told["about"]),
        )
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def _printable(text: Any) -> str:
    return "".join(character for character in str(text) if character.isprintable())[:LONGEST_NAME]


class Track:
    """What was seen of a work, sighting by sighting. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._standing: Standing | None = None
        self._began = self._moved = 0.0
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, standing: Standing, now: float) -> None:
        if self._standing is None or not _same_phase(standing, self._standing):
            self._seen.clear()
            self._began = self._moved = now
        elif standing.done != self._standing.done:
            self._moved = now
        self._standing = standing
        self._seen.append((now, standing.done))
        while now - self._seen[0][0] > WINDOW_SECONDS:
            self._seen.popleft()

    def sentence(self, now: float) -> str:
        """Such as "postgres: dumping, 1.2 of 2.0 GB, 105 MB/s, 8 s left"; '' before anything was seen."""
        if self._standing is None:
            return ""
        return sentence(self._standing, rate(self._seen), now - self._began, now - self._moved)


def _same_phase(one: Standing, other: Standing) -> bool:
    return (one.subject, one.phase, one.total) == (other.subject, other.phase, other.total)


def rate(seen: deque[tuple[float, int]]) -> float | None:
    """Units a second between the first sighting and the last one; None as long as there is only one."""
    if len(seen) < 2 or seen[-1][0] <= seen[0][0]:
        return None
    return max(0.0, (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0]))


def seconds_left(standing: Standing, speed: float | None) -> float | None:
    """None where it cannot be known: without a total, or beyond it, or while nothing moves."""
    if not speed or not standing.total or standing.done > standing.total:
        return None
    return (standing.total - standing.done) / speed


def sentence(standing: Standing, speed: float | None, lasting: float, still: float) -> str:
    """:param lasting: seconds since the phase was first seen.
    :param still: seconds since anything more was done.
    """
    head = f"{standing.subject}: {standing.phase}" if standing.subject else standing.phase
    if not standing.done and not speed:
        return f"{head}, for {duration(lasting)}" if round(lasting) else head
    parts = [head, _amount(standing)]
    if speed:
        parts.append(_speed(speed, standing.unit))
    elif speed is not None:
        parts.append(f"nothing more for {duration(still)}")
    left = seconds_left(standing, speed)
    if left is not None:
        parts.append(f"{'about ' if standing.about else ''}{duration(max(1.0, left))} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """For people, and no more exact than it can be known."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 3600:
        return f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _amount(standing: Standing) -> str:
    """An estimate that has turned out too small is left away."""
    done, total = standing.done, standing.total if standing.done <= standing.total else 0
    of = " of about " if standing.about else " of "
    if standing.unit != BYTES:
        return f"{done:,}{of}{total:,} {standing.unit}" if total else f"{done:,} {standing.unit}"
    (number, name), (whole, whole_name) = _size(done), _size(total)
    if not total:
        return f"{number} {name}"
    return f"{number}{of}{whole} {name}" if name == whole_name else f"{number} {name}{of}{whole} {whole_name}"


def _speed(speed: float, unit: str) -> str:
    if unit != BYTES:
        return f"{speed:,.0f} {unit}/s"
    number, name = _size(speed)
    return f"{number} {name}/s"


def _size(amount: float) -> tuple[str, str]:
    """A number and its unit; three digits where it has as many."""
    factor, name = next(((factor, name) for factor, name in SIZES if amount >= factor), SIZES[-1])
    return f"{amount / factor:.{1 if amount < 100 * factor else 0}f}", name
