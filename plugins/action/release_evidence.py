"""Action: require that a release has served in other environments before, or remember that it serves in this one.

Runs on the control node alone; the evidence is a file there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ansible.module_utils
from ansible.plugins.action import ActionBase

# On the control node the project's logic is found under the name that it has inside modules, too.
ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.erni.release_diary import utc_now
from ansible.module_utils.erni.release_evidence import Evidence, missing, read_evidence, record, refusal


class ActionModule(ActionBase):
    """Arguments: ``state`` (``required`` or ``recorded``), ``path``, ``environment_name``, ``commit``, ``image``;
    ``environments`` and ``reason`` with ``required``, ``release`` with ``recorded``."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = self._task.args
        subject = {"commit": str(given.get("commit") or ""), "image": str(given.get("image") or "")}
        if given["state"] == "recorded":
            if not self._task.check_mode:
                told = {"environment": given["environment_name"], "release": str(given["release"]), "time": utc_now()}
                record(given["path"], Evidence(**subject, **told))
            return result | {"changed": False}
        absent = missing(read_evidence(given["path"]), given.get("environments") or [], **subject)
        why = refusal(absent, given["environment_name"], str(given.get("reason") or ""), subject)
        return result | ({"failed": True, "msg": why} if why else {"changed": False})
