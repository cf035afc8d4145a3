"""Judge a release that has begun to serve, by what users got from it and from the one before. Pure."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

SWITCHING_PROTOCOLS, FIRST_SERVER_ERROR = 101, 500


@dataclass(frozen=True)
class Request:
    """One line of the proxy's log.

    ``time`` is seconds since the epoch at its end, ``seconds`` how long the answering upstream took, ``slot`` the one
    that answered, or that the client gave up on ('' where nginx itself answered). ``failed_slots`` were asked and did
    not answer: nginx asked on, so that the user may have noticed nothing, or made an error of its own of it.
    """

    time: float
    method: str
    uri: str
    status: int
    seconds: float
    slot: str
    release: str = ""
    failed_slots: tuple[str, ...] = ()


@dataclass(frozen=True)
class BakeRules:
    """What a new release is allowed against the old one.

    ``max_error_ratio`` more 5xx answers, as a part of all requests; a p95 of ``max_slowdown`` times the old one's plus
    ``slowdown_floor`` seconds. A figure counts from ``minimum_requests`` on, a ratio of errors from ``minimum_errors``
    on: one failure early in a bake is a per cent of a hundred requests, and chance. For ``warm_up`` seconds connections
    are opened and caches filled: slow answers to requests that began earlier are no verdict.
    """

    max_error_ratio: float = 0.01
    max_slowdown: float = 2.0
    slowdown_floor: float = 0.25
    warm_up: float = 5.0
    minimum_requests: int = 50
    minimum_errors: int = 3
    # How long these take is up to their length, not to the release: event streams, as far as their path tells.
    streams: str = r"/stream$"


DEFAULT_RULES = BakeRules()


@dataclass(frozen=True)
class Sample:
    """What one slot did. ``times`` are the seconds of its answers by method, ascending, those of streams left out.

    By method, since a GET is a page or a file and a POST waits for a language model: in one figure, more chats than
    before would look like a slower release.
    """

    count: int = 0
    errors_5xx: int = 0
    times: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def p95_seconds(self) -> float:
        """Over all methods, for a summary; judged is each method for itself."""
        return percentile(sorted(second for times in self.times.values() for second in times), 0.95)


def sample(requests: Iterable[Request], slot: str, rules: BakeRules = DEFAULT_RULES) -> Sample:
    """What the slot answered, and what it was asked and failed to answer even where the other slot then did.

    The second is what keeps a dead release from looking like one without traffic: nginx has the other slot as backup.
    """
    streams = re.compile(rules.streams)
    count = errors = 0
    times: dict[str, list[float]] = {}
    for request in requests:
        failed = slot in request.failed_slots or (request.slot == slot and request.status >= FIRST_SERVER_ERROR)
        if not failed and request.slot != slot:
            continue
        count += 1
        errors += failed
        if not failed and request.status != SWITCHING_PROTOCOLS and not streams.search(request.uri):
            times.setdefault(request.method, []).append(request.seconds)
    return Sample(count, errors, {method: tuple(sorted(seconds)) for method, seconds in sorted(times.items())})


def percentile(ascending: list[float] | tuple[float, ...], part: float) -> float:
    """The smallest value that at least ``part`` of all do not exceed (nearest rank); 0 for none."""
    if not ascending:
        return 0.0
    return ascending[max(math.ceil(part * len(ascending)), 1) - 1]


def begun_since(requests: Iterable[Request], moment: float) -> list[Request]:
    """Those that the upstream was asked at the moment (seconds since the epoch) or later."""
    return [request for request in requests if request.time - request.seconds >= moment]


def verdict(old: Sample, new: Sample, warm: Sample, rules: BakeRules, restarts: int) -> str:
    """Why the new release is not to stay, or ''.

    May be asked at any time of a bake: what is missing to the minimum is taken to go well, so that an early '' means
    "go on" and an early sentence would not be undone by a few more good answers.

    :param warm: what of ``new`` began when it was warm: it has to be slow in both.
    """
    return _restarted(restarts) or _failing(old, new, rules) or _slow(old, new, warm, rules)


def reservation(old: Sample, new: Sample, warm: Sample, rules: BakeRules) -> str:
    """What a verdict of '' leaves open for want of requests, or ''. No traffic is no proof of health: say so."""
    if new.count < rules.minimum_requests:
        return (
            f"The new release had {new.count} requests of the {rules.minimum_requests} that a judgement wants: "
            "little is known of its errors and nothing of its speed."
        )
    if not _comparable(old, new, rules):
        return "Nothing is known of the new release's speed: the old one had too few requests of the same kind."
    if undecided(old, new, warm, rules):
        return f"It began slowly, and had too few requests after its first {rules.warm_up:g} s to know if it is slow."
    return ""


def undecided(old: Sample, new: Sample, warm: Sample, rules: BakeRules) -> bool:
    """Whether the new release began slowly, and it takes more requests to know whether it stays so."""
    return not set(_slow_methods(old, new, rules)) <= set(_comparable(old, warm, rules))


def described(one: Sample) -> str:
    """For a summary: ``312 requests, 0 failed, p95 0.04 s``."""
    return f"{one.count} requests, {one.errors_5xx} failed, p95 {one.p95_seconds:.2f} s"


def _restarted(restarts: int) -> str:
    if restarts <= 0:
        return ""
    return f"The new release's containers restarted {_times(restarts)} after they had been found good."


def _failing(old: Sample, new: Sample, rules: BakeRules) -> str:
    allowed = _ratio(old, rules) + rules.max_error_ratio
    if new.errors_5xx < rules.minimum_errors or _ratio(new, rules) <= allowed:
        return ""
    return (
        f"{new.errors_5xx} of {new.count} requests to the new release failed (5xx): {_per_cent(new)}, "
        f"where the old one had {_per_cent(old)} and up to {100 * allowed:.1f} % is allowed."
    )


def _ratio(one: Sample, rules: BakeRules) -> float:
    """Errors per request: 0 without an error and without a request, and never more for the smallness of a sample."""
    return one.errors_5xx / max(one.count, rules.minimum_requests, 1)


def _per_cent(one: Sample) -> str:
    return f"{100 * one.errors_5xx / max(one.count, 1):.1f} %"


def _slow(old: Sample, new: Sample, warm: Sample, rules: BakeRules) -> str:
    also_when_warm = _slow_methods(old, warm, rules)
    for method in _slow_methods(old, new, rules):
        if method in also_when_warm:
            before, now = percentile(old.times[method], 0.95), percentile(warm.times[method], 0.95)
            return (
                f"The new release answers slowly: its p95 of {method} requests is {now:.2f} s over "
                f"{len(warm.times[method])} requests, where the old one's was {before:.2f} s "
                f"and up to {_longest(before, rules):.2f} s is allowed."
            )
    return ""


def _slow_methods(old: Sample, new: Sample, rules: BakeRules) -> list[str]:
    return [method for method in _comparable(old, new, rules) if _is_slow(old.times[method], new.times[method], rules)]


def _is_slow(old: tuple[float, ...], new: tuple[float, ...], rules: BakeRules) -> bool:
    limit = _longest(percentile(old, 0.95), rules)
    return percentile(new, 0.95) > limit and _outgrown(old, new, limit, rules)


def _longest(before: float, rules: BakeRules) -> float:
    return before * rules.max_slowdown + rules.slowdown_floor


def _comparable(old: Sample, new: Sample, rules: BakeRules) -> list[str]:
    smallest = max(rules.minimum_requests, 1)
    return [m for m in new.times if min(len(new.times[m]), len(old.times.get(m, ()))) >= smallest]


def _outgrown(old: tuple[float, ...], new: tuple[float, ...], limit: float, rules: BakeRules) -> bool:
    """Whether slow answers have become that much more frequent, too.

    Where about one answer in twenty is slow by nature, p95 jumps between the two kinds from sample to sample.
    """
    return _share_above(new, limit) > _share_above(old, limit) * rules.max_slowdown


def _share_above(ascending: tuple[float, ...], limit: float) -> float:
    return 1 - bisect_right(ascending, limit) / len(ascending)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
