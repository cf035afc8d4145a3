"""What a load has shown: counted while it runs, and read afterwards."""

from __future__ import annotations

import json
import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from load_settings import LONG

SHOWN_FAILURES = 20


@dataclass(frozen=True)
class Failure:
    """A request that was not answered as it should have been, or a connection that was reset between requests.

    ``at`` is when it was due and ``seconds`` how much later it failed; both, like all times here, count from the
    beginning of the load. ``connection_age`` is 0 where no connection came about. nginx logs the ``correlation_id``.
    """

    at: float
    seconds: float
    kind: str
    error: str
    connection_age: float = 0.0
    correlation_id: str = ""


@dataclass(frozen=True)
class Latency:
    """Seconds from when a request was due, so that one that had to wait to be sent has waited."""

    count: int
    p50: float
    p95: float
    p99: float
    longest: float


@dataclass(frozen=True)
class Mark:
    """Something that happened while the load ran."""

    at: float
    text: str


@dataclass(frozen=True)
class Report:
    """All of a load.

    ``longest_silence`` is the longest time in which no request succeeded; requests that take long by nature do not
    count, since a stream that began before an outage ends in it. ``seconds_with_failures`` is how many whole seconds
    had a request due in them that failed. ``idle_closes`` were orderly: the client knew before it sent, nothing is
    lost. ``latest_start`` is how late the generator itself was at worst, ``processor_share`` what it took of one core.
    """

    started: float  # since the epoch
    seconds: float
    sent: dict[str, int]
    failures: list[Failure]
    latencies: dict[str, Latency]
    posts_sent: list[str]
    posts_answered: list[str]
    longest_silence: float
    idle_closes: int
    connections: int
    latest_start: float
    processor_share: float
    marks: list[Mark] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.sent.values())

    @property
    def rate(self) -> float:
        """Requests a second that were really sent."""
        return self.total / self.seconds if self.seconds else 0.0

    @property
    def seconds_with_failures(self) -> int:
        return len({math.floor(failure.at) for failure in self.failures})

    def failures_by_kind(self) -> dict[str, int]:
        """How many of each kind and error, the most frequent first."""
        counted = Counter(f"{failure.kind}: {failure.error}" for failure in self.failures)
        return dict(counted.most_common())

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Report:
        told: dict[str, Any] = json.loads(text)
        told["failures"] = [Failure(**failure) for failure in told["failures"]]
        told["latencies"] = {kind: Latency(**latency) for kind, latency in told["latencies"].items()}
        told["marks"] = [Mark(**mark) for mark in told["marks"]]
        return cls(**told)

    def as_text(self) -> str:
        """A table by kind, then what failed and when."""
        lines = [
            f"{self.total} requests in {self.seconds:.1f} s ({self.rate:.1f}/s)",
            f"{len(self.failures)} failed, in {self.seconds_with_failures} of the seconds",
            f"{self.longest_silence:.2f} s was the longest time without a success",
            f"{self.connections} connections, {self.idle_closes} of them closed by the server while idle",
            f"generator: {self.processor_share:.2f} of a core, at most {self.latest_start:.3f} s late",
            f"{'':10}{'sent':>8}{'p50':>10}{'p95':>10}{'p99':>10}{'longest':>10}",
        ]
        nothing = Latency(0, 0.0, 0.0, 0.0, 0.0)
        for kind, count in sorted(self.sent.items()):
            told = self.latencies.get(kind, nothing)
            times = (told.p50, told.p95, told.p99, told.longest)
            lines.append(f"{kind:10}{count:>8}" + "".join(f"{seconds:>8.3f} s" for seconds in times))
        lines += [f"{count:>6} x {what}" for what, count in self.failures_by_kind().items()]
        happened: list[Failure | Mark] = [*self.failures[:SHOWN_FAILURES], *self.marks]
        lines += [line_about(event) for event in sorted(happened, key=lambda event: event.at)]
        hidden = len(self.failures) - SHOWN_FAILURES
        return "\n".join([*lines, f"and {hidden} failures more"] if hidden > 0 else lines)


def line_about(event: Failure | Mark) -> str:
    """A line of the report."""
    if isinstance(event, Mark):
        return f"{event.at:9.3f} s  -- {event.text}"
    return (
        f"{event.at:9.3f} s  {event.kind}: {event.error} after {event.seconds:.3f} s "
        f"(connection {event.connection_age:.3f} s old, {event.correlation_id or 'no request'})"
    )


class Recorder:
    """Counts while the load runs. Every ``now``, ``due`` and ``begin`` is of one monotonic clock."""

    def __init__(self, begin: float) -> None:
        self.begin = begin
        self.connections = 0
        self._sent: Counter[str] = Counter()
        self._seconds: dict[str, array[float]] = {}
        self._failures: list[Failure] = []
        self._posts_sent: list[str] = []
        self._posts_answered: list[str] = []
        self._marks: list[Mark] = []
        self._idle_closes = 0
        self._latest_start = 0.0
        self._last_success, self._longest_silence = begin, 0.0

    def sent(self, kind: str, due: float, now: float, post: str = "") -> None:
        """:param post: the id of what a POST is to leave in the database."""
        self._sent[kind] += 1
        self._latest_start = max(self._latest_start, now - due)
        if post:
            self._posts_sent.append(post)

    def succeeded(self, kind: str, due: float, now: float, post: str = "") -> None:
        self._seconds.setdefault(kind, array("d")).append(now - due)
        if post:
            self._posts_answered.append(post)
        if kind not in LONG:
            self._longest_silence = max(self._longest_silence, now - self._last_success)
            self._last_success = now

    def failed(self, failure: Failure) -> None:
        """Its ``at`` is still of the clock."""
        told = asdict(failure) | {"at": failure.at - self.begin}
        self._failures.append(Failure(**told))

    @property
    def first_problem(self) -> str:
        """What failed first, or that the page names no files."""
        return next((f"{failure.kind}: {failure.error}" for failure in self._failures), "it names no files")

    def closed_while_idle(self) -> None:
        self._idle_closes += 1

    def mark(self, text: str, now: float) -> None:
        self._marks.append(Mark(now - self.begin, text))

    def report(self, ended: float, started: float, processor_seconds: float) -> Report:
        """:param ended: when the last request was due; ``started``: the wall clock's time at the beginning."""
        seconds = ended - self.begin
        return Report(
            started=started,
            seconds=seconds,
            sent=dict(self._sent),
            failures=sorted(self._failures, key=lambda failure: failure.at),
            latencies={kind: latency(times) for kind, times in self._seconds.items()},
            posts_sent=self._posts_sent,
            posts_answered=self._posts_answered,
            longest_silence=max(self._longest_silence, ended - self._last_success),
            idle_closes=self._idle_closes,
            connections=self.connections,
            latest_start=self._latest_start,
            processor_share=processor_seconds / seconds if seconds else 0.0,
            marks=self._marks,
        )


def latency(seconds: Sequence[float]) -> Latency:
    """Nearest rank: each figure is one that was measured. At least one is needed."""
    ascending = sorted(seconds)
    at = (ascending[max(math.ceil(part * len(ascending)), 1) - 1] for part in (0.50, 0.95, 0.99, 1.0))
    return Latency(len(ascending), *at)
