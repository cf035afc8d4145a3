"""The one setting of a Docker Engine that the platform cares for: containers go on running when their engine ends.

Docker's manual, "Live restore": ``live-restore`` in daemon.json, loaded by SIGHUP, for containers that belong to no
swarm. An engine that is in a swarm refuses to start with it.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .errors import PlatformError
from .files import File, FileState, observe_file, write_atomically
from .planning import Difference, Plan

SETTINGS_FILE = "/etc/docker/daemon.json"
KEY = "live-restore"
INSTALLED, ALWAYS, NEVER = "installed", "always", "never"
CHOICES = [INSTALLED, ALWAYS, NEVER]
RELOAD_SECONDS = 10
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class EngineSettings:
    """``path`` is where ``file``, if there is one, really lies; ``active``: what the engine that runs goes by, None
    where none answers."""

    file: FileState | None = None
    path: str = SETTINGS_FILE
    active: bool | None = None
    in_swarm: bool = False


def is_wanted(choice: str, *, engine_found: bool) -> bool:
    """Whether the setting is the platform's to make: always, or of an engine that the platform is about to install."""
    return choice == ALWAYS or (choice == INSTALLED and not engine_found)


def observe_settings(told: Mapping[str, Any]) -> EngineSettings:
    """:param told: the answer to ``GET /info`` (Docker Engine API 1.41), empty where no engine answers."""
    path = os.path.realpath(SETTINGS_FILE)  # a rename would put a file in a link's place
    return EngineSettings(
        file=observe_file(path),
        path=path,
        active=bool(told["LiveRestoreEnabled"]) if "LiveRestoreEnabled" in told else None,
        in_swarm=(told.get("Swarm") or {}).get("LocalNodeState", "inactive") != "inactive",
    )


def plan_settings(settings: EngineSettings) -> Plan:
    """:raises PlatformError: where the setting cannot be made; nothing has been touched then."""
    plan = Plan()
    if settings.active:
        return plan
    if settings.in_swarm:
        raise PlatformError(
            "Containers cannot outlive the Docker Engine of this host",
            "it is in a swarm, and such an engine does not start with live-restore",
            "Set docker_engine_live_restore to never, or run `docker swarm leave` where nothing needs the swarm.",
        )
    current = _document(settings).get(KEY)
    if current is not True:
        plan.differences.append(Difference(f"{SETTINGS_FILE}: {KEY}", current, True))
        plan.add("configure", SETTINGS_FILE, f"{SETTINGS_FILE} says {KEY}: containers outlive their engine")
    if settings.active is False:
        plan.differences.append(Difference("Docker Engine", "ends its containers when it ends", "lets them run"))
        plan.add("reload", "dockerd", "the Docker Engine loads its settings, without a restart")
    return plan


def _document(settings: EngineSettings) -> dict[str, Any]:
    if settings.file is None:
        return {}
    try:
        document = json.loads(settings.file.content or b"{}")
    except ValueError as error:
        raise _not_understood(settings, str(error)) from error
    if not isinstance(document, dict):
        raise _not_understood(settings, "it holds no JSON object")
    return document


def _not_understood(settings: EngineSettings, why: str) -> PlatformError:
    return PlatformError(
        f"The settings of the Docker Engine in {settings.path} cannot be read",
        why,
        "Nothing was changed; an engine would not start with them either. Mend that file, or set "
        "docker_engine_live_restore to never.",
    )


def merged(settings: EngineSettings) -> File:
    """The file with the one setting made, and all else in it as it is."""
    content = json.dumps(_document(settings) | {KEY: True}, indent=2) + "\n"
    state = settings.file
    if state is None:
        return File(settings.path, content)
    return File(settings.path, content, state.mode, state.uid, state.gid)


def write_settings(settings: EngineSettings) -> None:
    os.makedirs(os.path.dirname(settings.path), mode=0o755, exist_ok=True)
    write_atomically(merged(settings))


def load_settings(settings: EngineSettings, daemon: int, told: Callable[[], Mapping[str, Any]]) -> None:
    """Make the engine load the file, and see that it goes by it; else the file is again as it was.

    :param daemon: process id of the engine, 0 where it is not known.
    :param told: asks the engine as :func:`observe_settings` wants it.
    """
    if daemon:
        with suppress(ProcessLookupError):  # it has just ended, which is told below
            os.kill(daemon, signal.SIGHUP)
    deadline = time.monotonic() + RELOAD_SECONDS
    while daemon and time.monotonic() < deadline:
        if told().get("LiveRestoreEnabled"):
            return
        time.sleep(POLL_SECONDS)
    _put_back(settings)
    raise PlatformError(
        f"The Docker Engine does not go by {settings.path}",
        "it still ends its containers when it ends; perhaps it was started with other settings"
        if daemon
        else "its process is not known: it was not started in the usual way",
        "The file is as it was. Make the engine's own settings say live-restore, or set docker_engine_live_restore to "
        "never.",
    )


def _put_back(settings: EngineSettings) -> None:
    state = settings.file
    if state is None:
        os.unlink(settings.path)
    else:
        content = state.content.decode(errors="surrogateescape")
        write_atomically(File(settings.path, content, state.mode, state.uid, state.gid))
