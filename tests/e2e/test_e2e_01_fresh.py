"""Nothing becomes a platform with one command, and `--check` says beforehand what that will be."""

from __future__ import annotations

import e2e_web
import pytest
from e2e_platform import NAME, PLATFORM_ROOT, PUBLIC_URL, SERVICES, Platform, Run


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


@pytest.fixture(scope="module")
def first_run(platform: Platform) -> Run:
    """The run that makes a platform of nothing."""
    platform.sweep()
    return platform.up()


def test_one_command_brings_up_five_healthy_services_and_prints_them(platform: Platform, first_run: Run) -> None:
    release = e2e_web.secure("GET", "/").headers["x-erni-release"]
    for service in SERVICES:
        row = next(line for line in first_run.output.splitlines() if line.startswith(f"{service} "))
        image = platform.container(service).attrs["Config"]["Image"]
        assert f"{NAME}-{service}" in row
        assert " running " in row
        assert " healthy " in row
        assert image in row
        assert (release in row) == (service in ("backend", "frontend"))
    assert platform.is_well()


def test_the_phases_are_numbered_and_their_times_add_up(first_run: Run) -> None:
    rows = [line for line in first_run.output.splitlines() if line.startswith("  [") and line.endswith(" s")]
    seconds = [float(row.split()[-2]) for row in rows]
    assert [row.split("]")[0].strip(" [") for row in rows] == [f"{n}/{len(rows)}" for n in range(1, len(rows) + 1)]
    assert len(rows) >= len(SERVICES)
    total = next(line for line in first_run.output.splitlines() if line.startswith("  total"))
    assert abs(sum(seconds) - float(total.split()[-2])) < 0.1 * len(rows)


def test_the_urls_are_printed(first_run: Run) -> None:
    for path in ("/", "/api/", "/health"):
        assert f"{PUBLIC_URL}{path}" in first_run.output
