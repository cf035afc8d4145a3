"""A deploy loses no request, and a rollback neither."""

from __future__ import annotations

import time

import pytest
from e2e_load import assert_nothing_lost, load
from e2e_platform import Platform
from e2e_releases import Releases
from load_settings import LONG

CYCLES = 5  # of a deploy and a rollback
# Requests a second, mixed. The full rate where the machine carries it with nothing else going on: two cores that are
# slow or busy, as a machine that tests may be, do not. benchmarks/bench_deploy.py never sends less.
FULL_RATE, RATE = 300.0, 150.0
TRIED_SECONDS, TRIED_P95_SECONDS = 5.0, 0.1


def carried_rate() -> float:
    """The full rate, if a short load of it is answered without anybody having to wait."""
    with load(FULL_RATE) as traffic:
        time.sleep(TRIED_SECONDS)
        report = traffic.stop()
    slowest = max(told.p95 for kind, told in report.latencies.items() if kind not in LONG)
    return FULL_RATE if not report.failures and slowest < TRIED_P95_SECONDS else RATE


def test_deploys_and_rollbacks_under_load_lose_no_request(
    running: Platform, releases: Releases, capsys: pytest.CaptureFixture[str]
) -> None:
    before, rate = running.release(), carried_rate()
    with capsys.disabled():
        print(f"\n{CYCLES} deploys and rollbacks under {rate:.0f} requests a second")
    with load(rate) as traffic:
        for cycle in range(CYCLES):
            traffic.mark("deploy")
            # Not the one that waits in the other slot: each deploy has to start a candidate.
            running.make("deploy", release=releases.wish(("good", "better")[cycle % 2])).succeeded()
            assert running.release() != before
            traffic.mark("rollback")
            running.make("rollback").succeeded()
            assert running.release() == before
        report = traffic.stop()
    assert_nothing_lost(running, report)
