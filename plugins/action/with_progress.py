"""Action: a module of this project in its place, and meanwhile how far it has come (module_utils/erni/progress.py).

A module that takes the argument ``progress`` gets this by a link of its own name to this file:
``ln -s with_progress.py plugins/action/<module>.py``. Whatever cannot be shown leaves the run as it is without it.
"""

from __future__ import annotations

import contextvars
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from pathlib import Path
from typing import Any

import ansible.module_utils
from ansible.executor.process import worker
from ansible.executor.task_result import _RawTaskResult
from ansible.plugins.action import ActionBase

# On the control node the project's logic is found under the name that it has inside modules, too.
ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.erni.progress import Track, parse

FOLDER = "/tmp"  # noqa: S108 (a name that nobody can guess, and whoever the module runs as may write there)
LOOK_SECONDS = 2.0
PATIENCE_SECONDS = 5.0  # for a look that is under way when the work ends
FAILURES = 3  # in a row, after which nobody looks any more


class ActionModule(ActionBase):
    """Arguments: the module's own, without ``progress``."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        if self._task.check_mode:
            return result | self._execute_module(task_vars=variables)
        path = f"{FOLDER}/erni-progress-{secrets.token_hex(16)}.json"
        with Shown(self, path, len(variables.get("ansible_play_hosts_all", [])) > 1).meanwhile() as shown:
            done = self._execute_module(module_args={**self._task.args, "progress": path}, task_vars=variables)
            shown.clear_up(done)
        return result | done


class Shown:
    """Looks at the file from a thread, by a connection of its own: a connection plugin keeps what it knows of the
    command that it runs, and a become plugin what it waits for, in itself. What both only read, they share."""

    def __init__(self, action: ActionModule, path: str, several: bool) -> None:
        self._looking, self._path, self._several = copy(action), path, several
        connection = self._looking._connection = copy(action._connection)
        connection.become = copy(connection.become)
        connection._shell = copy(connection._shell)
        self._track, self._began = Track(), time.monotonic()
        self._ended, self._telling = threading.Event(), threading.Lock()
        self._seen = False

    @contextmanager
    def meanwhile(self) -> Iterator[Shown]:
        # In the worker's context: Ansible keeps there which task runs.
        thread = threading.Thread(target=contextvars.copy_context().run, args=(self._look_on,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            with self._telling:  # what came after the task's result would belong to no task
                self._ended.set()
            thread.join(PATIENCE_SECONDS)

    def clear_up(self, done: dict[str, Any]) -> None:
        """A module that was killed has left its file; one that has ended by itself never does."""
        if self._seen and done.get("failed"):
            with suppress(Exception):
                self._looking._low_level_execute_command(f"rm -f {self._path} {self._path}.new")

    def _look_on(self) -> None:
        due, failures = self._began + LOOK_SECONDS, 0
        while failures < FAILURES and not self._ended.wait(max(0.0, due - time.monotonic())):
            try:
                self._look()
                failures = 0
            except Exception:  # noqa: BLE001 (what cannot be shown must not fail the run)
                failures += 1
            due += LOOK_SECONDS * max(1, -(-(time.monotonic() - due) // LOOK_SECONDS))

    def _look(self) -> None:
        found = parse(self._looking._low_level_execute_command(f"cat {self._path}")["stdout"])
        if found is None:
            return
        now = time.monotonic()
        self._seen = True
        self._track.see(found, now)
        told = {"text": self._track.sentence(now), "seconds": now - self._began, "several": self._several}
        with self._telling:
            if not self._ended.is_set():
                tell(self._looking._task, told)


def tell(task: Any, told: dict[str, Any]) -> None:
    """The callbacks, by the one event that a task sends while it runs; the one of this project knows its content."""
    me = worker.current_worker
    fields = {"name": task.get_name(), "no_log": task.no_log}
    result = _RawTaskResult(host=me._host, task=task, return_data={"erni_progress": told}, task_fields=fields)
    me._final_q.send_callback("v2_runner_on_async_poll", result)
