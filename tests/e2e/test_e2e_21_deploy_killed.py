"""Killed with SIGKILL after any phase, under load, the next run finishes or undoes; no request is lost on the way.

Every single operation of the module is gone through in tests/unit/platform/test_platform_release_killed.py, on a model
of the engine. Here the whole run is killed for real, at the moments that differ most.
"""

from __future__ import annotations

import time

import e2e_web
from e2e_load import assert_nothing_lost, load
from e2e_platform import Platform
from e2e_releases import Releases

RATE = 60.0
PHASES = ("candidate", "switching", "switched", "proven")
PATIENCE_SECONDS = 120.0


def killed_after(platform: Platform, phase: str, wish: str) -> None:
    """Start a deploy and kill all of it as soon as the journal has the phase."""
    lines = len(platform.journal())
    run = platform.start("deploy", release=wish, args={"release_bake_seconds": 5})
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while phase not in {line["phase"] for line in platform.journal()[lines:]}:
            assert time.monotonic() < deadline, f"the journal did not come to {phase}:\n{run.output}"
            time.sleep(0.005)
    finally:
        run.kill()
    assert platform.journal()[-1]["phase"] not in ("done", "failed", "reverted"), "it was over before it was killed"


def test_a_deploy_killed_after_any_phase_is_finished_or_undone_without_losing_a_request(
    running: Platform, releases: Releases
) -> None:
    running.make("deploy").succeeded()
    variants = ("good", "better")
    with load(RATE) as traffic:
        for number, phase in enumerate(PHASES):
            traffic.mark(f"killed after {phase}")
            wish = releases.wish(variants[number % 2])
            killed_after(running, phase, wish)
            running.make("deploy", release=wish).succeeded()

            assert running.journal()[-1]["phase"] == "done"
            assert running.release("frontend") == running.release() == running.journal()[-1]["release"]
            assert running.container("backend").labels["ch.erni.slot"] == running.slot()
            assert not [name for name in running.identities() if name.endswith(("-displaced", "-image"))]
        report = traffic.stop()
    assert_nothing_lost(running, report)


def test_what_a_reboot_leaves_is_finished(running: Platform, releases: Releases) -> None:
    """A host that goes down in the middle of a transition comes up with all its containers started again."""
    killed_after(running, "switched", releases.wish("good"))
    for container in running.containers():
        container.restart(timeout=1)

    running.up()

    assert running.journal()[-1]["phase"] == "done"
    assert e2e_web.chat("Are you there again?")["response"]
    assert running.container("backend").labels["ch.erni.slot"] == running.slot()
