"""Nothing becomes a platform with one command, and `--check` says beforehand what that will be."""

from __future__ import annotations

from e2e_platform import NAME, PLATFORM_ROOT, SERVICES, Platform
from e2e_secrets import BringUp


def test_a_check_on_nothing_predicts_all_and_creates_nothing(nothing: Platform) -> None:
    run = nothing.make("up", check=1, diff=1).succeeded()

    for service in SERVICES:
        assert f"{NAME}-{service} is created and started" in run.output
    for volume in ("postgres-data", "redis-data", "backend-sessions", "backend-logs"):
        assert f"volume {NAME}-{volume} is created" in run.output
    for network in ("edge", "data"):
        assert f"{NAME}-{network}" in run.output
    assert "would: " in run.output
    assert nothing.footprint() == {"containers": {}, "networks": {}, "volumes": set(), "files": {}}
    assert not PLATFORM_ROOT.exists()


def test_one_command_brings_up_five_services(platform: Platform, first_bring_up: BringUp) -> None:
    assert first_bring_up.run.code == 0
    assert platform.is_well()
