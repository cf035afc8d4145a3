"""A bad release never costs the one that serves; replicas come and go unnoticed. A few users are there meanwhile."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import e2e_web
import pytest
from e2e_load import assert_nothing_lost, load
from e2e_platform import NAME, Platform
from e2e_releases import Releases

RATE = 30


def backend_address(platform: Platform, name: str) -> str:
    networks = platform.container(name).attrs["NetworkSettings"]["Networks"]
    return f"{networks[f'{NAME}-edge']['IPAddress']}:8000"


def backends_asked(platform: Platform, seconds: float) -> set[str]:
    """Whom nginx asks from now on, in vain or not."""
    begin = time.time()
    time.sleep(seconds)
    lines = platform.container("nginx").logs(stderr=False, since=begin).decode().splitlines()
    asked = [address for line in lines for address in json.loads(line)["upstream"].split(", ")]
    return {address for address in asked if address.endswith(":8000")}


def test_two_replicas_share_the_requests_and_a_rollback_to_one_loses_none(running: Platform) -> None:
    running.make("deploy").succeeded()
    before, two = running.release(), {"backend_replicas": 2}
    mixture = {"health": 0.5, "post": 0.5}  # what is begun before a look at whom nginx asks has ended by then
    with load(RATE, mixture=mixture, idle_connections=0) as traffic:
        running.make("deploy", args=two).succeeded()
        assert backends_asked(running, 2) == {backend_address(running, n) for n in ("backend", "backend-2")}
        again = running.up(args=two)
        assert again.changes == [], again.output
        assert f"{NAME}-backend-2 " in running.make("status").succeeded().output
        running.make("rollback").succeeded()
        assert backends_asked(running, 2) == {backend_address(running, "backend")}
        report = traffic.stop()

    assert_nothing_lost(running, report)
    assert running.release() == before
    assert {"backend-2-blue", "backend-2-green"} & set(running.identities()), "ready to be gone back to"


@dataclass(frozen=True)
class Bad:
    """A release that must not stay, and what the run says of it. Those that have ``served`` pass their gate and are
    taken back, so that some users notice."""

    variant: str
    sentence: str
    served: bool = False


BAD = [
    Bad("crashing", "does not stay up"),
    Bad("never-ready", "did not pass its gate within"),
    Bad("dying", "does not do well", served=True),
    Bad("failing", "failed (5xx)", served=True),
    Bad("slow", "answers slowly", served=True),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.variant)
def test_a_bad_release_ends_with_the_former_one_serving(running: Platform, releases: Releases, bad: Bad) -> None:
    before, serving = running.release(), running.serving()
    args = {"release_bake_seconds": 30, "backend_gate_timeout": 10}
    # No streams and no slow answers: what the load has to notice is the release.
    mixture = {"health": 0.2, "post": 0.8}
    with load(RATE, mixture=mixture, idle_connections=0) as traffic:
        run = running.make("deploy", release=releases.wish(bad.variant), args=args)
        report = traffic.stop()

    run.refused(bad.sentence)
    assert running.release() == before
    assert {name: i.id for name, i in running.serving().items()} == {name: i.id for name, i in serving.items()}
    assert e2e_web.chat("Are you there?")["response"]
    assert not [name for name in running.identities() if name.endswith(("-displaced", "-image"))]
    if not bad.served:
        assert report.failures == [], report.failures_by_kind()


def test_a_release_that_was_taken_back_does_not_come_again_by_itself(running: Platform, releases: Releases) -> None:
    args = {"release_bake_seconds": 30, "backend_gate_timeout": 10}  # as before: another setting is another release
    running.make("deploy", release=releases.wish(BAD[-1].variant), args=args).refused("is quarantined")


def test_the_history_tells_what_serves_and_what_was_taken_back(running: Platform) -> None:
    told = running.make("releases").succeeded().output
    assert running.release() in told
    assert "serves" in told
    assert "quarantined" in told
