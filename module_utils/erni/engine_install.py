"""Have a Docker Engine on a host that has none: Debian's package, started by systemd or else detached."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass

from .errors import PlatformError
from .planning import Difference, Plan

SOCKET = "/var/run/docker.sock"
PID_FILE = "/var/run/docker.pid"
LOG_FILE = "/var/log/erni/dockerd.log"
START_SECONDS = 60
ENGINE_PACKAGES = ("docker.io", "iptables")


@dataclass(frozen=True)
class EngineState:
    """``answers``: the socket serves. ``installed``: a dockerd is on PATH. ``systemd``: it is process 1."""

    answers: bool
    installed: bool
    systemd: bool
    missing_packages: tuple[str, ...]


def plan_engine(state: EngineState) -> Plan:
    plan = Plan()
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


def observe_engine(packages: list[str]) -> EngineState:
    return EngineState(
        answers=engine_answers(),
        installed=shutil.which("dockerd", path=_path()) is not None,
        systemd=os.path.isdir("/run/systemd/system"),
        missing_packages=tuple(package for package in packages if not package_installed(package)),
    )


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


def package_installed(package: str) -> bool:
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    run = subprocess.run(query, capture_output=True, text=True, check=False)
    return run.returncode == 0 and run.stdout == "installed"


def engine_answers() -> bool:
    """``GET /_ping`` over the socket, without the SDK, which may not be there yet."""
    import http.client
    import socket

    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.settimeout(10)
    try:
        connection.sock.connect(SOCKET)
        connection.request("GET", "/_ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def apply_engine(plan: Plan, state: EngineState) -> None:
    for action in plan.actions:
        if action.kind == "install":
            install(action.subject.split())
        else:
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
    try:
        with open(PID_FILE, encoding="ascii") as handle:
            pid = int(handle.read().strip() or 0)
        with open(f"/proc/{pid}/comm", encoding="utf-8") as handle:
            alive = handle.read().strip() == "dockerd"
    except (OSError, ValueError):
        alive = False
    if not alive and os.path.exists(PID_FILE):
        os.unlink(PID_FILE)


def _log_end() -> str:
    try:
        with open(LOG_FILE, encoding="utf-8", errors="replace") as handle:
            return "\n".join(handle.read().splitlines()[-5:])
    except OSError:
        return "it left no log"
