"""Killed at any moment, the next run finishes, and tells what serves."""

from __future__ import annotations

import time

import e2e_web
import pytest
from e2e_platform import ENV, NAME, PUBLIC_URL, SERVICES, Platform, Run

# Each kill meets what the one before has left: a bring-up that is killed later has first survived the earlier kills.
# A phase, and how many seconds after it began.
MOMENTS = [
    ("Networks, folders and images are in place", 0.5),
    ("PostgreSQL serves", 1.0),
    ("Redis serves", 0.8),
    ("Nginx serves", 1.0),
    ("The application serves", 1.0),
]


@pytest.fixture(scope="module")
def last_run(platform: Platform) -> Run:
    """The run that finishes what was killed in every phase, from nothing on."""
    if platform.containers():
        platform.make("destroy", confirm=ENV, volumes=1).succeeded()
    platform.sweep()
    for phase, delay in MOMENTS:
        run = platform.start("up")
        run.says(phase)
        time.sleep(delay)
        run.kill()
    return platform.up()


def test_a_bring_up_killed_in_every_phase_finishes_in_the_end(platform: Platform, last_run: Run) -> None:
    assert last_run.code == 0
    platform.make("verify").succeeded()
    assert platform.up().changes == []


def test_a_run_prints_its_five_healthy_services(platform: Platform, last_run: Run) -> None:
    release = e2e_web.secure("GET", "/").headers["x-erni-release"]
    for service in SERVICES:
        row = next(line for line in last_run.output.splitlines() if line.startswith(f"{service} "))
        image = platform.container(service).attrs["Config"]["Image"]
        assert f"{NAME}-{service}" in row
        assert " running " in row
        assert " healthy " in row
        assert image in row
        assert (release in row) == (service in ("backend", "frontend"))


def test_the_phases_are_numbered_and_their_times_add_up(last_run: Run) -> None:
    rows = [line for line in last_run.output.splitlines() if line.startswith("  [") and line.endswith(" s")]
    seconds = [float(row.split()[-2]) for row in rows]
    assert [row.split("]")[0].strip(" [") for row in rows] == [f"{n}/{len(rows)}" for n in range(1, len(rows) + 1)]
    assert len(rows) >= len(SERVICES)
    total = next(line for line in last_run.output.splitlines() if line.startswith("  total"))
    assert abs(sum(seconds) - float(total.split()[-2])) < 0.1 * len(rows)


def test_the_urls_are_printed(last_run: Run) -> None:
    for path in ("/", "/api/", "/health"):
        assert f"{PUBLIC_URL}{path}" in last_run.output


def test_a_replacement_killed_midway_is_finished_or_undone(running: Platform, conversation: str) -> None:
    run = running.start("up", args={"backend_settings": {"PROOF": "1"}, "frontend_settings": {"PROOF": "1"}})
    run.says("The application serves")
    time.sleep(1.5)
    run.kill()

    running.up()

    assert not [name for name in running.identities() if name.endswith(("-replaced", "-displaced", "-image"))]
    assert running.journal()[-1]["phase"] in ("done", "failed"), "whatever was begun has come to its end"
    assert running.release("frontend") == running.release("backend")
    assert not [e for e in running.container("backend").attrs["Config"]["Env"] if e.startswith("PROOF=")]
    assert running.messages_of(conversation) == 2
