"""The schedule on the control node: look at what is there, and bring about what is planned."""

from __future__ import annotations

import glob
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

from .engine_install import install, package_installed
from .errors import PlatformError
from .files import File, FileState, ensure_folder, observe_file, sync_folder, write_atomically
from .planning import Plan
from .schedule_plan import CRON, SYSTEMD, Observed, Places, cron_path, mark, metrics_path

SYSTEMD_RUNS = "/run/systemd/system"  # sd_booted(3)
CRON_PID_FILE = "/run/crond.pid"
WANTED_BY = "timers.target.wants"
START_SECONDS = 20.0
COMMAND_SECONDS = 120.0


def manager_of_this_host() -> str:
    return SYSTEMD if os.path.isdir(SYSTEMD_RUNS) else CRON


def observe(environment: str, places: Places, manager: str) -> Observed:
    """Both managers' files, whichever is there now: only one of them may have the jobs."""
    paths = [cron_path(environment, places), metrics_path(environment, places)]
    files = {path: observe_file(path) for path in paths} | dict(_units(environment, places))
    timers = [os.path.basename(path) for path in files if path.endswith(".timer")]
    return Observed(
        files=files,
        waiting=frozenset(name for name in timers if manager == SYSTEMD and _waits(name, places)),
        cron_installed=manager != CRON or package_installed("cron"),
        cron_runs=manager != CRON or cron_process() != 0,
    )


def _units(environment: str, places: Places) -> Iterator[tuple[str, FileState | None]]:
    """Those of this environment: of another one the name may begin with this one's."""
    for kind in ("service", "timer"):
        for path in glob.glob(os.path.join(glob.escape(places.units), f"erni-*.{kind}")):
            state = observe_file(path)
            if state is not None and state.content.startswith(mark(environment).encode()):
                yield path, state


def _waits(timer: str, places: Places) -> bool:
    at_boot = os.path.islink(os.path.join(places.units, WANTED_BY, timer))
    return at_boot and subprocess.run(["systemctl", "is-active", "--quiet", timer], check=False).returncode == 0


def cron_process() -> int:
    """The process that the pid file names, 0 where that is no cron."""
    try:
        with open(CRON_PID_FILE, encoding="ascii") as handle:
            pid = int(handle.read().strip() or 0)
        with open(f"/proc/{pid}/comm", encoding="utf-8") as handle:
            return pid if handle.read().strip() == "cron" else 0
    except (OSError, ValueError):
        return 0


def apply(plan: Plan, desired: list[File], places: Places) -> None:
    """:raises PlatformError: when a program of the system refuses."""
    files = {file.path: file for file in desired}
    for action in plan.actions:
        if action.kind == "write_file":
            _write(files[action.subject])
        elif action.kind == "remove_file":
            _remove(action.subject, places)
        elif action.kind == "install_cron":
            install([action.subject])
        elif action.kind == "start_cron":
            start_cron()
        else:
            _systemctl(action.kind, action.subject)


def _write(file: File) -> None:
    folder = os.path.dirname(file.path)
    if not os.path.isdir(folder):
        ensure_folder(folder, 0o755)
    write_atomically(file)


def _remove(path: str, places: Places) -> None:
    """With the link by which a boot would start it, where systemd is no longer there to remove that."""
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(places.units, WANTED_BY, os.path.basename(path)))
    os.unlink(path)
    sync_folder(os.path.dirname(path))


def _systemctl(kind: str, timer: str) -> None:
    if kind == "stop_timer":
        _run(["systemctl", "disable", "--now", "--quiet", timer])
    elif kind == "reload_units":
        _run(["systemctl", "daemon-reload"])
    else:
        _run(["systemctl", "enable", "--quiet", timer])
        _run(["systemctl", "restart", timer])  # a timer that runs already keeps its former moment otherwise


def start_cron() -> None:
    """As this machine's own init would; the script comes with the package."""
    _run(["/etc/init.d/cron", "start"])
    deadline = time.monotonic() + START_SECONDS
    while not cron_process():
        if time.monotonic() > deadline:
            raise PlatformError(
                f"cron does not run {START_SECONDS:.0f} s after its start",
                f"{CRON_PID_FILE} names no process of it",
                "Start it by hand (/etc/init.d/cron start), see what it says, and run again.",
            )
        time.sleep(0.1)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PlatformError(f"`{' '.join(command)}` failed", str(error), "Run it by hand, and then again.") from error
    if done.returncode:
        why = (done.stderr or done.stdout).strip() or f"it ended with {done.returncode}"
        raise PlatformError(f"`{' '.join(command)}` failed", why, "Run it by hand, and then again.")
