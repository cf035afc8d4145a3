"""Containers of releases: who is still connected to them, what they said last, and what their start leaves alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.erni import engine, release_candidates
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.release_candidates import (
    connections,
    drain,
    established,
    keep_logs,
    remove,
    rename_all,
    require_images,
    start_candidates,
    stop,
)
from ansible.module_utils.erni.release_world import Instance, Renaming
from platform_builders import SECRET, converged, running, service

BACKEND = Instance("erni-backend-green", "backend", "green", "0123456789ab", running=True)
FRONTEND = Instance("erni-frontend-green", "frontend", "green", "0123456789ab", running=True)

# /proc/net/tcp and /proc/net/tcp6 of a container that listens on 8000, with a request from the proxy in flight, one
# that has just ended, and connections of its own to the database; 8000 is 1F40 in hexadecimal.
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                       
   0: 00000000:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 41721 1 0000000000000000 100 0 0 10 0                     
   1: 0B00007F:8F5D 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 40118 1 0000000000000000 100 0 0 10 0                     
   2: 1E0A1EAC:1F40 0A0A1EAC:C3A2 01 00000000:00000000 00:00000000 00000000  1000        0 41991 1 0000000000000000 20 4 30 10 -1                    
   3: 1E0A1EAC:1F40 0A0A1EAC:C39E 06 00000000:00000000 03:000015C4 00000000     0        0 0 3 0000000000000000                                      
   4: 1E0A1EAC:A2C4 050B1EAC:1538 01 00000000:00000000 02:000006A4 00000000  1000        0 41877 2 0000000000000000 20 4 24 10 -1                    
   5: 1E0A1EAC:9C10 070B1EAC:1F40 01 00000000:00000000 00:00000000 00000000  1000        0 41902 1 0000000000000000 20 4 30 10 -1                    
"""  # noqa: E501, W291 (the kernel's own)
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 42010 1 0000000000000000 100 0 0 10 0
   1: 0000000000000000FFFF0000280A1EAC:0BB8 0000000000000000FFFF00000A0A1EAC:E1F0 01 00000000:00000000 00:00000000 00000000  1001        0 42101 1 0000000000000000 20 4 30 10 -1
"""  # noqa: E501 (likewise)


@pytest.mark.parametrize(
    ("table", "port", "count"),
    [
        (TCP, 8000, 1),  # neither the listening socket, nor the one that is closing, nor its own to another's 8000
        (TCP, 5432, 0),  # the database's port is at the other end
        (TCP, 64, 0),  # 0040 is not the end of 1F40
        (TCP6, 3000, 1),
        (TCP6, 8000, 0),
        (TCP.splitlines()[0], 8000, 0),
        ("", 8000, 0),
        (TCP[: TCP.index("C3A2")], 8000, 0),  # cut off: the process has just ended
    ],
)
def test_only_established_connections_to_the_port_are_somebody_who_waits(table: str, port: int, count: int) -> None:
    assert established(table, port) == count


class Host:
    """Processes of containers by name; each look at a process's connections is answered by the next of ``counts``."""

    def __init__(self, counts: Iterator[int], process: int = 7) -> None:
        self.counts, self.process, self.now, self.looks = counts, process, 50.0, 0

    def inspect_container(self, _name: str) -> dict[str, Any]:
        return {"State": {"Pid": self.process}}

    def read(self, path: str) -> str:
        if path.endswith("tcp6"):
            return ""
        self.looks += 1
        line = TCP.splitlines(keepends=True)[3]
        return TCP.splitlines(keepends=True)[0] + line * next(self.counts)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def watched(monkeypatch: pytest.MonkeyPatch, counts: Iterator[int], process: int = 7) -> Host:
    host = Host(counts, process)
    monkeypatch.setattr(release_candidates, "_read", host.read)
    monkeypatch.setattr(release_candidates, "time", host)
    return host


def test_draining_ends_with_the_last_request(monkeypatch: pytest.MonkeyPatch) -> None:
    host = watched(monkeypatch, iter([3, 1, 0]))
    assert drain(host, [(BACKEND, 8000)], 30)
    assert (host.looks, round(host.now - 50, 1)) == (3, 0.4)


def test_draining_ends_with_its_budget_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    host = watched(monkeypatch, iter([1] * 1000))
    assert not drain(host, [(BACKEND, 8000)], 5)
    assert 5 <= host.now - 50 < 5.5


def test_nobody_waits_for_a_container_that_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    host = watched(monkeypatch, iter([]), process=0)
    assert connections(host, "erni-backend", 8000) == 0
    assert drain(host, [(BACKEND, 8000)], 30)
    assert drain(host, [], 30)


def test_a_process_that_has_just_ended_has_no_connections() -> None:
    assert connections(Host(iter([]), process=2**22 + 1), "erni-backend", 8000) == 0  # above the kernel's greatest


# Last words.


class Engine:
    """An engine whose containers have secrets in their logs, and which refuses what ``refused`` names."""

    def __init__(self, refused: str = "") -> None:
        self.refused, self.told = refused, list[tuple[Any, ...]]()

    def logs(self, name: str, tail: int) -> bytes:
        if name == self.refused:
            raise engine.docker_errors.APIError("no log", explanation="its driver keeps none")
        return f"{name} says {SECRET} in its last {tail} lines\n".encode()

    def stop(self, name: str, timeout: int) -> None:
        if name == self.refused:
            raise engine.docker_errors.NotFound("no such container")
        self.told.append(("stop", name, timeout))

    def rename(self, name: str, wanted: str) -> None:
        self.told.append(("rename", name, wanted))

    def remove_container(self, name: str, **options: bool) -> None:
        self.told.append(("remove", name, options))

    def inspect_image(self, reference: str) -> dict[str, str]:
        if reference == self.refused:
            raise engine.docker_errors.ImageNotFound("no such image")
        return {"Id": "sha256:1"}


def test_the_last_log_lines_are_kept_for_the_operator_alone_and_without_secrets(tmp_path: Path) -> None:
    folder = tmp_path / "0123456789ab"
    kept = keep_logs(Engine(), str(folder), [BACKEND, FRONTEND], [SECRET])
    assert [os.path.basename(path).partition("-")[2] for path in kept] == ["backend.log", "frontend.log"]
    assert Path(kept[0]).read_text() == "erni-backend-green says (secret) in its last 200 lines\n"
    assert SECRET not in Path(kept[1]).read_text()
    assert (folder.stat().st_mode & 0o777, os.stat(kept[0]).st_mode & 0o777) == (0o700, 0o600)


def test_a_log_that_cannot_be_had_does_not_cost_the_others(tmp_path: Path) -> None:
    kept = keep_logs(Engine(refused=BACKEND.name), str(tmp_path), [BACKEND, FRONTEND], [])
    assert [os.path.basename(path).partition("-")[2] for path in kept] == ["frontend.log"]


def test_logs_that_cannot_be_written_hold_nothing_up(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert keep_logs(Engine(), str(tmp_path / "file"), [BACKEND], []) == []


# What is done to containers.


def test_a_start_leaves_out_what_runs_and_was_found_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    healthy, starting, stopped = (service(name=name, container=name) for name in ("healthy", "starting", "stopped"))
    states = {
        "healthy": converged(healthy),
        "starting": converged(starting, container=running(starting, health="starting")),
        "stopped": converged(stopped, container=running(stopped, running=False)),
    }
    started: list[str] = []
    monkeypatch.setattr(release_candidates, "observe_service", lambda _, spec: (spec, states[spec.container]))
    client = SimpleNamespace(start=started.append)
    specs = {spec.name: spec for spec in (healthy, starting, stopped)}
    gates = start_candidates(client, specs)
    assert started == ["stopped"]
    assert list(gates) == ["starting", "stopped"], "whose gates are still to be passed"


def test_a_container_ends_in_its_own_time_and_one_that_is_gone_has_ended() -> None:
    client = Engine(refused="gone")
    stop(client, "erni-backend", 35)
    stop(client, "gone", 35)
    assert client.told == [("stop", "erni-backend", 35)]


def test_names_are_given_in_the_order_of_the_plan() -> None:
    client = Engine()
    rename_all(client, [Renaming("a", "a-blue"), Renaming("a-green", "a")])
    assert client.told == [("rename", "a", "a-blue"), ("rename", "a-green", "a")]


def test_a_removed_container_takes_its_nameless_volumes_with_it() -> None:
    client = Engine()
    remove(client, [BACKEND])
    assert client.told == [("remove", BACKEND.name, {"force": True, "v": True})]


def test_an_image_that_is_not_here_is_named_before_anything_starts() -> None:
    specs = [service(name="a", image="erni/a:1"), service(name="b", image="erni/b:1")]
    require_images(Engine(), specs)
    with pytest.raises(PlatformError, match="The image erni/b:1 of b is not on this host"):
        require_images(Engine(refused="erni/b:1"), specs)
