"""What runs by itself: one schedule, which systemd and cron understand alike, and of which nothing else stays."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import schedule_apply
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.files import FileState
from ansible.module_utils.erni.schedule_apply import apply, observe
from ansible.module_utils.erni.schedule_plan import (
    CRON,
    MANAGERS,
    SYSTEMD,
    Job,
    Observed,
    Places,
    Schedule,
    crontab,
    desired_files,
    file_name,
    jobs_from,
    moment,
    plan_schedule,
    report,
    service_unit,
    timer_unit,
)

PLACES = Places("/metrics", "/cron", "/units")
BACKUP, DRILL = Job("backup", "daily 02:00"), Job("drill", "sunday 04:00")
SCHEDULE = Schedule("demo", (BACKUP, DRILL), "/opt/erni", {"ERNI_LOCK_WAIT": "3600"})
TIMERS = frozenset({"erni-demo-backup.timer", "erni-demo-drill.timer"})


@pytest.mark.parametrize(
    ("told", "calendar", "cron", "period"),
    [
        ("daily 02:00", "*-*-* 02:00:00", "0 2 * * *", 86400),
        ("daily 23:59", "*-*-* 23:59:00", "59 23 * * *", 86400),
        ("sunday 04:00", "Sun *-*-* 04:00:00", "0 4 * * 0", 604800),
        ("saturday 00:05", "Sat *-*-* 00:05:00", "5 0 * * 6", 604800),
        ("hourly :15", "*-*-* *:15:00", "15 * * * *", 3600),
        ("hourly :00", "*-*-* *:00:00", "0 * * * *", 3600),
        ("every 5 minutes", "*-*-* *:00/5:00", "*/5 * * * *", 300),
        ("every 1 minute", "*-*-* *:00/1:00", "*/1 * * * *", 60),
        ("every 30 minutes", "*-*-* *:00/30:00", "*/30 * * * *", 1800),
    ],
)
def test_a_time_in_words_is_the_same_time_for_systemd_and_for_cron(
    told: str, calendar: str, cron: str, period: int
) -> None:
    found = moment(told)
    assert (found.calendar, found.cron, found.period) == (calendar, cron, period)


@pytest.mark.parametrize(
    "told",
    [
        *("", "daily", "daily 24:00", "daily 2:00", "daily 02:60", "sometimes", "sun 04:00", "hourly", "hourly 15"),
        *("every 7 minutes", "every 0 minutes", "every 60 minutes", "daily 02:00\n* * * * * root id", "@reboot"),
    ],
)
def test_what_is_no_time_is_refused_in_a_sentence(told: str) -> None:
    with pytest.raises(PlatformError, match="is no time at which something could run by itself"):
        moment(told)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{"verb": "drill", "when": "daily 02:00"}], "There is no verb 'drill' to schedule"),
        ([{"verb": "../up", "when": "daily 02:00"}], "There is no verb '../up' to schedule"),
        ([{"verb": "backup"}], "An entry of backup_schedule has verb: it has to have verb and when"),
        ([{}], "An entry of backup_schedule has nothing"),
        ([{"verb": "backup", "when": "daily 02:00", "at": 1}], "An entry of backup_schedule has at, verb, when"),
        ([{"verb": "backup", "when": "noon"}], "'noon' is no time"),
        ([{"verb": "backup", "when": "daily 02:00"}] * 2, "backup_schedule has backup more than once"),
    ],
)
def test_what_cannot_be_scheduled_is_refused_in_a_sentence(entries: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(PlatformError, match=said):
        jobs_from(entries, ["backup", "up", "../up"])


def test_a_schedule_is_read_in_its_order() -> None:
    entries = [{"verb": "drill", "when": "sunday 04:00"}, {"verb": "backup", "when": "daily 02:00"}]
    assert jobs_from(entries, ["backup", "drill"]) == (DRILL, BACKUP)


def states(schedule: Schedule, manager: str) -> dict[str, FileState | None]:
    return {
        file.path: FileState(file.content.encode(), file.mode, 0, 0)
        for file in desired_files(schedule, manager, PLACES)
    }


def there(schedule: Schedule, manager: str) -> Observed:
    return Observed(states(schedule, manager), TIMERS if manager == SYSTEMD else frozenset())


@pytest.mark.parametrize("manager", MANAGERS)
def test_a_schedule_that_is_there_is_left_alone(manager: str) -> None:
    plan = plan_schedule(SCHEDULE, manager, PLACES, there(SCHEDULE, manager))
    assert (plan.actions, plan.differences) == ([], [])


def test_cron_is_there_before_its_file_is() -> None:
    plan = plan_schedule(SCHEDULE, CRON, PLACES, Observed({}, cron_installed=False, cron_runs=False))
    assert plan.sentences == [
        "Debian's package cron is installed",
        "cron is started",
        "/cron/erni-demo is created",
        "/metrics/erni_schedule_erni-demo.prom is created",
    ]
    assert set(plan.diff("x")["after"]) == {
        "package cron",
        "cron",
        "/cron/erni-demo",
        "/metrics/erni_schedule_erni-demo.prom",
    }


def test_systemd_reads_the_units_before_it_starts_the_timers() -> None:
    plan = plan_schedule(SCHEDULE, SYSTEMD, PLACES, Observed({}))
    assert plan.kinds == ["write_file"] * 5 + ["reload_units", "start_timer", "start_timer"]
    assert plan.sentences[-2:] == [
        "make backup runs by itself: daily 02:00",
        "make drill runs by itself: sunday 04:00",
    ]


def test_another_time_touches_only_the_job_that_has_it() -> None:
    later = replace(SCHEDULE, jobs=(replace(BACKUP, told="daily 03:30"), DRILL))
    plan = plan_schedule(later, SYSTEMD, PLACES, there(SCHEDULE, SYSTEMD))
    assert plan.sentences == [
        "/units/erni-demo-backup.timer is replaced",
        "systemd reads its units again",
        "make backup runs by itself: daily 03:30",
    ]


def test_a_timer_that_somebody_has_stopped_waits_again() -> None:
    stopped = replace(there(SCHEDULE, SYSTEMD), waiting=frozenset({"erni-demo-backup.timer"}))
    plan = plan_schedule(SCHEDULE, SYSTEMD, PLACES, stopped)
    assert plan.sentences == ["make drill runs by itself: sunday 04:00"]


def test_a_job_that_is_no_longer_listed_goes() -> None:
    plan = plan_schedule(replace(SCHEDULE, jobs=(BACKUP,)), SYSTEMD, PLACES, there(SCHEDULE, SYSTEMD))
    assert [(action.kind, action.subject) for action in plan.actions] == [
        ("remove_file", "/units/erni-demo-drill.service"),
        ("stop_timer", "erni-demo-drill.timer"),
        ("remove_file", "/units/erni-demo-drill.timer"),
        ("write_file", "/metrics/erni_schedule_erni-demo.prom"),
        ("reload_units", ""),
    ]
    assert plan.diff("x")["after"]["/units/erni-demo-drill.timer"] is None


@pytest.mark.parametrize(("before", "now"), [(CRON, SYSTEMD), (SYSTEMD, CRON)])
def test_only_one_manager_has_the_jobs_and_the_former_one_loses_them_first(before: str, now: str) -> None:
    plan = plan_schedule(SCHEDULE, now, PLACES, there(SCHEDULE, before))
    removed = [action.subject for action in plan.actions if action.kind == "remove_file"]
    assert set(removed) == {path for path in states(SCHEDULE, before) if not path.startswith("/metrics")}
    assert plan.kinds.index("write_file") > max(i for i, kind in enumerate(plan.kinds) if kind == "remove_file")


@pytest.mark.parametrize("manager", MANAGERS)
def test_without_jobs_nothing_stays_and_cron_is_not_asked_for(manager: str) -> None:
    nothing = replace(SCHEDULE, jobs=())
    observed = replace(there(SCHEDULE, manager), cron_installed=False, cron_runs=False)
    plan = plan_schedule(nothing, manager, PLACES, observed)
    assert {action.subject for action in plan.actions if action.kind == "remove_file"} == set(observed.files)
    assert "install_cron" not in plan.kinds
    assert not plan_schedule(nothing, manager, PLACES, Observed({}, cron_installed=False, cron_runs=False)).changed


def test_a_crontab_is_one_that_cron_takes() -> None:
    schedule = Schedule("demo", (BACKUP,), "/opt/50% off", {"ERNI_LOCK_WAIT": "60"})
    assert crontab(schedule).splitlines()[1:] == [
        "SHELL=/bin/sh",
        'ERNI_LOCK_WAIT="60"',
        'LANG="C.UTF-8"',
        'PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"',
        r"0 2 * * * root cd '/opt/50\% off' && exec '/opt/50\% off/.venv/bin/python' tools/scheduled.py backup demo",
    ]
    assert crontab(schedule).endswith("\n"), "cron overlooks a last line that has no end"


def test_a_unit_is_one_that_systemd_takes() -> None:
    lines = service_unit(Schedule("demo", (BACKUP,), "/opt/50% $off", {"A": "b c%"}), BACKUP).splitlines()
    assert 'Environment="A=b c%%"' in lines
    assert "WorkingDirectory=/opt/50%% $off" in lines
    assert 'ExecStart="/opt/50%% $off/.venv/bin/python" "tools/scheduled.py" "backup" "demo"' in lines


@pytest.mark.parametrize(
    ("name", "value"), [("A", 'b"'), ("A", "b\nExecStart=/bin/id"), ("A B", "c"), ("", "c"), ("A=B", "c")]
)
def test_a_variable_cannot_smuggle_in_a_line(name: str, value: str) -> None:
    for manager in MANAGERS:
        with pytest.raises(PlatformError, match=r"cannot be set: .* Correct backup_schedule_environment"):
            desired_files(replace(SCHEDULE, variables={name: value}), manager, PLACES)


def test_a_name_is_one_that_cron_does_not_overlook() -> None:
    assert file_name("eu.west/1", "redis-cli") == "erni-eu-west-1-redis-cli"


@pytest.mark.parametrize("manager", MANAGERS)
def test_what_is_expected_can_be_asked_for_by_an_alert(manager: str) -> None:
    figures = next(file for file in desired_files(SCHEDULE, manager, PLACES) if file.path.endswith(".prom"))
    assert figures.content.splitlines()[2:] == [
        'erni_schedule_period_seconds{environment="demo",verb="backup"} 86400',
        'erni_schedule_period_seconds{environment="demo",verb="drill"} 604800',
    ]


def test_what_runs_by_itself_is_told_in_a_sentence() -> None:
    assert report(SCHEDULE, CRON) == (
        "By cron, in the time of this machine: make backup daily 02:00, make drill sunday 04:00."
    )
    assert report(replace(SCHEDULE, jobs=()), SYSTEMD) == "Nothing runs by itself on demo."


# The host: a folder of its own, and a systemctl that only writes down what it is asked for.


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for name in ("cron", "units"):
        (tmp_path / name).mkdir()
    return Places(str(tmp_path / "metrics"), str(tmp_path / "cron"), str(tmp_path / "units"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, places: Places) -> list[list[str]]:
    """What systemctl was asked for; it keeps the links of a boot as the real one does, and all timers are active."""
    seen: list[list[str]] = []

    def systemctl(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        link = Path(places.units, "timers.target.wants", command[-1])
        if command[1] == "enable":
            link.parent.mkdir(exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(Path(places.units, command[-1]))
        if command[1] == "disable":
            link.unlink()
        if command[1] != "is-active":
            seen.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(schedule_apply.subprocess, "run", systemctl)
    return seen


def bring_about(schedule: Schedule, manager: str, places: Places) -> list[str]:
    plan = plan_schedule(schedule, manager, places, observe(schedule.environment, places, manager))
    apply(plan, desired_files(schedule, manager, places), places)
    return plan.kinds


def left(places: Places) -> set[str]:
    folders = [Path(places.cron), Path(places.units), Path(places.metrics)]
    return {path.name for folder in folders for path in folder.rglob("*") if not path.is_dir()}


def test_systemd_is_asked_in_order_and_a_second_time_for_nothing(places: Places, asked: list[list[str]]) -> None:
    bring_about(replace(SCHEDULE, jobs=(BACKUP,)), SYSTEMD, places)
    assert [" ".join(command) for command in asked] == [
        "systemctl daemon-reload",
        "systemctl enable --quiet erni-demo-backup.timer",
        "systemctl restart erni-demo-backup.timer",
    ]
    assert bring_about(replace(SCHEDULE, jobs=(BACKUP,)), SYSTEMD, places) == []
    asked.clear()
    bring_about(replace(SCHEDULE, jobs=()), SYSTEMD, places)
    assert [" ".join(command) for command in asked] == [
        "systemctl disable --now --quiet erni-demo-backup.timer",
        "systemctl daemon-reload",
    ]
    assert left(places) == set()


def test_of_a_systemd_that_is_gone_nothing_stays_either(
    places: Places, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule_apply, "package_installed", lambda _: True)
    monkeypatch.setattr(schedule_apply, "cron_process", lambda: 1)
    bring_about(SCHEDULE, SYSTEMD, places)
    asked.clear()
    bring_about(SCHEDULE, CRON, places)
    assert left(places) == {"erni-demo", "erni_schedule_erni-demo.prom"}
    assert asked == []


def test_another_environment_keeps_its_jobs(places: Places, asked: list[list[str]]) -> None:
    bring_about(replace(SCHEDULE, environment="demo-two"), SYSTEMD, places)
    kept = left(places)
    bring_about(SCHEDULE, SYSTEMD, places)
    bring_about(replace(SCHEDULE, jobs=()), SYSTEMD, places)
    assert left(places) == kept
    assert asked[-1] == ["systemctl", "daemon-reload"]


def test_what_systemctl_refuses_is_told_in_its_words(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "Unit is masked.\n")

    monkeypatch.setattr(schedule_apply.subprocess, "run", refuse)
    with pytest.raises(PlatformError, match=r"^`systemctl daemon-reload` failed: Unit is masked\. Run it by hand"):
        bring_about(SCHEDULE, SYSTEMD, places)


def test_a_timer_is_not_a_minute_late_as_systemd_would_let_it_be() -> None:
    """Its default AccuracySec is a minute, so that of a job of every minute some runs would never come."""
    assert "\nAccuracySec=1s\n" in timer_unit(SCHEDULE, SCHEDULE.jobs[0])
