"""Have a Docker Engine on a host that has none: Debian's package, started by systemd or else detached."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from .engine_settings import (
    NEVER,
    EngineSettings,
    is_wanted,
    load_settings,
    observe_settings,
    plan_settings,
    write_settings,
)
from .errors import PlatformError
from .planning import Difference, Plan
from .processor_share import set_free
from .published_ports import nobody_refused

SOCKET = "/var/run/docker.sock"
PID_FILE = "/var/run/docker.pid"
LOG_FILE = "/var/log/erni/dockerd.log"
START_SECONDS = 60
ENGINE_PACKAGES = ("docker.io", "iptables")


@dataclass(frozen=True)
class EngineState:
    """``answers``: the socket serves. ``installed``: a dockerd is on PATH. ``systemd``: it is process 1. ``settings``
    are those that are the platform's to make, None where none are."""

    answers: bool
    installed: bool
    systemd: bool
    missing_packages: tuple[str, ...]
    settings: EngineSettings | None = None


def plan_engine(state: EngineState) -> Plan:
    """Settings come first: the package starts the engine by itself.

    :raises PlatformError: where the settings cannot be made."""
    plan = Plan() if state.settings is None else plan_settings(state.settings)
    packages = list(state.missing_packages)
    if not state.installed and not state.answers:
        packages = list(dict.fromkeys([*ENGINE_PACKAGES, *packages]))
    for package in packages:
        plan.differences.append(Difference(f"package {package}", None, "installed"))
    if packages:
        plan.add("install", " ".join(packages), f"Debian's packages {', '.join(packages)} are installed")
    if not state.answers:
        how = "systemd" if state.systemd else "itself, detached"
        plan.differences.append(Difference("Docker Engine", "not running", "running"))
        plan.add("start", "dockerd", f"the Docker Engine is started by {how}")
    return plan


def observe_engine(packages: list[str], live_restore: str = NEVER) -> EngineState:
    answers, installed = engine_answers(), shutil.which("dockerd", path=_path()) is not None
    wanted = is_wanted(live_restore, engine_found=answers or installed)
    return EngineState(
        answers=answers,
        installed=installed,
        systemd=os.path.isdir("/run/systemd/system"),
        missing_packages=tuple(package for package in packages if not package_installed(package)),
        settings=observe_settings(engine_info() if answers else {}) if wanted else None,
    )


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


def package_installed(package: str) -> bool:
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    run = subprocess.run(query, capture_output=True, text=True, check=False)
    return run.returncode == 0 and run.stdout == "installed"


def engine_answers() -> bool:
    return _asked("/_ping") is not None


def engine_info() -> dict[str, Any]:
    """What the engine says of itself; empty where it does not answer."""
    answer: dict[str, Any] = json.loads(_asked("/info") or b"{}")
    return answer


def _asked(path: str) -> bytes | None:
    """The body of a good answer over the socket, without the SDK, which may not be there yet."""
    import http.client
    import socket

    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.settimeout(10)
    try:
        connection.sock.connect(SOCKET)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.read() if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def apply_engine(plan: Plan, state: EngineState) -> None:
    for action in plan.actions:
        if action.kind == "install":
            install(action.subject.split())
        elif action.kind == "configure" and state.settings:
            write_settings(state.settings)
        elif action.kind == "reload" and state.settings:
            load_settings(state.settings, daemon_process(), engine_info)
        else:
            with nobody_refused():
                start(systemd=state.systemd)


def install(packages: list[str]) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "PATH": _path()}
    for command in (
        ["apt-get", "update", "--quiet"],
        ["apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *packages],
    ):
        run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if run.returncode != 0:
            excerpt = "\n".join((run.stderr or run.stdout).strip().splitlines()[-5:])
            raise PlatformError(
                f"`{' '.join(command)}` failed",
                excerpt,
                "Check that Debian's mirror is reachable from the host and that no other apt runs, and run again.",
            )


def start(*, systemd: bool) -> None:
    """Start the daemon and wait until it answers."""
    if systemd:
        run = subprocess.run(
            ["systemctl", "enable", "--now", "docker.service"], capture_output=True, text=True, check=False
        )
        failure = run.stderr.strip()
    else:
        _start_detached()
        failure = ""
    deadline = time.monotonic() + START_SECONDS
    while not engine_answers():
        if time.monotonic() > deadline:
            raise PlatformError(
                f"The Docker Engine did not answer within {START_SECONDS} s of its start",
                failure or _log_end(),
                f"Look at {LOG_FILE} or `journalctl -u docker`.",
            )
        time.sleep(0.2)
    set_free()


def _start_detached() -> None:
    """In a session of its own and with nothing inherited, so that it outlives the shell and holds none of its locks."""
    _remove_stale_pid_file()
    os.makedirs(os.path.dirname(LOG_FILE), mode=0o755, exist_ok=True)
    dockerd = shutil.which("dockerd", path=_path()) or "dockerd"
    with open(LOG_FILE, "ab") as log, open(os.devnull, "rb") as nothing:
        subprocess.Popen(
            [dockerd],
            stdin=nothing,
            stdout=log,
            stderr=log,
            start_new_session=True,
            close_fds=True,
            cwd="/",
            env=os.environ | {"PATH": _path()},
        )


def _remove_stale_pid_file() -> None:
    """A pid file whose process is no dockerd stops the daemon from starting; it is left by a killed machine."""
    if not daemon_process() and os.path.exists(PID_FILE):
        os.unlink(PID_FILE)


def daemon_process() -> int:
    """The process that the pid file names, 0 where that is no dockerd."""
    try:
        with open(PID_FILE, encoding="ascii") as handle:
            pid = int(handle.read().strip() or 0)
        with open(f"/proc/{pid}/comm", encoding="utf-8") as handle:
            return pid if handle.read().strip() == "dockerd" else 0
    except (OSError, ValueError):
        return 0


def _log_end() -> str:
    try:
        with open(LOG_FILE, encoding="utf-8", errors="replace") as handle:
            return "\n".join(handle.read().splitlines()[-5:])
    except OSError:
        return "it left no log"
