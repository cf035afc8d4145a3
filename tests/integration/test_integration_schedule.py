"""What runs by itself really does: cron fires, systemd's timers fire, and its own tools understand the units."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import scheduled_figures
from ansible.module_utils.erni.schedule_apply import CRON_PID_FILE, cron_process
from ansible.module_utils.erni.schedule_plan import SYSTEMD, WEEKDAYS, Job, Places, Schedule, desired_files, moment

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "unit" / "tooling"), str(ROOT / "tools")]

from scheduled_site import Site, site  # noqa: E402 (its path is set above)
from small_servers import LOOPBACK, Web, web_server  # noqa: E402 (likewise)
from systemd_machine import Machine  # noqa: E402 (likewise)

KEY = "B0T0K3N"
FIRING_SECONDS = 75.0  # at most a minute until the next one, and what cron takes to begin
WORK_SECONDS = 120.0
JOBS = """backup_schedule:
  - {verb: backup, when: every 1 minute}
  - {verb: up, when: every 1 minute}
  - {verb: restart, when: every 1 minute}
"""


def wait_until(true: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.1)


@contextmanager
def running_cron() -> Iterator[None]:
    """The machine's own, where it has one that runs; else one that goes with the test."""
    if cron_process():
        yield
        return
    with subprocess.Popen(["/usr/sbin/cron", "-f"], stdin=subprocess.DEVNULL) as cron:
        try:
            wait_until(lambda: cron_process() == cron.pid, 10, "cron runs")
            yield
        finally:
            cron.terminate()
            cron.wait()
            Path(CRON_PID_FILE).unlink(missing_ok=True)


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as running:
        yield running


@pytest.fixture
def demo(tmp_path: Path, web: Web) -> Iterator[Site]:
    """Three verbs that all want the environment's lock in the same minute; one of them fails."""
    address = f"http://{LOOPBACK}:{web.port}"
    values = {f"{verb}_heartbeat_url": f"{address}/{verb}/{KEY}" for verb in ("backup", "up")}
    values["notify_webhook"] = f"{address}/hook/{KEY}"
    made = site(tmp_path / "demo", f"erni-test-{secrets.token_hex(4)}", values, JOBS)
    made.verb("backup", seconds=0.5)
    made.verb("restart", seconds=0.5)
    made.verb("up", seconds=0.5, then="echo 'the disk is full' >&2; exit 1")
    yield made
    for path in (cron_file(made), Path("/run/lock", f"erni-{made.environment}.lock")):
        path.unlink(missing_ok=True)


def cron_file(demo: Site) -> Path:
    return Path("/etc/cron.d", f"erni-{demo.environment}")


def figures(demo: Site, verb: str) -> scheduled_figures.Record:
    return scheduled_figures.read(scheduled_figures.path(str(demo.metrics), demo.environment, verb))


def begun(demo: Site) -> bool:
    return all("begins, process" in demo.log(verb) for verb in ("backup", "up", "restart"))


def over(demo: Site) -> bool:
    """All that has begun has ended."""
    logs = [demo.log(verb) for verb in ("backup", "up", "restart")]
    ends = re.compile(rf"ENV={demo.environment} (ended well|failed with code)")
    return all(log.count("begins, process") == len(ends.findall(log)) for log in logs)


def paths(web: Web) -> list[str]:
    return [path for _, path, _, _ in web.seen]


def assert_each_ran_alone_and_was_heard_of(demo: Site, web: Web) -> None:
    """All three ran, one after the other; the watchdog heard of begin and end, people of the failure."""
    wait_until(lambda: over(demo), WORK_SECONDS, "all have ended")
    # Told after a log says that the work has ended.
    heard = {f"/backup/{KEY}", f"/up/{KEY}/fail", f"/hook/{KEY}"}
    wait_until(lambda: heard <= {*paths(web)}, WORK_SECONDS, "the watchdog and people are told")
    trace = demo.trace.read_text().splitlines()
    assert len(trace) >= 6
    pairs = list(zip(trace[::2], trace[1::2], strict=True))
    assert all(first == second.replace("ends", "begins") for first, second in pairs), f"two at once: {trace}"
    assert paths(web).index(f"/backup/{KEY}/start") < paths(web).index(f"/backup/{KEY}")
    assert paths(web).index(f"/up/{KEY}/start") < paths(web).index(f"/up/{KEY}/fail")
    assert f"/up/{KEY}" not in paths(web)
    told = json.loads(next(body for _, path, _, body in web.seen if path == f"/hook/{KEY}"))
    assert "the disk is full" in told["attachments"][0]["fields"][-1]["value"]
    # A run's figures are written after its work has ended.
    outcomes = {"backup": 0, "up": 2, "restart": 0}
    wait_until(
        lambda: {verb: figures(demo, verb).last_exit_code for verb in outcomes} == outcomes, WORK_SECONDS, "figures"
    )
    assert figures(demo, "up").last_success_timestamp_seconds is None
    assert figures(demo, "backup").last_success_timestamp_seconds is not None
    assert not (demo.metrics / f"erni_schedule_erni-{demo.environment}.prom").exists()


@pytest.mark.skipif(os.path.isdir("/run/systemd/system"), reason="with systemd as process 1 there is no crontab")
@pytest.mark.skipif(os.getuid() != 0, reason="only root writes to /etc/cron.d")
@pytest.mark.slow
def test_cron_runs_what_is_scheduled_one_after_the_other_and_a_failure_is_heard_of(demo: Site, web: Web) -> None:
    with running_cron():
        predicted = demo.make("schedule", CHECK="1", DIFF="1")
        assert predicted.returncode == 0, predicted.stdout + predicted.stderr
        assert "*/1 * * * * root cd" in predicted.stdout
        assert not cron_file(demo).exists(), "a prediction writes nothing"

        made = demo.make("schedule")
        assert made.returncode == 0, made.stdout + made.stderr
        assert f"{cron_file(demo)} is created" in made.stdout
        assert "By cron, in the time of this machine: make backup every 1 minute, " in made.stdout
        assert KEY not in cron_file(demo).read_text() + made.stdout
        before = cron_file(demo).stat()
        again = demo.make("schedule")
        assert "changed" not in again.stdout, again.stdout
        assert cron_file(demo).stat() == before

        wait_until(lambda: begun(demo), FIRING_SECONDS, "cron fires")
        off = demo.make("schedule", STATE="off", LOCK_WAIT="120")
        assert f"{cron_file(demo)} is removed" in off.stdout
        assert not cron_file(demo).exists()
        assert_each_ran_alone_and_was_heard_of(demo, web)


@pytest.fixture
def machine(client: Any, image_of: Callable[[str], str], tmp_path: Path) -> Iterator[Machine]:
    made = Machine(client, image_of("systemd"), tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.mark.slow
def test_systemds_timers_run_what_is_scheduled_one_after_the_other(demo: Site, web: Web, machine: Machine) -> None:
    name = f"erni-{demo.environment}-backup"
    predicted = machine.make(demo, "schedule", CHECK="1", DIFF="1")
    assert "OnCalendar=" in predicted
    assert machine.run("systemctl", "cat", f"{name}.timer")[0] != 0, "a prediction writes nothing"

    made = machine.make(demo, "schedule")
    assert "By systemd, in the time of this machine: make backup every 1 minute, " in made
    assert machine.run("systemctl", "is-enabled", f"{name}.timer") == (0, "enabled\n")
    units = machine.run("systemctl", "cat", f"{name}.timer", f"{name}.service")[1]
    assert KEY not in units + made
    again = machine.make(demo, "schedule")
    assert "changed" not in again, again

    wait_until(lambda: begun(demo), FIRING_SECONDS, "the timers fire")
    off = machine.make(demo, "schedule", STATE="off", LOCK_WAIT="120")
    assert f"{name}.timer is removed" in off
    assert demo.environment not in machine.run("systemctl", "list-timers", "--all")[1]
    assert_each_ran_alone_and_was_heard_of(demo, web)


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """A schedule's units, in a folder whose name has all that has to be escaped."""
    checkout = tmp_path / "50% of $all"
    (checkout / ".venv" / "bin").mkdir(parents=True)
    shutil.copy("/bin/true", checkout / ".venv" / "bin" / "python")
    jobs = (Job("backup", "daily 02:00"), Job("drill", "sunday 04:00"))
    schedule = Schedule("demo", jobs, str(checkout), {"ERNI_LOCK_WAIT": "3600", "https_proxy": "http://a%20b:1/"})
    places = Places(str(tmp_path), units=str(tmp_path))
    written = [file for file in desired_files(schedule, SYSTEMD, places) if not file.path.endswith(".prom")]
    for file in written:
        Path(file.path).write_text(file.content)
    return [Path(file.path) for file in written]


needs_systemd_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not installed here, and its tools come with it"
)


@needs_systemd_analyze
def test_systemd_finds_nothing_wrong_with_the_units(units: list[Path]) -> None:
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", *map(str, units)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


@needs_systemd_analyze
def test_systemd_understands_each_time_as_it_is_meant() -> None:
    """From a Wednesday at 12:00 on, in UTC."""
    meant = {
        "daily 02:00": "Thu 2026-01-08 02:00:00",
        "sunday 04:00": "Sun 2026-01-11 04:00:00",
        "hourly :15": "Wed 2026-01-07 12:15:00",
        "every 5 minutes": "Wed 2026-01-07 12:05:00",
        "every 30 minutes": "Wed 2026-01-07 12:30:00",
        "every 1 minute": "Wed 2026-01-07 12:01:00",
    }
    for told, expected in meant.items():
        assert next_elapse(moment(told).calendar) == expected
    named = [next_elapse(moment(f"{day} 04:00").calendar)[:3].lower() for day in WEEKDAYS]
    assert named == [day[:3] for day in WEEKDAYS]


def next_elapse(calendar: str) -> str:
    told = subprocess.run(
        ["systemd-analyze", "calendar", "--base-time=2026-01-07 12:00:00 UTC", calendar],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C"},
    ).stdout
    line = next(line for line in told.splitlines() if "Next elapse:" in line)
    return line.partition(": ")[2].removesuffix(" UTC")
