"""The watch over a release after the switch: it ends early where it must, and tells what its judgement rests on."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible.module_utils.erni import release_bake
from ansible.module_utils.erni.bake import BakeRules
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.release_bake import Bake

SWITCH = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC).timestamp()
BLUE, GREEN = "172.30.10.20", "172.30.10.30"
CONTAINERS = ["erni-backend", "erni-frontend"]
RULES = BakeRules(minimum_requests=10, minimum_errors=3)


@dataclass
class Host:
    """nginx's log on a clock that only sleeping moves on; ``restarted`` and ``state`` tell of the new containers."""

    lines: list[tuple[float, str]] = field(default_factory=list)
    now: float = SWITCH
    asked_since: list[int] = field(default_factory=list)
    restarted: Callable[[float], int] = lambda _: 0
    state: Callable[[float], dict[str, Any]] = lambda _: {"Running": True, "Health": {"Status": "healthy"}}

    def answers(
        self, count: int, begin: float, address: str, *, status: int = 200, seconds: float = 0.01, every: float = 0.1
    ) -> None:
        """So many answers, the first of them ``begin`` seconds after the switch."""
        for number in range(count):
            at = SWITCH + begin + number * every
            stamp = dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
            told = {
                "method": "GET", "uri": "/health", "status": status, "request_time": seconds,
                "upstream": f"{address}:8000", "upstream_time": str(seconds),
                "slot": {BLUE: "blue", GREEN: "green"}[address],
            }  # fmt: skip
            self.lines.append((at, f"{stamp} {json.dumps(told)}"))

    def logs(self, container: str, *, since: int, **_: Any) -> bytes:
        assert container == "erni-nginx"
        assert isinstance(since, int), "Debian's SDK takes no other"
        self.asked_since.append(since)
        return "\n".join(line for at, line in sorted(self.lines) if since <= at <= self.now).encode()

    def inspect_container(self, name: str) -> dict[str, Any]:
        assert name in CONTAINERS
        new = name == CONTAINERS[0]
        healthy = {"Running": True, "Health": {"Status": "healthy"}}
        return {
            "RestartCount": self.restarted(self.now - SWITCH) if new else 4,
            "State": self.state(self.now - SWITCH) if new else healthy,
        }

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """The old release, in blue, has answered two hundred requests before the switch."""
    made = Host()
    made.answers(200, -25, BLUE)
    monkeypatch.setattr(release_bake, "time", made)
    return made


def bake(host: Host, seconds: float = 30, rules: BakeRules = RULES) -> list[str]:
    slots = {BLUE: "blue", GREEN: "green"}
    return Bake(host, "erni-nginx", slots, CONTAINERS, seconds, rules).run("blue", "green")


def failed(host: Host) -> str:
    with pytest.raises(PlatformError) as raised:
        bake(host)
    return str(raised.value)


def took(host: Host) -> float:
    return host.now - SWITCH


def test_a_release_that_does_well_is_watched_for_the_whole_time_and_told_with_its_figures(host: Host) -> None:
    host.answers(250, 1, GREEN)
    assert bake(host) == [
        "Before the switch: 200 requests, 0 failed, p95 0.01 s; since: 250 requests, 0 failed, p95 0.01 s."
    ]
    assert took(host) == 30


def test_a_release_that_fails_is_given_up_as_soon_as_that_is_clear(host: Host) -> None:
    host.answers(50, 0.5, GREEN)
    host.answers(20, 5.5, GREEN, status=502)
    said = failed(host)
    assert said.startswith("The new release does not do well: ")
    assert "requests to the new release failed (5xx)" in said
    assert "Before the switch: 200 requests, 0 failed" in said
    assert took(host) <= 7


def test_what_the_old_release_failed_at_is_not_held_against_the_new_one(host: Host) -> None:
    host.answers(100, -20, BLUE, status=500)
    host.answers(100, 1, GREEN)
    host.answers(20, 1, BLUE, status=500)  # in flight when it was switched
    assert "since: 100 requests, 0 failed" in bake(host)[0]


def test_the_old_release_is_judged_by_as_long_a_time_as_the_new_one(host: Host) -> None:
    host.answers(100, -100, BLUE, status=500)
    host.answers(100, 1, GREEN)
    assert bake(host)[0].startswith("Before the switch: 200 requests, 0 failed")


def test_a_release_that_has_become_slow_goes(host: Host) -> None:
    host.answers(100, 3.1, GREEN, seconds=3.0)
    assert "answers slowly: its p95 of GET requests is 3.00 s" in failed(host)
    assert 5 + 3 < took(host) < 30, "the first requests are not held against it"


def test_a_release_that_only_begins_slowly_stays(host: Host) -> None:
    host.answers(40, 0.7, GREEN, seconds=0.6)
    host.answers(210, 5.1, GREEN)
    assert len(bake(host)) == 1
    assert took(host) == 30


@pytest.mark.parametrize("seconds", [0.5, 1.0])
def test_a_short_watch_goes_on_until_it_is_known_whether_a_slow_release_stays_slow(host: Host, seconds: float) -> None:
    host.answers(30, -0.4, BLUE, every=0.01)
    host.answers(20, 0.1, GREEN, seconds=0.6, every=0.01)
    host.answers(40, 5.1, GREEN, seconds=0.01)
    bake(host, seconds=seconds)
    assert 5 < took(host) < 10

    host.now, host.lines = SWITCH, [line for line in host.lines if line[0] < SWITCH + 5]
    host.answers(20, 6.1, GREEN, seconds=0.6)
    with pytest.raises(PlatformError, match=r"p95 of GET requests is 0\.60 s over 10 requests"):
        bake(host, seconds=seconds)


def test_a_slow_beginning_without_requests_later_is_told(host: Host) -> None:
    host.answers(30, -0.9, BLUE, every=0.01)
    host.answers(20, 0.1, GREEN, seconds=0.6, every=0.01)
    assert "It began slowly" in bake(host, seconds=1.0)[-1]
    assert took(host) == 10


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"Running": False}, "erni-backend does not run any more."),
        ({"Running": True, "Health": {"Status": "unhealthy"}}, "erni-backend has become unhealthy."),
    ],
)
def test_a_container_that_ends_or_turns_unhealthy_ends_the_bake_without_a_single_request(
    host: Host, state: dict[str, Any], said: str
) -> None:
    host.state = lambda passed: state if passed >= 10 else {"Running": True, "Health": {"Status": "healthy"}}
    assert said in failed(host)
    assert took(host) == 10


@pytest.mark.parametrize("health", [None, {"Status": "starting"}, {"Status": "healthy"}])
def test_a_container_that_runs_and_is_not_known_to_be_ill_is_well(host: Host, health: dict[str, str] | None) -> None:
    host.answers(100, 1, GREEN)
    host.state = lambda _: {"Running": True, "Health": health}
    assert took(host) == 0
    bake(host)
    assert took(host) == 30


def test_only_restarts_since_the_switch_count(host: Host) -> None:
    host.answers(100, 1, GREEN)
    host.restarted = lambda _: 2
    bake(host)
    host.now = SWITCH
    host.restarted = lambda passed: 2 if passed < 12 else 3
    assert "containers restarted once after they had been found good" in failed(host)
    assert took(host) == 12


@pytest.mark.parametrize(
    ("before", "since", "note"),
    [
        (0, 0, "The new release had 0 requests of the 10 that a judgement wants"),
        (0, 9, "The new release had 9 requests of the 10 that a judgement wants"),
        (0, 10, "Nothing is known of the new release's speed"),
        (10, 10, ""),
    ],
)
def test_a_judgement_that_rests_on_little_says_so(host: Host, before: int, since: int, note: str) -> None:
    host.lines.clear()
    host.answers(before, -20, BLUE)
    host.answers(since, 1, GREEN)
    said = bake(host)
    assert len(said) == (2 if note else 1)
    assert note in said[-1]


def test_of_the_log_only_what_is_new_is_read_and_nothing_twice(host: Host) -> None:
    host.answers(250, 1, GREEN)
    assert "since: 250 requests" in bake(host)[0]
    first, *later = host.asked_since
    assert first == SWITCH - 30
    assert later == sorted(later)
    assert later[-1] >= SWITCH + 25, "it begins where it ended the last time"


def test_the_last_look_is_after_the_whole_time_however_short_it_is(host: Host) -> None:
    host.answers(20, 0.3, GREEN, every=0.01)
    assert "since: 20 requests" in bake(host, seconds=0.5)[0]
    assert took(host) == 0.5
