"""Two operators at once: one changes the environment, the other is told who does."""

from __future__ import annotations

from e2e_platform import Platform


def test_a_second_run_is_refused_or_waits_and_says_who_is_at_work(running: Platform) -> None:
    first = running.start("up")
    first.says("[1/")

    refused = running.make("up", lock_wait=0)
    waited = running.make("up", lock_wait=120)

    refused.refused("Another run is changing this environment")
    assert "runs 'up' since" in refused.output
    assert "(process " in refused.output
    assert "waiting up to 120 s for it to end" in waited.succeeded().output
    assert first.ended().succeeded().changes == []
    assert waited.changes == []
    assert waited.seconds > refused.seconds
