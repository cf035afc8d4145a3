"""Killed at any moment, the next run finishes."""

from __future__ import annotations

import time

import pytest
from e2e_platform import Platform

# Each kill meets what the one before has left: a bring-up that is killed later has first survived the earlier kills.
# A phase, and how many seconds after it began.
MOMENTS = [
    ("Networks, folders and images are in place", 0.5),
    ("PostgreSQL serves", 1.0),
    ("Redis serves", 0.8),
    ("Nginx serves", 1.0),
    ("The application serves", 1.0),
]


def test_a_bring_up_killed_in_every_phase_finishes_in_the_end(nothing: Platform) -> None:
    for phase, delay in MOMENTS:
        run = nothing.start("up")
        run.says(phase)
        time.sleep(delay)
        run.kill()

    nothing.up()
    nothing.make("verify").succeeded()
    assert nothing.up().changes == []


@pytest.mark.parametrize("delay", [0.6, 2.0])
def test_a_replacement_killed_midway_is_finished_or_undone(running: Platform, conversation: str, delay: float) -> None:
    run = running.start("up", args={"backend_settings": {"PROOF": "1"}, "frontend_settings": {"PROOF": "1"}})
    run.says("The application serves")
    time.sleep(delay)
    run.kill()

    running.up()

    assert not [name for name in running.identities() if name.endswith(("-replaced", "-displaced", "-image"))]
    assert running.journal()[-1]["phase"] in ("done", "failed"), "whatever was begun has come to its end"
    assert running.release("frontend") == running.release("backend")
    assert not [e for e in running.container("backend").attrs["Config"]["Env"] if e.startswith("PROOF=")]
    assert running.messages_of(conversation) == 2
