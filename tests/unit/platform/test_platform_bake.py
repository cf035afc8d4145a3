"""The bake: a release that serves is judged by what users get from it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.erni import proxy_log
from ansible.module_utils.erni.bake import (
    BakeRules,
    Request,
    Sample,
    begun_since,
    described,
    percentile,
    reservation,
    sample,
    verdict,
)
from ansible.module_utils.erni.errors import PlatformError

RULES = BakeRules()
GOOD = Request(time=1000.0, method="GET", uri="/health", status=200, seconds=0.01, slot="green")
SLOTS = {"172.30.0.20": "blue", "172.30.0.30": "green"}


def answered(count: int, errors: int = 0, **times: tuple[float, ...]) -> Sample:
    return Sample(count, errors, times)


def judged(old: Sample, new: Sample, rules: BakeRules = RULES, restarts: int = 0) -> str:
    """The verdict over a release all of whose requests began when it was warm."""
    return verdict(old, new, new, rules, restarts)


# A sample


@pytest.mark.parametrize(
    ("request_", "count", "errors"),
    [
        (GOOD, 1, 0),
        (replace(GOOD, status=404), 1, 0),
        (replace(GOOD, status=429), 1, 0),
        (replace(GOOD, status=500), 1, 1),
        (replace(GOOD, status=504), 1, 1),
        (replace(GOOD, slot="blue", status=500), 0, 0),
        (replace(GOOD, slot="", status=503), 0, 0),  # nginx itself, for maintenance
    ],
)
def test_a_slot_is_judged_by_what_it_answered_itself(request_: Request, count: int, errors: int) -> None:
    taken = sample([request_], "green")
    assert (taken.count, taken.errors_5xx) == (count, errors)


def test_a_request_that_the_other_slot_had_to_answer_counts_against_the_one_that_failed() -> None:
    rescued = replace(GOOD, slot="blue", failed_slots=("green",))
    assert sample([rescued] * 4, "green") == Sample(4, 4)
    assert sample([rescued] * 4, "blue").errors_5xx == 0


def test_no_requests_are_a_sample_without_errors() -> None:
    assert sample([], "green") == Sample()
    assert Sample().p95_seconds == 0.0


def test_times_are_kept_by_method_and_ascending() -> None:
    requests = [replace(GOOD, seconds=0.3), replace(GOOD, method="POST", seconds=5.0), replace(GOOD, seconds=0.1)]
    assert sample(requests, "green").times == {"GET": (0.1, 0.3), "POST": (5.0,)}


@pytest.mark.parametrize(
    "request_",
    [
        replace(GOOD, method="POST", uri="/api/chat/stream", seconds=10.0),
        replace(GOOD, status=101, seconds=600.0),
        replace(GOOD, status=504, seconds=60.0),  # an error is judged as one, not by its time
    ],
)
def test_streams_and_errors_count_as_requests_but_not_in_the_times(request_: Request) -> None:
    taken = sample([GOOD, request_], "green")
    assert (taken.count, taken.times) == (2, {"GET": (0.01,)})


def test_which_paths_are_streams_is_configuration() -> None:
    events = replace(GOOD, uri="/api/events/7", seconds=30.0)
    assert sample([events], "green", BakeRules(streams="^/api/events/")).times == {}
    assert sample([events], "green").times == {"GET": (30.0,)}


@pytest.mark.parametrize(
    ("values", "part", "expected"),
    [
        ((), 0.95, 0.0),
        ((7.0,), 0.95, 7.0),
        (tuple(range(1, 21)), 0.95, 19),
        (tuple(range(1, 101)), 0.95, 95),
        (tuple(range(1, 102)), 0.95, 96),
        ((1.0, 2.0), 0.5, 1.0),
        ((1.0, 2.0), 0.0, 1.0),
        ((1.0, 2.0), 1.0, 2.0),
    ],
)
def test_a_percentile_is_one_of_the_values(values: tuple[float, ...], part: float, expected: float) -> None:
    assert percentile(values, part) == expected


# The verdict


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (answered(1000), answered(1000)),
        (answered(1000), answered(0)),  # no traffic is no error
        (answered(0), answered(1000)),  # no errors yet on either side
        (answered(0), answered(0)),
        (answered(1000), answered(1000, 10)),  # just what is allowed
        (answered(1000, 500), answered(1000, 505)),  # as bad as before: going back would help nobody
        (answered(1000), answered(50, 2)),  # two are chance
        (answered(1000), answered(2, 2)),
        (answered(10, 10), answered(1000, 210)),  # ten failures are not taken for a failure rate of 100 %, but of 20 %
    ],
)
def test_a_release_that_fails_no_more_than_the_old_one_stays(old: Sample, new: Sample) -> None:
    assert judged(old, new) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (answered(1000), answered(1000, 11)),
        (answered(1000), answered(3, 3)),  # early: forty-seven good ones more would not save it
        (answered(1000), answered(50, 3)),
        (answered(0), answered(100, 3)),
        (answered(1000, 20), answered(1000, 31)),
        (answered(10, 1), answered(1000, 40)),
    ],
)
def test_a_release_that_fails_more_goes_even_while_the_bake_still_runs(old: Sample, new: Sample) -> None:
    assert "failed (5xx)" in judged(old, new)


def test_the_sentence_about_errors_has_the_figures_that_led_to_it() -> None:
    assert judged(answered(1000, 10), answered(400, 20)) == (
        "20 of 400 requests to the new release failed (5xx): 5.0 %, "
        "where the old one had 1.0 % and up to 2.0 % is allowed."
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((0.1,) * 100, (0.45,) * 100),  # twice as slow and the floor: just what is allowed
        ((0.001,) * 100, (0.2,) * 100),  # two hundred times, but nobody would notice
        ((0.1,) * 100, (9.0,) * 49),  # too few of the new
        ((0.1,) * 49, (9.0,) * 100),  # too few of the old
        ((), (9.0,) * 100),  # nothing to compare with
        ((0.1,) * 100, ()),
        ((0.01,) * 96 + (5.0,) * 4, (0.01,) * 94 + (5.0,) * 6),  # p95 jumps, the slow ones are hardly more
    ],
)
def test_a_release_that_answers_about_as_fast_stays(old: tuple[float, ...], new: tuple[float, ...]) -> None:
    assert judged(answered(200, GET=old), answered(200, GET=new)) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((0.1,) * 100, (0.46,) * 100),
        ((0.01,) * 100, (0.01,) * 90 + (1.0,) * 10),
        ((0.01,) * 99 + (5.0,), (0.01,) * 90 + (5.0,) * 10),
    ],
)
def test_a_release_that_answers_more_slowly_goes(old: tuple[float, ...], new: tuple[float, ...]) -> None:
    assert "p95 of GET requests" in judged(answered(200, GET=old), answered(200, GET=new))


def test_the_sentence_about_speed_has_the_figures_that_led_to_it() -> None:
    assert judged(answered(60, GET=(0.1,) * 60), answered(80, GET=(2.0,) * 80)) == (
        "The new release answers slowly: its p95 of GET requests is 2.00 s over 80 requests, "
        "where the old one's was 0.10 s and up to 0.45 s is allowed."
    )


def test_more_chats_than_before_are_not_taken_for_a_slower_release() -> None:
    old = answered(2060, GET=(0.01,) * 2000, POST=(5.0,) * 60)
    new = answered(1500, GET=(0.01,) * 1000, POST=(5.0,) * 500)
    assert (old.p95_seconds, new.p95_seconds) == (0.01, 5.0)
    assert judged(old, new) == ""


def test_slower_chats_are_noticed_among_many_fast_pages() -> None:
    old = answered(1060, GET=(0.01,) * 10_000, POST=(2.0,) * 60)
    new = answered(1060, GET=(0.01,) * 10_000, POST=(9.0,) * 60)
    assert "p95 of POST requests is 9.00 s" in judged(old, new)


@pytest.mark.parametrize(("restarts", "told"), [(1, "restarted once"), (3, "restarted 3 times")])
def test_a_release_whose_containers_restart_goes_without_a_single_request(restarts: int, told: str) -> None:
    assert told in judged(Sample(), Sample(), restarts=restarts)


def test_the_rules_are_configuration() -> None:
    old, new = answered(1000, GET=(0.1,) * 100), answered(1000, 30, GET=(0.5,) * 100)
    assert judged(old, new, BakeRules(max_error_ratio=0.05, max_slowdown=3.0)) == ""
    assert "5xx" in judged(old, new, BakeRules(max_error_ratio=0.02))
    assert "p95" in judged(old, replace(new, errors_5xx=0), BakeRules(slowdown_floor=0.0))
    assert judged(Sample(), answered(2, 1), BakeRules(minimum_requests=0, minimum_errors=1)) != ""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (answered(100, GET=(0.1,) * 100), answered(100, GET=(0.1,) * 100), ""),
        (answered(100, GET=(0.1,) * 100), answered(0), "The new release had 0 requests of the 50"),
        (answered(100, GET=(0.1,) * 100), answered(49, GET=(0.1,) * 49), "The new release had 49 requests of the 50"),
        (answered(0), answered(100, GET=(0.1,) * 100), "the old one had too few"),
        (answered(100, POST=(0.1,) * 100), answered(100, GET=(0.1,) * 100), "the old one had too few"),
    ],
)
def test_what_could_not_be_judged_is_said(old: Sample, new: Sample, told: str) -> None:
    reserved = reservation(old, new, new, RULES)
    assert told in reserved
    assert bool(reserved) is bool(told)


SLOW, FAST = answered(100, GET=(2.0,) * 100), answered(100, GET=(0.1,) * 100)


@pytest.mark.parametrize(
    ("new", "warm", "goes"),
    [
        (SLOW, SLOW, True),
        (SLOW, FAST, False),  # it was slow while it opened its connections
        (SLOW, answered(49, GET=(2.0,) * 49), False),  # too few of them to know
        (FAST, SLOW, False),  # a slow moment among many fast ones
        (FAST, FAST, False),
        (
            answered(200, GET=(2.0,) * 100, POST=(0.1,) * 100),
            answered(100, POST=(2.0,) * 100),
            False,
        ),  # not the same ones
    ],
)
def test_a_release_is_slow_when_it_is_so_all_the_time_and_when_warm(new: Sample, warm: Sample, goes: bool) -> None:
    assert bool(verdict(FAST, new, warm, RULES, 0)) is goes


def test_a_release_of_whose_slow_beginning_nothing_more_is_known_is_told() -> None:
    assert reservation(FAST, SLOW, Sample(), RULES) == (
        "It began slowly, and had too few requests after its first 5 s to know if it is slow."
    )
    assert reservation(FAST, SLOW, FAST, RULES) == ""
    assert reservation(FAST, FAST, Sample(), RULES) == ""
    both = answered(200, GET=(0.1,) * 100, POST=(0.1,) * 100)
    assert "slowly" in reservation(both, answered(200, GET=(0.1,) * 100, POST=(2.0,) * 100), FAST, RULES)


def test_a_request_began_when_the_upstream_was_asked() -> None:
    requests = [replace(GOOD, time=1010.0, seconds=seconds) for seconds in (2.0, 5.0, 5.5)]
    assert begun_since(requests, 1005.0) == requests[:2]


def test_a_sample_is_described_in_a_line() -> None:
    assert described(answered(312, 2, GET=(0.04,) * 310)) == "312 requests, 2 failed, p95 0.04 s"


# nginx's log


def line(stamp: str = "2026-01-02T03:04:05.250000000Z", **fields: Any) -> str:
    told = {
        "time": "2026-01-02T03:04:05+00:00", "method": "POST", "uri": "/api/chat", "status": 200,
        "request_time": 0.5, "upstream": "172.30.0.30:8000", "upstream_status": "200", "upstream_time": "0.125",
        "slot": "green", "release": "0123456789ab",
    }  # fmt: skip
    return f"{stamp} {json.dumps(told | fields)}"


def test_a_line_of_the_log_becomes_a_request_at_the_engines_precise_time() -> None:
    assert proxy_log.parse(line(), SLOTS) == Request(
        1767323045.25, "POST", "/api/chat", 200, 0.125, "green", "0123456789ab"
    )
    parsed = proxy_log.parse(line(stamp="2026-01-02T03:04:05Z"), SLOTS)
    assert parsed is not None
    assert parsed.time == 1767323045.0


@pytest.mark.parametrize(
    "other",
    [
        "",
        "2026-01-02T03:04:05.25Z",
        "2026-01-02T03:04:05.25Z 10.0.0.1 - GET /",
        "2026-01-02T03:04:05.25Z 7",
        '2026-01-02T03:04:05.25Z {"method": "GET"}',
        line()[:-30],
        line(stamp="yesterday"),
        line(status="-"),
        line(status=None),
    ],
)
def test_what_is_no_line_of_a_request_is_left_out(other: str) -> None:
    assert proxy_log.parse(other, SLOTS) is None


@pytest.mark.parametrize(
    ("upstream", "upstream_time", "seconds", "failed"),
    [
        ("172.30.0.30:8000", "0.125", 0.125, ()),
        ("172.30.0.30:8000, 172.30.0.20:8000", "0.001, 0.250", 0.25, ("green",)),
        ("172.30.0.30:8000 : 172.30.0.20:8000", "3.000 : 0.250", 0.25, ("green",)),
        ("172.30.0.30:8000, 172.30.0.20:8000", "0.001, -", 0.5, ("green",)),
        ("172.30.0.99:8000, 172.30.0.20:8000", "0.001, 0.250", 0.25, ()),  # nobody's address
        ("", "", 0.5, ()),
        ("-", "-", 0.5, ()),
    ],
)
def test_whom_nginx_asked_in_vain_is_read_from_the_upstreams(
    upstream: str, upstream_time: str, seconds: float, failed: tuple[str, ...]
) -> None:
    request = proxy_log.parse(line(upstream=upstream, upstream_time=upstream_time), SLOTS)
    assert request is not None
    assert (request.seconds, request.failed_slots) == (seconds, failed)


@pytest.mark.parametrize(
    ("fields", "failed", "errors"),
    [
        ({"slot": "", "status": 504, "upstream_time": "60.0"}, ("green",), 1),
        ({"slot": "", "status": 502, "upstream": "172.30.0.30:8000, 172.30.0.20:8000"}, ("green", "blue"), 1),
        ({"slot": "", "status": 503, "upstream": ""}, (), 0),  # maintenance
        ({"slot": "", "status": 499}, (), 0),  # the client has gone
        ({"slot": "green", "status": 502}, (), 1),  # the application's own, counted by its status
    ],
)
def test_an_error_that_nginx_made_for_want_of_an_answer_is_that_of_whom_it_asked(
    fields: dict[str, Any], failed: tuple[str, ...], errors: int
) -> None:
    request = proxy_log.parse(line(**fields), SLOTS)
    assert request is not None
    assert request.failed_slots == failed
    assert sample([request], "green").errors_5xx == errors


def test_a_release_that_hangs_is_slow_though_no_client_waits_for_its_answer() -> None:
    hanging = [line(slot="", status=499, upstream_time="8.0") for _ in range(60)]
    requests = [request for text in hanging if (request := proxy_log.parse(text, SLOTS)) is not None]
    new = sample(requests, "green")
    assert (new.count, new.errors_5xx) == (60, 0)
    assert "p95 of POST requests is 8.00 s" in judged(answered(60, POST=(0.1,) * 60), new)
    nobody = proxy_log.parse(line(slot="", status=499, upstream="", upstream_time=""), SLOTS)
    assert nobody is not None
    assert nobody.slot == ""


def test_a_log_without_slots_tells_of_no_slot() -> None:
    told = json.loads(line().partition(" ")[2])
    del told["slot"]
    request = proxy_log.parse(f"2026-01-02T03:04:05Z {json.dumps(told)}", SLOTS)
    assert request is not None
    assert request.slot == ""


class Engine:
    """An engine whose container has written this to standard output."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.asked: dict[str, Any] = {}

    def logs(self, container: str, **options: Any) -> bytes:
        if container != "erni-nginx":
            raise proxy_log.engine.docker_errors.APIError("no such container", explanation=f"no {container}")
        self.asked = options
        return self.text


def test_the_log_is_read_from_a_moment_on_and_oldest_first() -> None:
    odd = line(uri="/a").replace("0123456789ab", "a\u2028b")  # a line for Python, not for nginx
    engine = Engine("\n".join([odd, "2026-01-02T03:04:05Z starting", line(uri="/b"), ""]).encode() + b"\xff")
    requests = proxy_log.read_requests(engine, "erni-nginx", 1767323000.5, SLOTS)
    assert [request.uri for request in requests] == ["/a", "/b"]
    assert (engine.asked["since"], engine.asked["timestamps"]) == (1767323000, True)


class LongLog:
    """An engine whose container has written a line each second; it remembers how many it was asked for."""

    def __init__(self, count: int) -> None:
        self.lines = [(1000 + at, f"{stamp(1000 + at)} {line().partition(' ')[2]}\n".encode()) for at in range(count)]
        self.tails: list[int] = []

    def logs(self, _container: str, *, since: int, tail: int, **_: Any) -> bytes:
        self.tails.append(tail)
        return b"".join(text for at, text in self.lines[-tail:] if at >= since)


def stamp(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z", time.gmtime(seconds))


@pytest.mark.parametrize(
    ("since", "read", "tails"),
    [
        (1095, 5, [10]),
        (1090, 10, [10, 20]),  # ten were asked for and came: there may be more
        (1075, 25, [10, 20, 40]),
        (0, 100, [10, 20, 40, 80, 160]),
        (1100, 0, [10]),
    ],
)
def test_a_long_log_is_read_from_its_end_and_no_further_than_needed(
    monkeypatch: pytest.MonkeyPatch, since: int, read: int, tails: list[int]
) -> None:
    monkeypatch.setattr(proxy_log, "FIRST_LINES", 10)
    engine = LongLog(100)
    assert len(proxy_log.read_requests(engine, "erni-nginx", since, SLOTS)) == read
    assert engine.tails == tails


@pytest.mark.parametrize(("since", "read"), [(1767323045.2, 1), (1767323045.25, 1), (1767323045.3, 0)])
def test_what_was_answered_earlier_in_the_same_second_does_not_count(since: float, read: int) -> None:
    """The engine is asked by whole seconds: Debian's SDK for it knows no parts of them."""
    engine = Engine(line().encode())
    assert len(proxy_log.read_requests(engine, "erni-nginx", since, SLOTS)) == read
    assert engine.asked["since"] == 1767323045


def test_a_log_that_cannot_be_read_is_an_error_with_its_cause() -> None:
    with pytest.raises(PlatformError, match="log of erni-other cannot be read: no erni-other"):
        proxy_log.read_requests(Engine(b""), "erni-other", 1.0, SLOTS)
