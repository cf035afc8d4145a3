"""Destroyed, the platform leaves nothing but its history."""

from __future__ import annotations

from e2e_platform import ENV, NAME, PLATFORM_ROOT, Platform, marked_processes

NOTHING: dict[str, object] = {"containers": {}, "networks": {}, "volumes": set()}


def test_destroy_keeps_the_data_and_up_finds_it_again(running: Platform, conversation: str) -> None:
    running.make("destroy", confirm=ENV).succeeded()
    assert running.containers() == []
    assert running.engine.networks.list(names=[NAME]) == []

    running.up()

    assert running.messages_of(conversation) == 2


def test_destroy_with_volumes_leaves_nothing_but_the_history(running: Platform) -> None:
    running.make("destroy", confirm=ENV, volumes=1).succeeded()

    left = running.footprint()
    assert {kind: left[kind] for kind in ("containers", "networks", "volumes")} == NOTHING
    assert {name.split("/")[0] for name in left["files"]} <= {"backups"}
    assert {path.name for path in PLATFORM_ROOT.iterdir()} <= {"journal.jsonl", "metrics", "backups"}
    assert marked_processes() == []


def test_destroying_nothing_changes_nothing(platform: Platform) -> None:
    assert platform.make("destroy", confirm=ENV, volumes=1).succeeded().changes == []
