"""What systemd or cron starts: `tools/scheduled.py VERB ENVIRONMENT`, a run as `make VERB` is one, that nobody watches.

So it leaves a log, figures for Prometheus and a heartbeat, tells people when it fails, and ends with the run's code.
What is around the run never costs the run: what cannot be logged, counted or sent is said in the log, and that is all.
"""

from __future__ import annotations

import logging
import os
import pwd
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from types import FrameType
from typing import Any

import run
from ansible.module_utils.erni import heartbeat, scheduled_figures
from ansible.module_utils.erni.excerpts import LAST_LINES, hidden

from erni_cli import ROOT, options, vault
from erni_cli.environment import Environment, operator, resolve
from erni_cli.programs import child_environment
from erni_cli.steps import Step

LOG_FOLDER = "/var/log/erni"
METRICS_FOLDER = "/var/lib/erni/metrics"
LOG_BYTES, LOG_FILES = 5_000_000, 5
TELLING_SECONDS = 180
REFUSED, STOPPED = 2, 128 + signal.SIGTERM
# As `make` does it: first the Python environment that requirements.txt asks for.
RUN = 'tools/bootstrap && exec .venv/bin/python tools/run.py "$1"'


@dataclass
class Job:
    """A verb on an environment, and what is known of its run."""

    verb: str
    environment: str
    log: logging.Logger
    figures: str
    last_said: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    child: subprocess.Popen[str] | None = None
    stopped: bool = False

    def heard(self, line: str) -> None:
        self.log.info("%s", line)
        if line.strip():
            self.last_said.append(line)


class Log(RotatingFileHandler):
    """By itself and not by logrotate, which has to be installed, and to be started by somebody every day."""

    def _open(self) -> Any:
        return open(self.baseFilename, "a", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o640))


@contextmanager
def never_costing_the_run(job: Job, trouble: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 (whatever it is: see this program's own description)
        job.log.info("%s: %s", trouble, error)


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or not run.playbook(arguments[0]).exists():
        print("scheduled.py wants a verb and an environment: make schedule writes how to call it.", file=sys.stderr)
        return REFUSED
    verb, name = arguments
    os.environ["ERNI_ENV"] = name
    figures = scheduled_figures.path(os.environ.get("ERNI_SCHEDULE_METRICS") or METRICS_FOLDER, name, verb)
    job = Job(verb, name, open_log(os.environ.get("ERNI_SCHEDULE_LOGS") or LOG_FOLDER, verb, name), figures)
    signal.signal(signal.SIGTERM, lambda number, frame: stop(job, number, frame))
    return run_job(job)


def open_log(folder: str, verb: str, environment: str) -> logging.Logger:
    """With the time in UTC before each line; where it cannot be written, to whoever started this program."""
    log = logging.getLogger("scheduled")
    log.setLevel(logging.INFO)
    handler: logging.Handler
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        path = os.path.join(folder, f"{environment}-{verb}.log")
        handler = Log(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES)
    except OSError as error:
        print(f"The log in {folder} cannot be written: {error}", file=sys.stderr)
        handler = logging.StreamHandler()
    form = logging.Formatter("%(asctime)sZ %(message)s", "%Y-%m-%dT%H:%M:%S")
    form.converter = time.gmtime
    handler.setFormatter(form)
    log.addHandler(handler)
    return log


def run_job(job: Job) -> int:
    name, began, begin = f"make {job.verb} ENV={job.environment}", time.time(), time.monotonic()
    job.log.info("%s begins, process %d", name, os.getpid())
    count(job, lambda before: scheduled_figures.begun(before, began))
    url = heartbeat_url(job)
    beat(job, url, heartbeat.STARTED)
    code = follow(job)
    seconds = time.monotonic() - begin
    ending = f"failed with code {code}" if code else "ended well"
    job.log.info("%s %s after %.1f s", name, ending, seconds)
    count(job, lambda before: scheduled_figures.ended(before, time.time(), code, seconds))
    beat(job, url, heartbeat.FAILED if code else heartbeat.SUCCEEDED)
    if code:
        tell_people(job, hidden("\n".join(job.last_said), [url]), seconds)
        print(f"{name} {ending}. {where_it_stands(job)}", file=sys.stderr)
    return code


def follow(job: Job) -> int:
    """The run, each line of its output in the log; its code as a shell would give it."""
    if job.stopped:
        return STOPPED
    try:
        job.child = subprocess.Popen(
            ["/bin/sh", "-c", RUN, "sh", job.verb],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            **as_owner(os.environ),
        )
    except OSError as error:
        job.heard(f"The run could not be started: {error}")
        return REFUSED
    if job.stopped:  # asked while it was being started
        job.child.terminate()
    for line in job.child.stdout or ():
        job.heard(line.rstrip("\r\n"))
    code = job.child.wait()
    return 128 - code if code < 0 else code


def stop(job: Job, _number: int, _frame: FrameType | None) -> None:
    """The run is asked to end in good order; what it leaves is said, counted and told as of any that failed."""
    job.stopped = True
    if job.child is not None:
        job.child.terminate()


def as_owner(variables: Mapping[str, str]) -> dict[str, Any]:
    """How to start what an operator would start: the checkout's owner has the keys to the hosts, and the journal."""
    owner = ROOT.stat().st_uid
    if owner == os.geteuid():
        return {"env": dict(variables)}
    account = pwd.getpwuid(owner)
    whose = {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name}
    groups = os.getgrouplist(account.pw_name, account.pw_gid)
    return {"env": {**variables, **whose}, "user": owner, "group": account.pw_gid, "extra_groups": groups}


def heartbeat_url(job: Job) -> str:
    """The secret ``<verb>_heartbeat_url``; empty where there is none, or where the vault is shut."""
    with never_costing_the_run(job, "There is no heartbeat"):
        return str(vault.read_secrets(environment_of()).get(f"{job.verb.replace('-', '_')}_heartbeat_url") or "")
    return ""


def environment_of() -> Environment:
    wanted = options.from_environment(os.environ)
    return resolve(wanted.env, ROOT / wanted.inventories, wanted.vault_password_file)


def beat(job: Job, url: str, what: str) -> None:
    if url:
        with never_costing_the_run(job, "The run goes on without a heartbeat"):
            heartbeat.beat(url, what)


def count(job: Job, change: Callable[[scheduled_figures.Record], scheduled_figures.Record]) -> None:
    """What earlier runs have left is read each time: of two runs at once, each changes only what it knows."""
    with never_costing_the_run(job, "The figures are as they were"):
        after = change(scheduled_figures.read(job.figures))
        scheduled_figures.write(job.figures, after, job.environment, job.verb)


def tell_people(job: Job, error: str, seconds: float) -> None:
    """By the ways of the releases' notifications; where there are none, nobody is told."""
    with never_costing_the_run(job, "Nobody could be told"):
        wanted, environment = options.from_environment(os.environ), environment_of()
        step = Step(job.verb, wanted, {"erni_failure_seconds": f"{seconds:.1f}"})
        told = subprocess.run(
            run.command(step, environment, operator(), run.playbook("shared/notify_failure")),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=TELLING_SECONDS,
            # Not as an argument: those of a process can be read by everybody.
            **as_owner({**child_environment(), "ERNI_FAILURE": error}),
        )
        if told.returncode or "Warning:" in told.stdout:
            for line in (told.stdout + told.stderr).splitlines():
                job.log.info("%s", line)


def where_it_stands(job: Job) -> str:
    handler = job.log.handlers[0]
    return f"Its log is {handler.baseFilename}." if isinstance(handler, Log) else "What it said stands above."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
