"""A watchdog outside hears of each run, by its own convention, and never holds one up; its URL is a secret."""

from __future__ import annotations

import socket
import time

import pytest
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.heartbeat import FAILED, SIGNALS, STARTED, SUCCEEDED, address, beat
from small_servers import LOOPBACK, Web

pytestmark = pytest.mark.usefixtures("no_proxy")

KEY = "B0T0K3N"


@pytest.mark.parametrize(
    ("url", "signal", "expected"),
    [
        ("https://example.org/abc", STARTED, "https://example.org/abc/start"),
        ("https://example.org/abc", SUCCEEDED, "https://example.org/abc"),
        ("https://example.org/abc/", FAILED, "https://example.org/abc/fail"),
        (" https://example.org/abc?create=1\n", FAILED, "https://example.org/abc/fail?create=1"),
        ("http://example.org:8000/p/k", STARTED, "http://example.org:8000/p/k/start"),
    ],
)
def test_a_signal_goes_below_the_url(url: str, signal: str, expected: str) -> None:
    assert address(url, signal) == expected


@pytest.mark.parametrize("url", [f"ftp://example.org/{KEY}", f"file:///{KEY}", KEY, f"http://[{KEY}", f"http:///{KEY}"])
@pytest.mark.parametrize("signal", SIGNALS)
def test_what_is_no_url_is_refused_and_not_shown(url: str, signal: str) -> None:
    with pytest.raises(PlatformError, match="its address is no http or https URL") as refused:
        beat(url, signal)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_signal_arrives(web: Web, signal: str) -> None:
    beat(f"http://{LOOPBACK}:{web.port}/{KEY}", signal)
    assert web.seen == [("GET", f"/{KEY}/{signal}".rstrip("/"), "", b"")]


def test_a_watchdog_that_is_away_is_told_without_its_url() -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        port = listener.getsockname()[1]
    with pytest.raises(
        PlatformError, match=r"^The heartbeat 'fail' could not be sent: Connection refused\."
    ) as refused:
        beat(f"http://{LOOPBACK}:{port}/{KEY}", FAILED)
    assert KEY not in str(refused.value)


def test_a_watchdog_that_answers_a_byte_at_a_time_holds_nobody_up() -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()
        begin = time.monotonic()
        with pytest.raises(PlatformError, match=r"it was not done within 0\.3 s"):
            beat(f"http://{LOOPBACK}:{listener.getsockname()[1]}/{KEY}", STARTED, step=5.0, whole=0.3)
        assert time.monotonic() - begin < 3


def test_a_watchdog_that_does_not_answer_is_given_up() -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()
        with pytest.raises(PlatformError, match=r"it did not answer within 0\.2 s|timed out") as refused:
            beat(f"http://{LOOPBACK}:{listener.getsockname()[1]}/{KEY}", STARTED, step=0.2)
    assert KEY not in str(refused.value)
