"""The load generator against a site that misbehaves on purpose: what a user would have seen fail is counted, once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import load_generator
import pytest
from load_generator import Load, run_load
from load_report import Report
from load_settings import CONNECTION, LONG, MIXTURE, Settings
from load_site import ASSET, Certificate, Site, make_certificate

# On a busy connection the next request would be under way before anything can happen between two.
ONLY_IDLE_ONES_ASK_FOR_HEALTH: dict[str, Any] = {"mixture": {"page": 1}, "rate": 60.0}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("site"))


def settings_for(site: Site, certificate: Certificate, **others: Any) -> Settings:
    """A short, dense load: all kinds of requests within half a second.

    Only what never comes is waited for as long as ``timeout``; a busy machine must not reach it otherwise.
    """
    quick: dict[str, Any] = {
        "rate": 250.0, "idle_connections": 4, "idle_pause": (0.05, 0.15), "slow_seconds": 0.2,
        "stream_seconds": (0.2, 0.2), "page_every": 0.2, "timeout": 5.0,
        "mixture": dict.fromkeys(MIXTURE, 1.0),
    }  # fmt: skip
    return Settings(site.port, str(certificate.certificate), **(quick | others))


def load(site: Site, certificate: Certificate, seconds: float = 0.4, **others: Any) -> Report:
    async def both() -> Report:
        async with site.serving():
            return await run_load(settings_for(site, certificate, **others), seconds)

    return asyncio.run(both())


def test_a_site_that_behaves_yields_no_failure_and_every_kind_of_request(certificate: Certificate) -> None:
    site = Site(certificate)
    report = load(site, certificate)
    assert report.failures == []
    assert set(report.sent) == {"health", "page", "fresh", "post", "slow", "stream", "asset", "idle"}
    assert report.total == sum(site.requests.values())
    # As much longer as the machine took for an answer.
    slowest = max(latency.longest for kind, latency in report.latencies.items() if kind not in LONG)
    assert (report.idle_closes, report.longest_silence < 0.3 + slowest) == (0, True)


def test_every_post_is_sent_once_and_told_with_its_id(certificate: Certificate) -> None:
    site = Site(certificate)
    report = load(site, certificate)
    assert dict(site.posts) == dict.fromkeys(report.posts_sent, 1)
    assert sorted(report.posts_answered) == sorted(report.posts_sent) != []


@pytest.mark.parametrize(
    ("fault", "path", "error"),
    [
        ("resets before the answer", "/health", "reset"),
        ("resets before the answer", "/api/chat", "reset"),
        ("closes without an answer", "/health", "closed without an answer"),
        ("closes without an answer", "/api/chat", "closed without an answer"),
        ("cuts the answer", "/health", "cut short: 13 of 21 bytes"),
        ("cuts the answer", "/api/chat/stream", "cut short"),
        ("answers 502", "/health", "status 502"),
        ("answers 502", "/api/chat", "status 502"),
        ("answers 502", "/api/chat/stream", "status 502"),
        ("answers something else", "/health", "does not hold"),
        ("answers something else", "/api/chat", "does not hold"),
        ("answers something else", "/api/chat/stream", "does not hold"),
        ("never answers", "/health", "no whole answer in time"),
        ("never answers", "/api/chat/stream", "no whole answer in time"),
        ("speaks no HTTP", "/health", "no HTTP"),
    ],
)
def test_a_request_that_gets_no_right_answer_is_one_failure_and_never_sent_again(
    certificate: Certificate, fault: str, path: str, error: str
) -> None:
    site = Site(certificate, fault, path)
    report = load(site, certificate)
    assert site.misbehaved
    assert [error in failure.error for failure in report.failures] == [True], report.as_text()
    assert report.total == sum(site.requests.values())
    assert set(site.posts.values()) == {1}


@pytest.mark.parametrize(
    ("fault", "path"),
    [
        ("cuts the answer", "/"),
        ("answers 502", "/"),
        ("answers something else", "/"),
        ("closes without an answer", "/"),
    ],
)
def test_a_page_that_breaks_during_the_load_is_one_failure(certificate: Certificate, fault: str, path: str) -> None:
    site = Site(certificate, fault, path, spared=1)
    report = load(site, certificate)
    assert [failure.kind for failure in report.failures] == ["page"], report.as_text()


@pytest.mark.parametrize("fault", ["cuts the answer", "answers 502", "answers something else"])
def test_an_old_pages_asset_that_is_missing_or_another_is_one_failure(certificate: Certificate, fault: str) -> None:
    site = Site(certificate, fault, ASSET, spared=1)
    report = load(site, certificate)
    assert [failure.kind for failure in report.failures] == ["asset"], report.as_text()


@pytest.mark.parametrize(("fault", "error"), [("resets while idle", "reset while idle"), ("answers twice", "nobody")])
def test_a_connection_that_breaks_between_requests_is_one_failure(
    certificate: Certificate, fault: str, error: str
) -> None:
    report = load(Site(certificate, fault, "/health"), certificate, **ONLY_IDLE_ONES_ASK_FOR_HEALTH)
    assert [(f.kind, error in f.error) for f in report.failures] == [(CONNECTION, True)], report.as_text()


def test_a_connection_that_is_closed_in_order_between_requests_is_no_failure_but_counted(
    certificate: Certificate,
) -> None:
    report = load(Site(certificate, "closes while idle", "/health"), certificate, **ONLY_IDLE_ONES_ASK_FOR_HEALTH)
    assert (report.failures, report.idle_closes) == ([], 1)


@pytest.mark.parametrize(("idle_limit", "kept"), [(0, True), (60, True), (1, False)])
def test_a_connection_that_the_server_is_about_to_close_is_given_up_before(
    certificate: Certificate, idle_limit: int, kept: bool
) -> None:
    site = Site(certificate, idle_limit=idle_limit)
    # So far apart that each finds a connection that is free again.
    report = load(site, certificate, 1.0, rate=60.0, idle_connections=2, mixture={"health": 1})
    assert (report.failures, report.idle_closes) == ([], 0)
    assert (site.connections < report.total / 2) is kept


def test_a_failure_tells_when_and_on_what_connection_and_how_to_find_it_in_the_servers_log(
    certificate: Certificate,
) -> None:
    report = load(Site(certificate, "answers 502", "/health", spared=20), certificate)
    (failure,) = report.failures
    assert 0 < failure.at < report.seconds
    assert 0 < failure.connection_age < report.seconds
    assert failure.correlation_id.startswith("load-")
    assert report.seconds_with_failures == 1


def test_a_site_that_refuses_connections_fails_every_request(certificate: Certificate) -> None:
    async def both() -> Report:
        site = Site(certificate)
        async with site.serving():
            settings = settings_for(site, certificate, mixture={"fresh": 1}, idle_connections=0, page_every=9.0)
            running = asyncio.create_task(run_load(settings, 2.0))
            while site.requests.total() < 10:
                await asyncio.sleep(0.01)
        return await running

    report = asyncio.run(both())
    assert len(report.failures) > 10
    assert {failure.error.partition(":")[0] for failure in report.failures} == {"no connection"}
    # Half of it, since answers can still be under way when the first connection is refused.
    assert report.longest_silence > (report.seconds - report.failures[0].at) / 2


def test_more_requests_than_can_wait_are_failures_and_not_sent(certificate: Certificate) -> None:
    site = Site(certificate)
    report = load(site, certificate, mixture={"slow": 1}, most_under_way=3, idle_connections=1, rate=60.0)
    errors = {failure.error for failure in report.failures}
    assert errors == {"not sent: 3 requests wait for their answers"}
    assert report.total - len(report.failures) == sum(site.requests.values())


# The whole generator, in its own process


@contextmanager
def in_the_background(site: Site) -> Iterator[None]:
    """The site in a thread, while the test does what a test does."""
    ready, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        async with site.serving():
            ready.set()
            while not stop.is_set():
                await asyncio.sleep(0.02)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        stop.set()
        thread.join(10)


def test_the_full_rate_is_kept_without_a_failure_and_well_below_one_core(certificate: Certificate) -> None:
    site = Site(certificate)
    with in_the_background(site), Load(Settings(site.port, str(certificate.certificate))) as load:
        load.mark("half\nway")
        time.sleep(4)
        report = load.stop()
    assert report.failures == []
    assert report.rate == pytest.approx(300, rel=0.1)
    assert sum(site.requests.values()) == report.total
    assert dict(site.posts) == dict.fromkeys(report.posts_answered, 1)
    assert [mark.text for mark in report.marks] == ["half way"]
    assert report.processor_share < 0.7


def test_a_load_on_nothing_does_not_begin(certificate: Certificate) -> None:
    with pytest.raises(RuntimeError, match="does not serve its page: page: no connection"):
        Load(Settings(1, str(certificate.certificate))).start()


def test_a_load_on_a_site_with_another_certificate_does_not_begin(certificate: Certificate, tmp_path: Path) -> None:
    site = Site(certificate)
    other = make_certificate(tmp_path)
    with in_the_background(site), pytest.raises(RuntimeError, match="certificate verify failed"):
        Load(Settings(site.port, str(other.certificate))).start()


def test_a_load_that_nobody_stops_ends_with_the_test(certificate: Certificate) -> None:
    site = Site(certificate)
    with in_the_background(site):
        with Load(Settings(site.port, str(certificate.certificate))):
            pass
        time.sleep(0.1)
        before = sum(site.requests.values())
        time.sleep(0.2)
        assert sum(site.requests.values()) == before


@pytest.mark.parametrize(("fault", "code"), [("", 0), ("answers 502", 1)])
def test_the_program_tells_by_its_exit_code_whether_anything_failed(
    certificate: Certificate, tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str, code: int
) -> None:
    site, out = Site(certificate, fault, "/health"), tmp_path / "report.json"
    with in_the_background(site):
        words = ["--port", str(site.port), "--ca", str(certificate.certificate), "--rate", "50", "--seconds", "0.5"]
        assert load_generator.main([*words, "--json", str(out)]) == code
    report = Report.from_json(out.read_text())
    assert (len(report.failures), report.as_text() in capsys.readouterr().out) == (code, True)


def test_the_program_says_why_there_is_no_load(certificate: Certificate, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--port", "1", "--ca", str(certificate.certificate), "--seconds", "1"]
    assert load_generator.main(words) == 2
    assert load_generator.main([*words, "--settings", '{"mixture": {"telepathy": 1}}']) == 2
    errors = capsys.readouterr().err
    assert "does not serve its page" in errors
    assert "telepathy" in errors
