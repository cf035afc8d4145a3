"""When a client has sent enough."""

from __future__ import annotations

import pytest
from erni_backend import rate_limit
from erni_backend.settings import Settings

LIMITS = Settings(rate_limit_per_minute=3, rate_limit_per_hour=5, rate_limit_per_day=6)
MIDNIGHT = 1_700_006_400.0


def send(counter: rate_limit.MemoryCounter, now: float, client: str = "192.0.2.1") -> rate_limit.Window | None:
    touched = rate_limit.windows(LIMITS, client, now)
    return rate_limit.exhausted(list(zip(touched, counter.count(touched, now), strict=True)))


def test_requests_within_the_limit_pass_and_the_next_is_refused() -> None:
    counter = rate_limit.MemoryCounter()
    assert [send(counter, MIDNIGHT) for _ in range(3)] == [None] * 3
    refused = send(counter, MIDNIGHT)
    assert refused is not None
    assert (refused.name, refused.allowed, refused.ends_at) == ("minute", 3, MIDNIGHT + 60)


def test_clients_do_not_share_a_limit() -> None:
    counter = rate_limit.MemoryCounter()
    for _ in range(4):
        send(counter, MIDNIGHT)
    assert send(counter, MIDNIGHT, "192.0.2.2") is None


def test_a_new_minute_opens_the_minute_but_not_the_hour() -> None:
    counter = rate_limit.MemoryCounter()
    for _ in range(3):
        send(counter, MIDNIGHT)
    assert send(counter, MIDNIGHT + 60) is None
    assert send(counter, MIDNIGHT + 61) is None
    refused = send(counter, MIDNIGHT + 62)
    assert refused is not None
    assert refused.name == "hour"


def test_of_several_full_windows_the_longest_is_named() -> None:
    touched = rate_limit.windows(LIMITS, "192.0.2.1", MIDNIGHT)
    refused = rate_limit.exhausted([(window, 100) for window in touched])
    assert refused is not None
    assert refused.name == "day"


@pytest.mark.parametrize("offset", [0, 0.5, 59.9, 3_599, 86_399.9])
def test_windows_end_in_the_future_and_within_their_length(offset: float) -> None:
    now = MIDNIGHT + offset
    for window in rate_limit.windows(LIMITS, "192.0.2.1", now):
        assert now < window.ends_at <= now + window.seconds


def test_past_windows_are_forgotten() -> None:
    counter = rate_limit.MemoryCounter()
    for number in range(50):
        send(counter, MIDNIGHT, f"192.0.2.{number}")
    send(counter, MIDNIGHT + 2 * 86_400)
    assert len(counter._counts) == 3
