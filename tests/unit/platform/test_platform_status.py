"""How the services are doing, as figures and as a table."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.erni import status
from ansible.module_utils.erni.status import (
    Question,
    ServiceStatus,
    as_json,
    as_table,
    duration,
    observe_status,
    short_image,
    uptime,
    usage,
)

MIB = 1024 * 1024


def sample(cpu: int, system: int, memory: dict[str, Any] | None = None, processors: int = 2) -> dict[str, Any]:
    return {
        "cpu_stats": {"cpu_usage": {"total_usage": cpu}, "system_cpu_usage": system, "online_cpus": processors},
        "memory_stats": memory or {},
    }


@pytest.mark.parametrize(
    ("first", "second", "percent"),
    [
        (sample(0, 0), sample(100, 200), 100.0),  # half of two processors is all of one
        (sample(1000, 5000), sample(1000, 6000), 0.0),
        (sample(0, 0), sample(200, 200), 200.0),
        (sample(0, 0, processors=4), sample(1, 400, processors=4), 1.0),
        (sample(5, 5), sample(9, 5), 0.0),  # no time has passed
    ],
)
def test_cpu_is_told_in_per_cent_of_one_processor(
    first: dict[str, Any], second: dict[str, Any], percent: float
) -> None:
    assert usage(first, second)["cpu"] == percent


@pytest.mark.parametrize(
    ("memory", "used"),
    [
        ({"usage": 100 * MIB, "stats": {"inactive_file": 30 * MIB}}, 70.0),  # cgroup 2
        ({"usage": 100 * MIB, "stats": {"total_inactive_file": 40 * MIB, "inactive_file": 1}}, 60.0),  # cgroup 1
        ({"usage": 10 * MIB, "stats": {"inactive_file": 30 * MIB}}, 0.0),
        ({"usage": MIB}, 1.0),
        ({}, 0.0),
    ],
)
def test_memory_is_told_without_the_cache_that_the_kernel_can_take_back(memory: dict[str, Any], used: float) -> None:
    assert usage(sample(0, 0), sample(0, 1, memory))["memory_mb"] == used


def test_the_memory_limit_is_told_in_mebibytes() -> None:
    assert usage(sample(0, 0), sample(0, 1, {"limit": 512 * MIB}))["memory_limit_mb"] == 512.0


@pytest.mark.parametrize(
    ("started", "now", "seconds"),
    [
        ("1970-01-01T00:01:40.123456789Z", 160.9, 60),
        ("1970-01-01T00:01:40Z", 100, 0),
        ("1970-01-01T00:01:40.5Z", 99, 0),  # a clock that was set back
        ("2030-06-01T12:00:00.0Z", 1906545600 + 86400, 86400),
    ],
)
def test_uptime_is_counted_in_whole_seconds_and_never_negative(started: str, now: float, seconds: int) -> None:
    assert uptime(started, now) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (59, "59s"), (60, "1m"), (312, "5m 12s"), (3600, "1h"), (3725, "1h 2m"),
        (86400, "1d"), (3 * 86400 + 4 * 3600 + 59, "3d 4h"), (400 * 86400, "400d"),
    ],
)  # fmt: skip
def test_a_duration_shows_its_two_most_telling_units(seconds: int, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("reference", "short"),
    [
        ("erni/web:abc", "erni/web:abc"),
        (f"registry:5000/web@sha256:{'a1' * 32}", "registry:5000/web@a1a1a1a1a1a1"),
        ("", ""),
    ],
)
def test_a_digest_is_cut_and_a_tag_is_kept(reference: str, short: str) -> None:
    assert short_image(reference) == short


@pytest.mark.parametrize(
    ("state", "health", "trouble"),
    [
        ("running", "healthy", ""),
        ("running", "none", ""),
        ("running", "starting", ""),
        ("running", "unhealthy", "erni-web is unhealthy"),
        ("exited", "unhealthy", "erni-web is exited"),
        ("missing", "none", "erni-web is missing"),
        ("paused", "healthy", "erni-web is paused"),
        ("restarting", "none", "erni-web is restarting"),
    ],
)
def test_a_service_that_does_not_serve_is_in_trouble_and_one_that_just_started_is_not(
    state: str, health: str, trouble: str
) -> None:
    assert ServiceStatus("web", "erni-web", state, health).trouble == trouble


RUNNING = ServiceStatus(
    "web", "erni-web", "running", "healthy", 3725, 2, "1.22.1", "erni/web:abc", "r1", 12.34, 99.6, 256
)
MISSING = ServiceStatus("postgres", "erni-postgres", "missing")


def test_a_table_has_a_row_for_each_service_and_aligned_columns() -> None:
    header, first, second = as_table([RUNNING, MISSING], usage_shown=True).splitlines()
    assert header.split() == [
        "SERVICE", "CONTAINER", "STATE", "HEALTH", "UPTIME", "RESTARTS", "VERSION", "IMAGE", "RELEASE", "CPU", "MEMORY",
    ]  # fmt: skip
    assert [cell.strip() for cell in first.split("  ") if cell] == [
        "web", "erni-web", "running", "healthy", "1h 2m", "2", "1.22.1", "erni/web:abc", "r1", "12.3 %",
        "100 / 256 MiB",
    ]  # fmt: skip
    starts = [header.index(column) for column in ("STATE", "UPTIME", "VERSION", "IMAGE")]
    assert [first[start:].split()[0] for start in starts] == ["running", "1h", "1.22.1", "erni/web:abc"]
    assert [second[start:].split()[0] for start in starts] == ["missing", "-", "-", "-"]
    assert not any(line.endswith(" ") for line in (header, first, second))


def test_a_table_without_figures_has_no_columns_for_them() -> None:
    assert "CPU" not in as_table([RUNNING], usage_shown=False)
    assert "MiB" not in as_table([RUNNING], usage_shown=False)


def test_no_services_are_told_as_a_sentence() -> None:
    assert as_table([], usage_shown=True) == "No service belongs to this host."


def test_json_names_the_host_and_carries_every_figure() -> None:
    report = json.loads(as_json("h1", [RUNNING]))
    assert report["host"] == "h1"
    assert ServiceStatus(**report["services"][0]) == RUNNING


class Engine:
    """Two services, one that runs and one that has stopped; further containers are only listed. ``health`` is what the
    engine says of the two."""

    def __init__(self, *replicas: str, said: str = "1", health: str = "") -> None:
        self.health = {"Health": {"Status": health}} if health else {}
        self.listed = [
            {"Names": [f"/erni-{name}"], "Labels": {"ch.erni.replicas": said}} for name in ("web", "old", *replicas)
        ]

    def containers(self, **_: bool) -> list[dict[str, Any]]:
        return self.listed

    def inspect_container(self, name: str) -> dict[str, Any]:
        if name not in ("erni-web", "erni-old"):
            raise status.engine.docker_errors.NotFound("no such container")
        state = {"Status": "running" if name == "erni-web" else "exited", "StartedAt": "2020-01-01T00:00:00.1Z"}
        labels = {"ch.erni.release": "r1"} if name == "erni-web" else None
        config = {"Image": "i", "Labels": labels, "Healthcheck": {"Test": ["CMD", "check"]}}
        return {"State": state | self.health, "RestartCount": 3, "Config": config}

    def stats(self, name: str, **_: bool) -> dict[str, Any]:
        assert name == "erni-web", "a container that does not run has no figures"
        return sample(0, 0, {"usage": MIB, "limit": 2 * MIB})


@pytest.fixture
def _inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs in containers answer with what they were called with, and one of them has just stopped."""

    def run_inside(_client: object, container: str, command: tuple[str, ...]) -> tuple[int, str]:
        assert container == "erni-web", "nothing can be run in a container that does not run"
        if command == ("gone",):
            raise status.engine.docker_errors.APIError("not running")
        return 0, " ".join(command)

    monkeypatch.setattr(status, "SAMPLE_SECONDS", 0)
    monkeypatch.setattr(status.engine, "run_inside", run_inside)


@pytest.mark.usefixtures("_inside")
def test_every_service_that_was_asked_for_is_reported_in_that_order() -> None:
    question = Question({"web": ["web", "1.2.3"], "old": ["old", "4.5"]}, usage=True)
    web, old, gone = observe_status(Engine(), "erni", ["web", "old", "gone"], question)
    assert (web.state, web.health, web.release, web.restarts, web.memory_limit_mb) == ("running", "none", "r1", 3, 2.0)
    assert (web.uptime > 0, web.version) == (True, "1.2.3")
    assert (old.state, old.uptime, old.release, old.version) == ("exited", 0, "", "")
    assert gone == ServiceStatus("gone", "erni-gone", "missing")
    assert observe_status(Engine(), "erni", [], question) == []


@pytest.mark.parametrize(
    ("replicas", "said", "reported"),
    [
        ([], "1", ["web"]),
        (["web-2"], "2", ["web", "web-2"]),
        (["web-2", "web-blue", "web-2-blue", "web-10-green"], "2", ["web", "web-2"]),
        (["web-3"], "1", ["web", "web-2", "web-3"]),
        ([], "2", ["web", "web-2"]),  # somebody has removed it
        (["website", "web-2x"], "1", ["web"]),
    ],
)
def test_each_replica_that_serves_or_should_is_reported(replicas: list[str], said: str, reported: list[str]) -> None:
    engine = Engine(*replicas, said=said)
    found = observe_status(engine, "erni", ["web"], Question({}, usage=False))
    assert [status.container for status in found] == [f"erni-{name}" for name in reported]


@pytest.mark.usefixtures("_inside")
def test_no_load_is_sampled_where_it_was_not_asked_for() -> None:
    (web,) = observe_status(Engine(), "erni", ["web"], Question({}, usage=False))
    assert (web.memory_limit_mb, web.version) == (0.0, "")


@pytest.mark.usefixtures("_inside")
@pytest.mark.parametrize(
    ("command", "version"),
    [
        (["nginx version: nginx/1.22.1"], "1.22.1"),
        (["Redis server v=7.0.15 sha=00000000:0"], "7.0.15"),
        (["postgres (PostgreSQL) 15.9 (Debian 15.9-0)"], "15.9"),
        (["unknown"], ""),
        (["gone"], ""),
    ],
)
def test_a_version_is_the_first_thing_that_looks_like_one(command: list[str], version: str) -> None:
    (web,) = observe_status(Engine(), "erni", ["web"], Question({"web": command}, usage=False))
    assert web.version == version


@pytest.mark.parametrize("told", ["starting", "unhealthy"])
@pytest.mark.parametrize(
    ("outcome", "is_well"),
    [
        pytest.param((0, "it is well"), True, id="passes"),
        pytest.param((1, "it is not"), False, id="fails"),
        pytest.param(status.engine.docker_errors.APIError("not running"), False, id="stops"),
        pytest.param((124, ""), False, id="hangs, and is ended"),
        pytest.param(TimeoutError("no answer"), False, id="is not answered"),
    ],
)
def test_a_container_that_the_engine_has_yet_to_look_at_again_is_asked_itself(
    monkeypatch: pytest.MonkeyPatch, told: str, outcome: tuple[int, str] | Exception, is_well: bool
) -> None:
    def run_inside(_client: object, container: str, command: tuple[str, ...]) -> tuple[int, str]:
        assert (container, command) == ("erni-web", ("timeout", "5", "check"))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(status.engine, "run_inside", run_inside)
    web, old = observe_status(Engine(health=told), "erni", ["web", "old"], Question({}, usage=False))
    assert web.health == ("healthy" if is_well else told)
    assert old.health == told, "one that does not run is not asked"


def test_a_container_that_the_engine_found_well_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status.engine, "run_inside", lambda *_: pytest.fail("it was asked"))
    (web,) = observe_status(Engine(health="healthy"), "erni", ["web"], Question({}, usage=False))
    assert web.health == "healthy"
