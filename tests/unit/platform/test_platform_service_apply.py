"""Carrying out a plan, and above all undoing it: whatever fails, what served before serves again."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import engine, service_apply
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.files import File, observe_file
from ansible.module_utils.erni.network_http import Question, Reply
from ansible.module_utils.erni.service_apply import Transition, recover
from ansible.module_utils.erni.service_plan import ServiceState, plan_service
from ansible.module_utils.erni.service_spec import Folder, Gate, ServiceFile, ServiceSpec
from platform_builders import IMAGE, SECRET, converged, running, service

OLD = replace(service(folders=(), user="0:0"), mounts=(), gate=Gate(("gate",), 2, 1))
NEW = replace(OLD, command=("serve", "--new"))


class Engine:
    """Containers by name, each with the command it was created with; ``broken`` is the one that never serves."""

    def __init__(self, broken: tuple[str, ...] = ("none",), **containers: tuple[str, ...]) -> None:
        self.broken = list(broken)
        self.containers = {name.replace("_", "-"): list(command) for name, command in containers.items()}
        self.running = {name for name in self.containers if not name.endswith("-replaced")}
        self.told: list[str] = []

    def create_container_from_config(self, config: dict[str, Any], name: str) -> dict[str, str]:
        assert name not in self.containers, "the engine refuses a name that is in use"
        self.containers[name] = config.get("Cmd", [])
        self.told.append(f"create {name}")
        return {"Id": name}

    def connect_container_to_network(self, *_: Any, **__: Any) -> None:
        pass

    def start(self, name: str) -> None:
        self.told.append(f"start {name}")
        self.running.add(name)

    def stop(self, name: str, timeout: int) -> None:
        self.told.append(f"stop {name} {timeout}")
        self.running.discard(name)

    def restart(self, name: str, timeout: int) -> None:
        self.told.append(f"restart {name} {timeout}")
        self.running.add(name)

    def kill(self, name: str, signal: str) -> None:
        self.told.append(f"kill {name} {signal}")

    def rename(self, name: str, new: str) -> None:
        assert new not in self.containers
        self.told.append(f"rename {name} {new}")
        self.containers[new] = self.containers.pop(name)
        self.running = {new if other == name else other for other in self.running}

    def remove_container(self, name: str, *, force: bool, v: bool) -> None:
        assert force, "a container that still runs would stay"
        assert v, "the nameless volumes that its image declares would stay"
        if name not in self.containers:
            raise engine.docker_errors.NotFound("no such container")
        self.told.append(f"remove {name}")
        del self.containers[name]
        self.running.discard(name)

    def inspect_container(self, name: str) -> dict[str, Any]:
        return {"RestartCount": 0, "State": {"Running": name in self.running, "Pid": 7}, "Config": {}}

    def logs(self, _name: str, tail: int) -> bytes:
        return f"the last {tail} lines say {SECRET}".encode()


@pytest.fixture(autouse=True)
def _probes(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_inside(client: Engine, container: str, command: tuple[str, ...]) -> tuple[int, str]:
        client.told.append(" ".join(command))
        return int(client.containers[container] == client.broken), f"probed, the token is {SECRET}"

    monkeypatch.setattr(engine, "run_inside", run_inside)
    monkeypatch.setattr(service_apply, "GATE_POLL_SECONDS", 0.01)
    monkeypatch.setattr(service_apply, "COMMAND_RETRY_SECONDS", 0.01)


def apply(client: Engine, spec: ServiceSpec, state: ServiceState) -> None:
    Transition(client, spec, state).run(plan_service(spec, state))


def test_a_replacement_keeps_the_old_container_until_the_new_one_has_passed_its_gate() -> None:
    client = Engine(erni_web=())
    apply(client, NEW, converged(OLD))
    assert client.told == [
        "stop erni-web 30",
        "rename erni-web erni-web-replaced",
        "create erni-web",
        "start erni-web",
        "gate",
        "gate",
        "remove erni-web-replaced",
    ]
    assert client.containers == {"erni-web": ["serve", "--new"]}


def test_a_new_container_that_does_not_serve_never_costs_the_old_one() -> None:
    client = Engine(broken=("serve", "--new"), erni_web=())
    with pytest.raises(PlatformError) as failed:
        apply(client, NEW, converged(OLD))
    assert (client.containers, client.running) == ({"erni-web": []}, {"erni-web"})
    assert "did not pass its gate within 1 s" in str(failed.value)
    assert "The container that served before is back" in str(failed.value)


def test_a_failure_is_told_with_the_last_words_and_without_secrets() -> None:
    with pytest.raises(PlatformError) as failed:
        apply(Engine(broken=("serve", "--new"), erni_web=()), NEW, converged(OLD))
    assert "probed, the token is (secret)" in str(failed.value)
    assert "lines say (secret)" in str(failed.value)
    assert SECRET not in str(failed.value)


def test_a_container_that_exits_between_two_looks_is_not_called_unhealthy() -> None:
    """The engine calls whatever has ended unhealthy."""
    client = Engine(broken=(), erni_web=())
    looks = iter([True] * 3)

    def inspect_container(_name: str) -> dict[str, Any]:
        runs = next(looks, False)
        state = {"Running": runs, "Pid": 7, "Health": {"Status": "starting" if runs else "unhealthy"}}
        return {"RestartCount": 0, "State": state, "Config": {}}

    client.inspect_container = inspect_container  # type: ignore[method-assign]
    with pytest.raises(PlatformError, match="erni-web does not stay up"):
        Transition(client, NEW, converged(OLD)).pass_gate()


@pytest.mark.parametrize(
    ("replies", "says"),
    [
        ([Reply(200), Reply(200)], ""),
        ([Reply(0), Reply(503), Reply(200), Reply(404), Reply(200), Reply(200)], ""),
        ([Reply(200), Reply(503)] * 1000, "the check says: /ready answers with 503"),
        ([Reply(0, why="127.0.0.1:8000 does not answer (refused)")] * 1000, "does not answer (refused)"),
    ],
)
def test_a_port_is_asked_from_within_the_containers_network_and_nothing_is_started_there(
    monkeypatch: pytest.MonkeyPatch, replies: list[Reply], says: str
) -> None:
    left = iter(replies)
    asked: list[tuple[int, Question]] = []
    monkeypatch.setattr(service_apply, "ask_from", lambda *words: (asked.append(words), next(left))[1])
    client = Engine(erni_web=())
    gated = Transition(client, replace(NEW, gate=Gate(("gate",), 2, 1, 8000, "/ready")), converged(OLD))
    with pytest.raises(PlatformError, match=re.escape(says)) if says else nullcontext():
        gated.pass_gate()
    assert says or not list(left), "until it has passed twice in a row, and no longer"
    assert set(asked) == {(7, Question("127.0.0.1", 8000, "/ready"))}
    assert client.told == []


def test_a_container_that_exits_fails_at_once_and_not_when_the_time_is_over() -> None:
    client = Engine(erni_web=())
    client.start = client.running.discard  # type: ignore[method-assign]
    with pytest.raises(PlatformError, match="erni-web does not stay up"):
        apply(client, replace(NEW, gate=Gate(("gate",), 1, 3600)), converged(OLD))
    assert client.containers == {"erni-web": []}


def test_a_container_that_cannot_be_created_never_costs_the_old_one() -> None:
    client = Engine(erni_web=())

    def refuse(*_: Any) -> None:
        raise engine.docker_errors.ImageNotFound("no such image")

    client.create_container_from_config = refuse  # type: ignore[method-assign]
    with pytest.raises(PlatformError, match="is not on this host"):
        apply(client, NEW, converged(OLD))
    assert (client.containers, client.running) == ({"erni-web": []}, {"erni-web"})


def test_a_container_that_an_interrupted_run_set_aside_comes_back() -> None:
    client = Engine(erni_web_replaced=())
    told = recover(client, NEW, converged(NEW, container=None, replaced=running(OLD, running=False)))
    assert client.told == ["rename erni-web-replaced erni-web", "start erni-web"]
    assert told == ["erni-web is back under its name: an interrupted run had set it aside"]


def test_a_successor_that_serves_stays_and_its_predecessor_goes() -> None:
    client = Engine(erni_web=("serve", "--new"), erni_web_replaced=())
    recover(client, NEW, converged(NEW, replaced=running(OLD, running=False)))
    assert client.told == ["gate", "gate", "remove erni-web-replaced"]


@pytest.mark.parametrize("runs", [True, False])
def test_a_successor_that_does_not_serve_goes_and_its_predecessor_comes_back(runs: bool) -> None:
    client = Engine(broken=("serve", "--new"), erni_web=("serve", "--new"), erni_web_replaced=())
    spec = replace(NEW, gate=replace(NEW.gate, timeout=0))
    state = converged(NEW, replaced=running(OLD, running=False), container=running(NEW, running=runs))
    recover(client, spec, state)
    assert client.containers == {"erni-web": []}, "the old one, which served, and nothing else"
    assert client.running == {"erni-web"}


def test_a_successor_is_not_judged_while_the_engine_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> None:
        raise engine.EngineAwayError("it has ended")

    monkeypatch.setattr(engine, "run_inside", away)
    client = Engine(erni_web=("serve", "--new"), erni_web_replaced=())
    with pytest.raises(engine.EngineAwayError):
        recover(client, NEW, converged(NEW, replaced=running(OLD, running=False)))
    assert set(client.containers) == {"erni-web", "erni-web-replaced"}


def test_nothing_is_recovered_where_nothing_was_interrupted() -> None:
    client = Engine(erni_web=())
    assert recover(client, OLD, converged(OLD)) == []
    assert client.told == []


def test_nothing_is_done_to_a_service_that_is_right() -> None:
    client = Engine(erni_web=())
    apply(client, OLD, converged(OLD))
    assert client.told == []


@pytest.fixture
def with_file(tmp_path: Path) -> ServiceSpec:
    """A service with a configuration file on this disk, which is not written yet."""
    entry = ServiceFile(File(str(tmp_path / "web.conf"), "new\n", 0o600), "reload")
    return replace(OLD, files=(entry,), folders=(Folder(str(tmp_path), 0o700, False),))


def state_on_disk(spec: ServiceSpec) -> ServiceState:
    files = {entry.file.path: observe_file(entry.file.path) for entry in spec.files}
    return replace(converged(OLD), image=IMAGE, files=files)


def test_a_changed_file_is_written_reloaded_and_remembered(with_file: ServiceSpec, tmp_path: Path) -> None:
    client = Engine(erni_web=())
    apply(client, with_file, state_on_disk(with_file))
    assert client.told == ["kill erni-web SIGHUP", "gate", "gate"]
    assert (tmp_path / "web.conf").read_text() == "new\n"
    assert list(json.loads((tmp_path / ".applied.json").read_text())) == [str(tmp_path / "web.conf")]
    assert (tmp_path / ".applied.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("former", [b"old\n", b"\xff\xfe not text\n"])
def test_a_configuration_that_does_not_serve_gives_way_to_the_former_one(
    with_file: ServiceSpec, tmp_path: Path, former: bytes
) -> None:
    (tmp_path / "web.conf").write_bytes(former)
    client = Engine(broken=(), erni_web=())
    with pytest.raises(PlatformError, match="The former configuration is back"):
        apply(client, with_file, state_on_disk(with_file))
    assert (tmp_path / "web.conf").read_bytes() == former
    assert client.told[-1] == "restart erni-web 30"
    assert not (tmp_path / ".applied.json").exists(), "what was not proven is not remembered as loaded"
