"""An engine is installed and started where there is none, and left alone where there is one."""

from __future__ import annotations

import http.server
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible.module_utils.erni import engine_install
from ansible.module_utils.erni.engine_install import EngineState, plan_engine

RUNS = EngineState(answers=True, installed=True, systemd=True, missing_packages=())


def test_an_engine_that_answers_is_left_alone() -> None:
    plan = plan_engine(RUNS)
    assert (plan.actions, plan.differences) == ([], [])


def test_an_engine_of_any_other_kind_is_left_alone_too() -> None:
    assert not plan_engine(EngineState(answers=True, installed=False, systemd=False, missing_packages=())).changed


@pytest.mark.parametrize(
    ("state", "sentences"),
    [
        (EngineState(True, True, True, ("python3-docker",)), ["Debian's packages python3-docker are installed"]),
        (EngineState(False, True, True, ()), ["the Docker Engine is started by systemd"]),
        (EngineState(False, True, False, ()), ["the Docker Engine is started by itself, detached"]),
        (
            EngineState(False, False, True, ("python3-docker",)),
            [
                "Debian's packages docker.io, iptables, python3-docker are installed",
                "the Docker Engine is started by systemd",
            ],
        ),
    ],
)
def test_only_what_is_missing_is_installed_and_only_what_is_down_is_started(
    state: EngineState, sentences: list[str]
) -> None:
    assert plan_engine(state).sentences == sentences


def test_each_package_is_a_line_of_the_diff() -> None:
    diff = plan_engine(EngineState(False, False, True, ("mmdebstrap",))).diff("x")
    assert diff["after"] == {
        "package docker.io": "installed",
        "package iptables": "installed",
        "package mmdebstrap": "installed",
        "Docker Engine": "running",
    }


@pytest.mark.parametrize(
    ("answers", "installed", "choice", "looked_at"),
    [
        (False, False, "installed", True),
        (True, True, "installed", False),
        (False, True, "installed", False),  # stopped; it is somebody's all the same
        (True, True, "always", True),
        (False, True, "always", True),
        (True, True, "never", False),
        (False, False, "never", False),
    ],
)
def test_settings_that_are_not_the_platforms_to_make_are_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, answers: bool, installed: bool, choice: str, looked_at: bool
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(engine_install, "engine_answers", lambda: answers)
    monkeypatch.setattr(engine_install, "engine_info", lambda: asked.append("info") or {"LiveRestoreEnabled": True})
    monkeypatch.setattr(engine_install.shutil, "which", lambda *_, **__: "/usr/sbin/dockerd" if installed else None)
    state = engine_install.observe_engine([], choice)
    assert (state.settings is not None) is looked_at
    assert asked == (["info"] if looked_at and answers else []), "a run that changes nothing asks no more than it must"


@pytest.fixture
def pid_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "docker.pid"
    monkeypatch.setattr(engine_install, "PID_FILE", str(path))
    return path


@contextmanager
def process_named(name: str, folder: Path) -> Iterator[int]:
    """A process that the kernel knows under the name."""
    program = folder / name
    program.symlink_to(sys.executable)
    process = subprocess.Popen(
        [program, "-c", "print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process.pid
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("content", ["", "no number", "0", "99999999", "-1"])
def test_a_pid_file_without_a_process_is_removed(pid_file: Path, content: str) -> None:
    pid_file.write_text(content)
    engine_install._remove_stale_pid_file()
    assert not pid_file.exists()


def test_a_pid_file_whose_number_went_to_another_program_is_removed(pid_file: Path, tmp_path: Path) -> None:
    with process_named("postgres", tmp_path) as pid:
        pid_file.write_text(f"{pid}\n")
        engine_install._remove_stale_pid_file()
        assert not pid_file.exists()


def test_the_pid_file_of_a_daemon_that_lives_is_kept(pid_file: Path, tmp_path: Path) -> None:
    with process_named("dockerd", tmp_path) as pid:
        pid_file.write_text(f"{pid}\n")
        engine_install._remove_stale_pid_file()
        assert pid_file.read_text() == f"{pid}\n"


def test_no_pid_file_is_no_trouble(pid_file: Path) -> None:
    engine_install._remove_stale_pid_file()
    assert not pid_file.exists()


class Answering(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/_ping" else 404)
        self.end_headers()

    def address_string(self) -> str:
        return "socket"

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("status", "answers"), [(200, True), (500, False)])
def test_an_engine_answers_when_its_socket_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, answers: bool
) -> None:
    path = str(tmp_path / "s")
    monkeypatch.setattr(engine_install, "SOCKET", path)
    monkeypatch.setattr(Answering, "status", status)
    with socketserver.UnixStreamServer(path, Answering) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert engine_install.engine_answers() is answers
        thread.join()
    assert engine_install.engine_answers() is False, "the socket file is still there, but nobody listens"
    os.unlink(path)
    assert engine_install.engine_answers() is False


@pytest.mark.parametrize("answers", [[True], [False, False, True]])
def test_an_engine_that_a_run_has_started_gets_its_full_share_once_it_answers(
    monkeypatch: pytest.MonkeyPatch, answers: list[bool]
) -> None:
    """Its proxy processes carry what users send; the run that started it gives way to containers."""
    told: list[str] = []
    left = iter(answers)
    monkeypatch.setattr(engine_install, "_start_detached", lambda: told.append("started"))
    monkeypatch.setattr(engine_install, "engine_answers", lambda: next(left))
    monkeypatch.setattr(engine_install, "set_free", lambda: told.append("set free"))
    monkeypatch.setattr(engine_install.time, "sleep", lambda _: None)
    engine_install.start(systemd=False)
    assert told == ["started", "set free"]
    assert not list(left)
