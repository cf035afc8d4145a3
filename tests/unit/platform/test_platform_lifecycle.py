"""The everyday verbs on containers: what is waited for, in which order things go, and what an operator is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.erni import engine, lifecycle
from ansible.module_utils.erni.container_state import ContainerState
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.lifecycle import (
    apply_lifecycle,
    plan_lifecycle,
    read_log,
    require_existing,
    run_client,
    serving_containers,
    wait_healthy,
)
from ansible.module_utils.erni.planning import Plan
from ansible.module_utils.erni.service_plan import plan_state

HEALTHY, SICK = (0, "pong"), (1, "connection refused")
CHECK = ["CMD", "redis-cli", "ping"]
LOADING = (1, "loading the data set")

NotFound, APIError = engine.docker_errors.NotFound, engine.docker_errors.APIError


class Engine:
    """Containers by name with the engine's rules: a volume in use cannot go, and nothing runs in what is stopped.

    ``checks`` are the outcomes of the health command, one after the other, the last for ever; ``hold`` precedes each.
    """

    def __init__(self, *checks: tuple[int, str], test: Any = CHECK, stop_timeout: int | None = 120, **up: bool) -> None:
        self.checks = list(checks or (HEALTHY,))
        self.running = {f"erni-{name}": runs for name, runs in up.items()}
        self.config = {"Healthcheck": {"Test": test} if test else None, "StopTimeout": stop_timeout}
        self.volumes = {"erni-web-data"}
        self.told: list[str] = []
        self.hold: Callable[[str], None] = lambda _: None

    def inspect_container(self, name: str) -> dict[str, Any]:
        self._require(name)
        return {"Config": self.config, "State": {"Running": self.running[name]}}

    def start(self, name: str) -> None:
        self._tell(f"start {name}", name, runs=True)

    def unpause(self, name: str) -> None:
        self._tell(f"unpause {name}", name, runs=True)

    def restart(self, name: str, timeout: int) -> None:
        self._tell(f"restart {name} {timeout}", name, runs=True)

    def stop(self, name: str, timeout: int) -> None:
        self._tell(f"stop {name} {timeout}", name, runs=False)

    def remove_container(self, name: str, *, force: bool, v: bool) -> None:
        assert force
        assert v, "its nameless volumes go with it"
        self._require(name)
        self.told.append(f"remove {name}")
        del self.running[name]

    def remove_volume(self, name: str) -> None:
        if name not in self.volumes:
            raise NotFound("no such volume")
        if self.running:
            raise APIError("conflict", explanation="volume is in use")
        self.told.append(f"remove volume {name}")
        self.volumes.discard(name)

    def exec_create(self, name: str, command: list[str], user: str) -> dict[str, str]:
        self._require(name)
        assert user == ""
        self.hold(name)
        if not self.running[name]:
            raise APIError("conflict", explanation=f"Container {name} is not running")
        self.told.append(" ".join(command))
        return {"Id": name}

    def exec_start(self, _: str) -> bytes:
        return self.checks[0][1].encode() + b"\n"

    def exec_inspect(self, _: str) -> dict[str, int]:
        outcome = self.checks.pop(0) if len(self.checks) > 1 else self.checks[0]
        return {"ExitCode": outcome[0]}

    def logs(self, name: str, tail: int, timestamps: bool) -> bytes:
        self._require(name)
        assert not timestamps
        lines = [b"GET / 200", b"POST /chat 500", "Z\u00fcrich".encode(), b"cut \xff off", b"GET /chat 200"]
        return b"\n".join(lines[-tail:]) + b"\n"

    def _tell(self, sentence: str, name: str, *, runs: bool) -> None:
        self._require(name)
        self.told.append(sentence)
        self.running[name] = runs

    def _require(self, name: str) -> None:
        if name not in self.running:
            raise NotFound("not found", explanation=f"No such container: {name}")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "POLL_SECONDS", 0.001)


def state(*, running: bool = True, paused: bool = False) -> ContainerState:
    return ContainerState("id", running, paused, "none")


def test_a_container_is_waited_for_until_its_own_check_succeeds() -> None:
    client = Engine(LOADING, LOADING, HEALTHY, web=True)
    wait_healthy(client, "erni-web")
    assert client.told == ["redis-cli ping"] * 3


@pytest.mark.parametrize(
    ("test", "run"),
    [
        (["CMD", "curl", "-f", "http://localhost"], ["curl -f http://localhost"]),
        (["CMD-SHELL", "curl -f localhost || exit 1"], ["sh -c curl -f localhost || exit 1"]),
        (["NONE"], []),
        ([], []),
        (None, []),
    ],
)
def test_the_check_is_run_as_the_engine_would_and_where_there_is_none_running_is_enough(
    test: list[str] | None, run: list[str]
) -> None:
    client = Engine(test=test, web=True)
    wait_healthy(client, "erni-web")
    assert client.told == run


@pytest.mark.parametrize("test", [CHECK, None])
def test_a_container_that_has_exited_fails_at_once_and_not_when_the_time_is_over(test: list[str] | None) -> None:
    started = time.monotonic()
    with pytest.raises(PlatformError) as failed:
        wait_healthy(Engine(test=test, web=False), "erni-web", timeout=3600)
    assert time.monotonic() - started < 5
    assert str(failed.value) == (
        "erni-web does not stay up: its check says nothing. `docker logs erni-web` or make logs shows why."
    )


def test_a_container_that_exits_while_it_is_waited_for_is_told_with_its_checks_last_words() -> None:
    client = Engine(LOADING, web=True)

    def stop_at_the_third_look(name: str) -> None:
        client.running[name] = len(client.told) < 2

    client.hold = stop_at_the_third_look
    with pytest.raises(PlatformError, match="erni-web does not stay up: loading the data set"):
        wait_healthy(client, "erni-web", timeout=3600)


def test_a_container_that_runs_but_never_becomes_healthy_is_told_when_the_time_is_over() -> None:
    started = time.monotonic()
    with pytest.raises(PlatformError) as failed:
        wait_healthy(Engine(SICK, web=True), "erni-web", timeout=0.05)
    assert 0.05 <= time.monotonic() - started < 5
    assert str(failed.value) == (
        "erni-web runs but is not healthy: connection refused. `docker logs erni-web` or make logs shows why."
    )


@pytest.mark.parametrize(
    ("wanted", "observed", "told"),
    [
        ("started", state(running=False), ["start erni-web", "redis-cli ping"]),
        ("started", state(), []),
        ("started", state(paused=True), ["unpause erni-web", "redis-cli ping"]),
        ("stopped", state(), ["stop erni-web 120"]),
        ("stopped", state(running=False), []),
        ("restarted", state(), ["restart erni-web 120", "redis-cli ping"]),
        ("restarted", state(running=False), ["start erni-web", "redis-cli ping"]),
        ("absent", state(), ["stop erni-web 120", "remove erni-web"]),
        ("absent", state(running=False), ["remove erni-web"]),
        ("absent", None, []),
    ],
)
def test_each_verb_does_what_is_missing_and_waits_for_what_then_has_to_serve(
    wanted: str, observed: ContainerState | None, told: list[str]
) -> None:
    client = Engine(**({} if observed is None else {"web": observed.running}))
    apply_lifecycle(client, plan_state("erni-web", observed, wanted))
    assert client.told == told


class Listing(Engine):
    """An engine that also lists its containers, each of which says that there are so many replicas."""

    def __init__(self, *, replicas: int, **up: bool) -> None:
        super().__init__(**up)
        self.labels = {"ch.erni.replicas": str(replicas)}

    def networks(self) -> list[dict[str, Any]]:
        return []

    def containers(self, **_: bool) -> list[dict[str, Any]]:
        return [{"Names": [f"/{name}"], "Labels": self.labels} for name in self.running]


def observe_by_name(client: Engine, name: str, _: Any) -> ContainerState | None:
    return state(running=client.running[name]) if name in client.running else None


@pytest.mark.parametrize(
    ("wanted", "there", "told"),
    [
        ("started", {"web": False, "web-2": False}, ["start erni-web", "start erni-web-2"]),
        ("started", {"web": True, "web-2": False, "web-2-green": False}, ["start erni-web-2"]),
        ("restarted", {"web": True, "web-2": True}, ["restart erni-web 120", "restart erni-web-2 120"]),
        (
            "stopped",
            {"web": True, "web-2": True, "web-3-green": True, "web-4": False},
            ["stop erni-web 120", "stop erni-web-2 120", "stop erni-web-3-green 120"],
        ),
        (
            "absent",
            {"web": False, "web-2-green-displaced": False, "web-10": False, "webcam-2": True},
            ["remove erni-web", "remove erni-web-2-green-displaced", "remove erni-web-10"],
        ),
    ],
)
def test_a_verb_is_for_all_replicas_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, wanted: str, there: dict[str, bool], told: list[str]
) -> None:
    monkeypatch.setattr(engine, "observe_container", observe_by_name)
    client = Listing(replicas=2, **there)
    apply_lifecycle(client, plan_lifecycle(client, "erni", "web", wanted))
    assert [sentence for sentence in client.told if sentence != "redis-cli ping"] == told


@pytest.mark.parametrize("wanted", ["started", "restarted"])
def test_a_replica_that_is_missing_is_told_before_the_others_are_touched(
    monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setattr(engine, "observe_container", observe_by_name)
    client = Listing(replicas=2, web=False)
    with pytest.raises(PlatformError, match="The container erni-web-2 does not exist"):
        plan_lifecycle(client, "erni", "web", wanted)
    assert serving_containers(client, "erni", "web") == ["erni-web", "erni-web-2"]
    assert client.told == []


@pytest.mark.parametrize(("given", "used"), [(300, 300), (None, 30)])
def test_a_container_has_its_own_time_to_stop_before_it_is_killed(given: int | None, used: int) -> None:
    for wanted in ("stopped", "restarted", "absent"):
        client = Engine(stop_timeout=given, web=True)
        apply_lifecycle(client, plan_state("erni-web", state(), wanted))
        assert client.told[0].endswith(f"erni-web {used}")


def test_volumes_go_after_every_container_that_uses_them() -> None:
    client = Engine(**{"web": True, "web-replaced": False})
    plan = plan_state("erni-web", state(), "absent", ["erni-web-replaced"])
    plan.add("remove_volume", "erni-web-data", "")
    apply_lifecycle(client, plan)
    assert client.told == [
        "stop erni-web 120",
        "remove erni-web",
        "remove erni-web-replaced",
        "remove volume erni-web-data",
    ]
    assert (client.running, client.volumes) == ({}, set())


def test_a_volume_that_is_gone_already_stops_nothing() -> None:
    plan = Plan()
    for volume in ("somebody-removed-it", "erni-web-data"):
        plan.add("remove_volume", volume, "")
    client = Engine()
    apply_lifecycle(client, plan)
    assert client.told == ["remove volume erni-web-data"]


def test_a_container_that_is_gone_already_stops_nothing() -> None:
    client = Engine()
    apply_lifecycle(client, plan_state("erni-web", state(), "absent"))
    assert client.told == []


def test_what_follows_a_container_that_does_not_become_healthy_is_not_begun() -> None:
    client = Engine(web=False, other=False)
    client.hold = lambda name: client.running.update({name: False})
    plan = plan_state("erni-web", state(running=False), "started")
    plan.extend(plan_state("erni-other", state(running=False), "started"))
    with pytest.raises(PlatformError, match="erni-web does not stay up"):
        apply_lifecycle(client, plan)
    assert client.told == ["start erni-web"]


def test_a_container_that_should_run_and_does_not_exist_is_told_with_its_remedy() -> None:
    require_existing("erni-web", state(running=False))
    with pytest.raises(PlatformError) as failed:
        require_existing("erni-web", None)
    assert str(failed.value) == "The container erni-web does not exist. Run make up, which creates it."


@pytest.mark.parametrize(
    ("tail", "grep", "expected"),
    [
        (100, "", ["GET / 200", "POST /chat 500", "Zürich", "cut \N{REPLACEMENT CHARACTER} off", "GET /chat 200"]),
        (100, "chat", ["POST /chat 500", "GET /chat 200"]),
        (100, "Zür", ["Zürich"]),
        (100, "CHAT", []),
        (100, ".*", []),
        (2, "", ["cut \N{REPLACEMENT CHARACTER} off", "GET /chat 200"]),
        (2, "chat", ["GET /chat 200"]),
    ],
)
def test_a_log_shows_its_last_lines_and_of_those_the_ones_with_the_text(
    tail: int, grep: str, expected: list[str]
) -> None:
    assert read_log(Engine(web=False), "erni-web", tail, grep) == expected


@pytest.mark.parametrize("grep", ["", "chat"])
def test_the_log_of_no_container_says_so_whatever_is_looked_for(grep: str) -> None:
    assert read_log(Engine(), "erni-web", 10, grep) == ["(there is no container erni-web)"]


def test_a_client_program_tells_its_exit_code_and_its_words() -> None:
    client = Engine((3, "no such key"), web=True)
    assert run_client(client, "erni-web", ("redis-cli", "get", "x")) == (3, "no such key")
    assert client.told == ["redis-cli get x"]


@pytest.mark.parametrize(
    ("client", "why"),
    [(Engine(), "No such container: erni-web"), (Engine(web=False), "Container erni-web is not running")],
)
def test_a_client_program_without_its_container_is_told_as_a_sentence(client: Engine, why: str) -> None:
    with pytest.raises(PlatformError) as failed:
        run_client(client, "erni-web", ("psql", "-l"))
    assert str(failed.value).startswith(f"erni-web cannot run psql: {why}. ")
