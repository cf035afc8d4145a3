"""Containers outlive their engine where that is the platform's to decide, and no other setting is touched."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import engine_settings
from ansible.module_utils.erni.engine_install import EngineState, plan_engine
from ansible.module_utils.erni.engine_settings import (
    ALWAYS,
    INSTALLED,
    NEVER,
    EngineSettings,
    is_wanted,
    load_settings,
    merged,
    observe_settings,
    plan_settings,
    write_settings,
)
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.files import FileState

ON, OFF, OTHERS = '{"live-restore": true}', '{"live-restore": false}', '{"log-level": "warn", "dns": ["10.0.0.1"]}'
CONFIGURED, LOADED = (
    "/etc/docker/daemon.json says live-restore: containers outlive their engine",
    "the Docker Engine loads its settings, without a restart",
)


def settings(content: str | None, *, active: bool | None = None, in_swarm: bool = False) -> EngineSettings:
    file = None if content is None else FileState(content.encode(), 0o640, 0, 7)
    return EngineSettings(file=file, active=active, in_swarm=in_swarm)


@pytest.mark.parametrize(
    ("choice", "engine_found", "wanted"),
    [
        (INSTALLED, False, True),
        (INSTALLED, True, False),
        (ALWAYS, False, True),
        (ALWAYS, True, True),
        (NEVER, False, False),
        (NEVER, True, False),
    ],
)
def test_the_engine_of_somebody_else_is_left_alone_unless_it_is_asked_for(
    choice: str, engine_found: bool, wanted: bool
) -> None:
    assert is_wanted(choice, engine_found=engine_found) is wanted


@pytest.mark.parametrize(
    ("content", "active", "sentences"),
    [
        (None, None, [CONFIGURED]),
        (OFF, None, [CONFIGURED]),
        (OTHERS, None, [CONFIGURED]),
        ("", None, [CONFIGURED]),
        (ON, None, []),
        (None, False, [CONFIGURED, LOADED]),
        (OFF, False, [CONFIGURED, LOADED]),
        (ON, False, [LOADED]),  # a run was killed before it was loaded
        (ON, True, []),
        (None, True, []),  # by an option of the daemon, which refuses to find it in the file as well
        ("{", True, []),
    ],
)
def test_what_differs_is_made_and_nothing_else(content: str | None, active: bool | None, sentences: list[str]) -> None:
    plan = plan_settings(settings(content, active=active))
    assert plan.sentences == sentences
    assert bool(plan.differences) is bool(sentences)


def test_the_diff_shows_the_one_setting_alone() -> None:
    shown = plan_settings(settings('{"live-restore": false, "log-opts": {"splunk-token": "secret"}}')).diff("x")
    assert shown["before"] == {"/etc/docker/daemon.json: live-restore": False}
    assert shown["after"] == {"/etc/docker/daemon.json: live-restore": True}


@pytest.mark.parametrize("content", ["{", "[]", "true", '{"log-level": }', "\x00"])
@pytest.mark.parametrize("active", [None, False])
def test_a_file_that_cannot_be_read_is_refused_in_a_sentence(content: str, active: bool | None) -> None:
    with pytest.raises(PlatformError, match=r"in /etc/docker/daemon\.json cannot be read: .*Nothing was changed"):
        plan_settings(settings(content, active=active))


def test_an_engine_in_a_swarm_is_refused_before_it_fails_to_start() -> None:
    with pytest.raises(PlatformError, match=r"it is in a swarm.*docker_engine_live_restore to never"):
        plan_settings(settings(None, active=False, in_swarm=True))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, {"live-restore": True}),
        ("", {"live-restore": True}),
        (OFF, {"live-restore": True}),
        (OTHERS, {"log-level": "warn", "dns": ["10.0.0.1"], "live-restore": True}),
    ],
)
def test_all_other_settings_stay_as_they_are(content: str | None, expected: dict[str, Any]) -> None:
    file = merged(settings(content))
    assert json.loads(file.content) == expected
    assert list(json.loads(file.content)) == list(expected), "in their order, too"
    assert (file.mode, file.uid, file.gid) == ((0o644, -1, -1) if content is None else (0o640, 0, 7))


@pytest.mark.parametrize(
    ("told", "active", "in_swarm"),
    [
        ({}, None, False),
        ({"LiveRestoreEnabled": False, "Swarm": {"LocalNodeState": "inactive"}}, False, False),
        ({"LiveRestoreEnabled": True}, True, False),
        ({"LiveRestoreEnabled": False, "Swarm": {"LocalNodeState": "active"}}, False, True),
        ({"LiveRestoreEnabled": False, "Swarm": {"LocalNodeState": "locked"}}, False, True),
    ],
)
def test_what_counts_is_what_the_running_engine_says(told: dict[str, Any], active: bool | None, in_swarm: bool) -> None:
    observed = observe_settings(told)
    assert (observed.active, observed.in_swarm) == (active, in_swarm)


def test_settings_come_before_the_package_that_starts_the_engine() -> None:
    state = EngineState(False, False, True, (), settings=settings(None))
    assert plan_engine(state).kinds == ["configure", "install", "start"]
    assert plan_engine(EngineState(True, True, True, (), settings=settings(ON, active=True))).kinds == []


# The file and the signal.


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file as it is to be, behind a link."""
    (tmp_path / "daemon.json").symlink_to(tmp_path / "real" / "daemon.json")
    monkeypatch.setattr(engine_settings, "SETTINGS_FILE", str(tmp_path / "daemon.json"))
    monkeypatch.setattr(engine_settings, "RELOAD_SECONDS", 0.05)
    monkeypatch.setattr(engine_settings, "POLL_SECONDS", 0.01)
    return tmp_path / "real" / "daemon.json"


class Daemon:
    """Goes by the file as soon as it is told to, unless it is ``stubborn``."""

    def __init__(self, file: Path, monkeypatch: pytest.MonkeyPatch, *, stubborn: bool = False) -> None:
        self.file, self.stubborn = file, stubborn
        self.signals: list[tuple[int, int]] = []
        self.active = False
        monkeypatch.setattr(engine_settings.os, "kill", self.signalled)

    def signalled(self, pid: int, number: int) -> None:
        self.signals.append((pid, number))
        self.active = not self.stubborn and json.loads(self.file.read_text())["live-restore"]

    def told(self) -> Mapping[str, Any]:
        return {"LiveRestoreEnabled": self.active}


@pytest.mark.parametrize("content", [None, OTHERS])
def test_an_engine_that_runs_loads_the_file_without_a_restart(
    etc: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content is not None:
        etc.parent.mkdir()
        etc.write_text(content)
    daemon = Daemon(etc, monkeypatch)
    observed = observe_settings(daemon.told())
    assert plan_settings(observed).kinds == ["configure", "reload"]
    write_settings(observed)
    load_settings(observed, 4711, daemon.told)
    assert daemon.signals == [(4711, signal.SIGHUP)]
    assert plan_settings(observe_settings(daemon.told())).kinds == [], "a second run is silent"
    assert etc.parent.parent.joinpath("daemon.json").is_symlink()


@pytest.mark.parametrize("content", [None, OTHERS])
@pytest.mark.parametrize(
    ("pid", "why"), [(4711, "it still ends its containers when it ends"), (0, "its process is not known")]
)
def test_a_file_that_the_engine_does_not_go_by_is_put_back(
    etc: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, pid: int, why: str
) -> None:
    if content is not None:
        etc.parent.mkdir()
        etc.write_text(content)
    daemon = Daemon(etc, monkeypatch, stubborn=True)
    observed = observe_settings(daemon.told())
    write_settings(observed)
    with pytest.raises(PlatformError, match=why):
        load_settings(observed, pid, daemon.told)
    assert (etc.read_text() if etc.exists() else None) == content
