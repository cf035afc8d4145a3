"""What runs by itself, and when: one schedule, as systemd's timers or as a crontab. Pure."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import PlatformError
from .files import File, FileState, plan_files
from .planning import Difference, Plan

SYSTEMD, CRON = MANAGERS = ("systemd", "cron")
WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")  # numbered as in crontab(5)
MINUTE, HOUR = 60, 3600
DAY = 24 * HOUR
EACH_HOUR_ALIKE = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)  # minutes; systemd refuses a step of 60
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAM = os.path.join("tools", "scheduled.py")

_VERB = re.compile(r"[a-z][a-z-]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VALUE = re.compile(r'[^\x00-\x1f\x7f"]*')
_CLOCK = re.compile(rf"(?P<day>daily|{'|'.join(WEEKDAYS)}) (?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)")
_HOURLY = re.compile(r"hourly :(?P<minute>[0-5]\d)")
_EVERY = re.compile(r"every (?P<minutes>[1-9]\d?) minutes?")


@dataclass(frozen=True)
class Moment:
    """When a job begins, in the host's own time: for systemd.time(7) and for crontab(5). ``period`` is in seconds."""

    calendar: str
    cron: str
    period: int


@dataclass(frozen=True)
class Job:
    """A verb, and when. ``told`` is that in the operator's words."""

    verb: str
    told: str

    @property
    def moment(self) -> Moment:
        return moment(self.told)


@dataclass(frozen=True)
class Schedule:
    """An environment's jobs, in a checkout of this project; ``variables`` are what they find, none of it secret."""

    environment: str
    jobs: tuple[Job, ...]
    checkout: str
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Places:
    """Folders on the control node."""

    metrics: str
    cron: str = "/etc/cron.d"
    units: str = "/etc/systemd/system"


@dataclass(frozen=True)
class Observed:
    """``files`` are the schedule's own. ``waiting`` are the timers that systemd has started, also for the next boot."""

    files: Mapping[str, FileState | None]
    waiting: frozenset[str] = frozenset()
    cron_installed: bool = True
    cron_runs: bool = True


def moment(told: str) -> Moment:
    """``daily 02:00``, ``sunday 04:00``, ``hourly :15``, or ``every 5 minutes``.

    :raises PlatformError: for anything else.
    """
    if at := _CLOCK.fullmatch(told):
        hour, minute = int(at["hour"]), int(at["minute"])
        clock = f"{at['hour']}:{at['minute']}:00"
        if at["day"] == "daily":
            return Moment(f"*-*-* {clock}", f"{minute} {hour} * * *", DAY)
        number = WEEKDAYS.index(at["day"])
        return Moment(f"{at['day'][:3].title()} *-*-* {clock}", f"{minute} {hour} * * {number}", 7 * DAY)
    if at := _HOURLY.fullmatch(told):
        return Moment(f"*-*-* *:{at['minute']}:00", f"{int(at['minute'])} * * * *", HOUR)
    if (every := _EVERY.fullmatch(told)) and int(every["minutes"]) in EACH_HOUR_ALIKE:
        minutes = int(every["minutes"])
        return Moment(f"*-*-* *:00/{minutes}:00", f"*/{minutes} * * * *", minutes * MINUTE)
    raise PlatformError(
        f"'{told}' is no time at which something could run by itself",
        "there are 'daily 02:00', 'sunday 04:00', 'hourly :15' and 'every 5 minutes' (1 to 30, a divisor of 60)",
        "Correct backup_schedule.",
    )


def jobs_from(entries: Iterable[Mapping[str, Any]], verbs: Iterable[str]) -> tuple[Job, ...]:
    """What ``backup_schedule`` lists.

    :param verbs: those that there are.
    :raises PlatformError: for what cannot be meant.
    """
    known, jobs = set(verbs), []
    for entry in entries:
        if set(entry) != {"verb", "when"}:
            raise PlatformError(
                f"An entry of backup_schedule has {', '.join(sorted(map(str, entry))) or 'nothing'}",
                "it has to have verb and when, and nothing else",
                "Write it as {verb: backup, when: daily 02:00}.",
            )
        job = Job(str(entry["verb"]), str(entry["when"]))
        if job.verb not in known or not _VERB.fullmatch(job.verb):
            raise PlatformError(f"There is no verb '{job.verb}' to schedule", remedy="Correct backup_schedule.")
        moment(job.told)
        jobs.append(job)
    twice = sorted({job.verb for job in jobs if sum(other.verb == job.verb for other in jobs) > 1})
    if twice:
        raise PlatformError(
            f"backup_schedule has {twice[0]} more than once",
            "its log and its figures are one each",
            "Leave one entry for each verb.",
        )
    return tuple(jobs)


def mark(environment: str) -> str:
    """The first line of each file: whose it is."""
    return f"# Written by make schedule ENV={environment}. It writes this anew: change backup_schedule instead.\n"


def file_name(environment: str, *more: str) -> str:
    """Debian's cron overlooks a file whose name has anything else in it (cron(8))."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", "-".join(("erni", environment, *more)))


def desired_files(schedule: Schedule, manager: str, places: Places) -> list[File]:
    """None where nothing is scheduled."""
    if not schedule.jobs:
        return []
    figures = File(metrics_path(schedule.environment, places), period_figures(schedule))
    if manager == CRON:
        return [File(cron_path(schedule.environment, places), crontab(schedule)), figures]
    units = []
    for job in schedule.jobs:
        name = os.path.join(places.units, file_name(schedule.environment, job.verb))
        units += [
            File(f"{name}.service", service_unit(schedule, job)),
            File(f"{name}.timer", timer_unit(schedule, job)),
        ]
    return [*units, figures]


def cron_path(environment: str, places: Places) -> str:
    return os.path.join(places.cron, file_name(environment))


def metrics_path(environment: str, places: Places) -> str:
    return os.path.join(places.metrics, f"erni_schedule_{file_name(environment)}.prom")


def crontab(schedule: Schedule) -> str:
    """crontab(5): variables hold for the lines below them, and an unescaped ``%`` would end a command."""
    lines = ["SHELL=/bin/sh"]
    lines += [f'{name}="{value}"' for name, value in _variables(schedule)]
    for job in schedule.jobs:
        words = shlex.join(
            [os.path.join(schedule.checkout, ".venv/bin/python"), PROGRAM, job.verb, schedule.environment]
        )
        command = f"cd {shlex.quote(schedule.checkout)} && exec {words}".replace("%", r"\%")
        lines.append(f"{job.moment.cron} root {command}")
    return mark(schedule.environment) + "\n".join(lines) + "\n"


def service_unit(schedule: Schedule, job: Job) -> str:
    """systemd.service(5). A stop is told to the program alone, which passes it on and waits: KillMode=mixed."""
    python = os.path.join(schedule.checkout, ".venv/bin/python")
    words = [_quoted(python), *(_quoted(word, argument=True) for word in (PROGRAM, job.verb, schedule.environment))]
    variables = "".join(f"Environment={_quoted(f'{name}={value}')}\n" for name, value in _variables(schedule))
    return (
        f"{mark(schedule.environment)}"
        "[Unit]\n"
        f"Description=ERNI {_escaped(schedule.environment)}: make {job.verb}\n"
        "Wants=network-online.target\n"
        "After=network-online.target docker.service\n"
        "\n"
        "[Service]\n"
        "Type=oneshot\n"
        f"WorkingDirectory={_escaped(schedule.checkout)}\n"
        f"{variables}"
        f"ExecStart={' '.join(words)}\n"
        "KillMode=mixed\n"
        "TimeoutStopSec=300\n"
    )


def timer_unit(schedule: Schedule, job: Job) -> str:
    """systemd.timer(5). A run that was missed because the machine was off begins when it is on again: Persistent.

    Without AccuracySec systemd may be a minute late, so that of `every 1 minute` some would never come.
    """
    return (
        f"{mark(schedule.environment)}"
        "[Unit]\n"
        f"Description=ERNI {_escaped(schedule.environment)}: make {job.verb}, {job.told}\n"
        "\n"
        "[Timer]\n"
        f"OnCalendar={job.moment.calendar}\n"
        "AccuracySec=1s\n"
        "Persistent=true\n"
        "\n"
        "[Install]\n"
        "WantedBy=timers.target\n"
    )


def period_figures(schedule: Schedule) -> str:
    """What is expected: only against it an alert can tell a job that never ran from one that is not scheduled."""
    name = "erni_schedule_period_seconds"
    lines = [
        f'{name}{{environment="{schedule.environment}",verb="{job.verb}"}} {job.moment.period}\n'
        for job in schedule.jobs
    ]
    return f"# HELP {name} How often the verb is to run by itself.\n# TYPE {name} gauge\n{''.join(lines)}"


def report(schedule: Schedule, manager: str) -> str:
    """What runs by itself from now on, in a sentence."""
    if not schedule.jobs:
        return f"Nothing runs by itself on {schedule.environment}."
    jobs = ", ".join(f"make {job.verb} {job.told}" for job in schedule.jobs)
    return f"By {manager}, in the time of this machine: {jobs}."


def plan_schedule(schedule: Schedule, manager: str, places: Places, observed: Observed) -> Plan:
    """What another schedule, or the other manager, has left goes before anything comes: no job is ever there twice."""
    desired = desired_files(schedule, manager, places)
    plan = _plan_removals({file.path for file in desired}, manager, observed)
    removed = plan.changed
    if manager == CRON and schedule.jobs:
        plan.extend(_plan_cron(observed))
    written = plan_files(desired, dict(observed.files))
    plan.extend(written)
    if manager == SYSTEMD:
        touched = {action.subject for action in written.actions}
        if removed or any(path.startswith(places.units) for path in touched):
            plan.add("reload_units", "", "systemd reads its units again")
        plan.extend(_plan_timers(schedule, places, touched, observed.waiting))
    return plan


def _plan_removals(wanted: set[str], manager: str, observed: Observed) -> Plan:
    plan = Plan()
    for path, state in sorted(observed.files.items()):
        if state is None or path in wanted:
            continue
        name = os.path.basename(path)
        if manager == SYSTEMD and name in observed.waiting:
            plan.add("stop_timer", name, f"{name} waits no longer")
        plan.differences.append(Difference(path, state.content.decode(errors="replace"), None))
        plan.add("remove_file", path, f"{path} is removed")
    return plan


def _plan_cron(observed: Observed) -> Plan:
    plan = Plan()
    if not observed.cron_installed:
        plan.differences.append(Difference("package cron", None, "installed"))
        plan.add("install_cron", "cron", "Debian's package cron is installed")
    if not observed.cron_runs:
        plan.differences.append(Difference("cron", "not running", "running"))
        plan.add("start_cron", "cron", "cron is started")
    return plan


def _plan_timers(schedule: Schedule, places: Places, touched: set[str], waiting: frozenset[str]) -> Plan:
    plan = Plan()
    for job in schedule.jobs:
        name = f"{file_name(schedule.environment, job.verb)}.timer"
        if os.path.join(places.units, name) in touched or name not in waiting:
            before = "waits" if name in waiting else None
            plan.differences.append(Difference(name, before, f"waits for {job.moment.calendar}"))
            plan.add("start_timer", name, f"make {job.verb} runs by itself: {job.told}")
    return plan


def _variables(schedule: Schedule) -> list[tuple[str, str]]:
    """:raises PlatformError: for what neither a unit nor a crontab could hold."""
    variables = {"PATH": SEARCH_PATH, "LANG": "C.UTF-8", **schedule.variables}
    for name, value in variables.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise PlatformError(
                f"The variable '{name}' of the schedule cannot be set",
                "names have letters, digits and underscores; values neither quotation marks nor control characters",
                "Correct backup_schedule_environment.",
            )
    return sorted(variables.items())


def _quoted(word: str, *, argument: bool = False) -> str:
    """In double quotes (systemd.syntax(7)). Variables are put into a command's arguments, not into its path."""
    text = _escaped(word.replace("\\", "\\\\").replace('"', '\\"'))
    return f'"{text.replace("$", "$$") if argument else text}"'


def _escaped(text: str) -> str:
    """systemd.unit(5), "Specifiers"."""
    return text.replace("%", "%%")
