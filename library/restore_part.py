#!/usr/bin/python
"""Ansible module: one service's data are restored, step by step, and given back as they were."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_part
short_description: One service's part of a backup set is what serves
description:
  - C(prepare) makes the part ready beside what serves, and compares it with what the set says that it held.
  - C(switch) swaps the two. What served before is kept.
  - C(recall) tells whether there is a restore to undo, C(undo) swaps back.
  - C(confirm) takes what serves by now for the restored state, after the platform was verified.
  - C(clear) drops what was kept for long enough, and what a killed restore had made ready.
  - Each step first takes for what it is whatever a killed one has left.
options:
  step:
    description: What is done.
    type: str
    choices: [prepare, switch, confirm, recall, undo, clear]
    required: true
  platform: {description: "Name prefix of the platform.", type: str, required: true}
  kind: {description: "What is restored.", type: str, choices: [postgres, redis, sessions], required: true}
  records: {description: "The host's folder for restores.", type: path, required: true}
  source: {description: "Id of the set, or the name of the file (prepare, switch).", type: str, default: ""}
  part: {description: "The set's part; empty with C(file) (prepare).", type: dict, default: {}}
  folder: {description: "Where its files are (prepare).", type: str, default: ""}
  file: {description: "A file of plain SQL, in place of a set (prepare).", type: str, default: ""}
  identity: {description: "Private key of age, for a set that is encrypted (prepare).", type: str, default: ""}
  keep_days: {description: "For how long that stays which served before (clear).", type: float, default: 7.0}
  container: {description: "The service's container.", type: str, default: ""}
  socket_folder: {description: "The host's folder with its socket.", type: str, default: ""}
  configuration: {description: "The host's folder with its configuration.", type: str, default: ""}
  password: {description: "The superuser's password (postgres).", type: str, default: ""}
  database: {description: "The database (postgres).", type: str, default: ""}
  volume: {description: "The volume with its data.", type: str, required: true}
  live_file: {description: "The sessions' file in it.", type: str, default: conversations.db}
  progress: {description: "File that tells how far it has come while it works; none if empty.", type: str, default: ""}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The sessions of the set stand ready
  restore_part:
    step: prepare
    platform: erni
    kind: sessions
    records: /var/lib/erni/restored
    source: 20260102T120000Z-00ff
    part: "{{ part }}"
    folder: /var/lib/erni/backups/20260102T120000Z-00ff
    volume: erni-backend-sessions
"""

RETURN = r"""
wanted: {description: "Whether there is something to swap.", type: bool, returned: prepare and recall}
seconds: {description: "For how long nobody could use the service.", type: float, returned: switch and undo}
actions: {description: "What was done, as sentences.", type: list, elements: str, returned: always}
"""

import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import engine, restore_flow
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.host_lock import host_lock
from ansible.module_utils.erni.pipeline import measure
from ansible.module_utils.erni.progress import Progress
from ansible.module_utils.erni.restore_kinds import Restorable, restorable

ARGUMENT_SPEC = {
    "step": {"type": "str", "choices": ["prepare", "switch", "confirm", "recall", "undo", "clear"], "required": True},
    "platform": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": ["postgres", "redis", "sessions"], "required": True},
    "records": {"type": "path", "required": True},
    "source": {"type": "str", "default": ""},
    "part": {"type": "dict", "default": {}},
    "folder": {"type": "str", "default": ""},
    "file": {"type": "str", "default": ""},
    "identity": {"type": "str", "default": "", "no_log": True},
    "keep_days": {"type": "float", "default": 7.0},
    "container": {"type": "str", "default": ""},
    "socket_folder": {"type": "str", "default": ""},
    "configuration": {"type": "str", "default": ""},
    "password": {"type": "str", "default": "", "no_log": True},
    "database": {"type": "str", "default": ""},
    "volume": {"type": "str", "required": True},
    "progress": {"type": "str", "default": ""},
    "live_file": {"type": "str", "default": "conversations.db"},
}
DAY = 86_400.0


def source_of(params: dict[str, Any]) -> str:
    """A set's id says which it is; a file of the same name may be another one."""
    if not params["file"]:
        return str(params["source"])
    return f"{params['source']} ({measure(params['file']).sha256[:12]})"


def prepare(it: Restorable, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    source = source_of(params)
    record = restore_flow.settle(it.target, it.file) if not check_mode else it.file.read()
    if restore_flow.is_restored(it.target, record, source):
        return {
            "changed": False,
            "wanted": False,
            "actions": [f"{it.name}: {source} serves already, unchanged since it was restored."],
        }
    said = [f"{it.name}: {source} stands ready beside what serves."]
    if not check_mode:
        said += restore_flow.prepare(it.file, record, source, it.make)
    return {"changed": True, "wanted": True, "actions": said}


def switch(it: Restorable, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    seconds = 0.0 if check_mode else restore_flow.switch(it.target, it.file, source_of(params), time.time())
    told = f"{it.name}: {params['source']} serves" + (f"; {seconds:.2f} s without it." if seconds else ".")
    return {"changed": True, "seconds": seconds, "actions": [told]}


def confirm(it: Restorable, _params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    if not check_mode:
        restore_flow.confirm(it.target, it.file)
    return {"changed": False, "actions": []}


def recall(it: Restorable, _params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    record = restore_flow.settle(it.target, it.file) if not check_mode else it.file.read()
    said = [] if record.done else [f"{it.name}: there is no restore to undo."]
    return {"changed": False, "wanted": record.done is not None, "actions": said}


def undo(it: Restorable, _params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    record, seconds = it.file.read(), 0.0
    source = record.done.source if record.done else ""
    if not check_mode:
        seconds = restore_flow.undo(it.target, it.file, record, time.time())
    told = f"{it.name}: what served before {source} was restored serves again"
    told += f"; {seconds:.2f} s without it." if seconds else "."
    return {"changed": True, "seconds": seconds, "actions": [told]}


def clear(it: Restorable, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    record = restore_flow.settle(it.target, it.file) if not check_mode else it.file.read()
    names = restore_flow.to_drop(it.target, record, time.time(), params["keep_days"] * DAY)
    if not check_mode:
        restore_flow.clear(it.target, it.file, record, names)
    return {"changed": bool(names), "actions": [f"{it.name}: {name} is dropped." for name in names]}


STEPS = {
    "prepare": prepare,
    "switch": switch,
    "confirm": confirm,
    "recall": recall,
    "undo": undo,
    "clear": clear,
}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    what = f"{params['kind']} could not be restored"
    try:
        with (
            host_lock(params["platform"], f"{params['step']} of a restore of {params['kind']}"),
            engine.explained(what),
            Progress(params["progress"], params["kind"]) as progress,
        ):
            os.makedirs(params["records"], 0o700, exist_ok=True)
            result = STEPS[params["step"]](restorable(engine.connect(), params, progress), params, module.check_mode)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
