#!/usr/bin/python
"""Ansible module: a platform is recovered from nothing but a backup set; this is what its hosts know of that."""

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery
short_description: The course of a recovery from nothing
description:
  - C(look) tells which of the data volumes are on this host.
  - C(begin) tells what there is to do, and refuses hosts whose data no recovery has brought.
  - C(note) remembers what is recovered from which set, before the first of it is done.
  - C(finish) remembers that it was, and tells how long each step took and which state the data are of.
options:
  step: {description: "What is done.", type: str, choices: [look, begin, note, finish], required: true}
  root: {description: "The platform's folder on the host.", type: path, required: true}
  volumes:
    description: Names of the data volumes (look), or of those that are there on any host (begin).
    type: list
    elements: str
    default: []
  set:
    description: Id of the set that was asked for, empty for none (begin), or that was chosen (note).
    type: str
    default: ""
  folder: {description: "The host's folder of the sets (note).", type: path}
  identity: {description: "Private key of age, for a set that is encrypted (note).", type: str, default: ""}
  steps:
    description: What was done (finish).
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: "What it was.", type: str, required: true}
      seconds: {description: "How long it took.", type: float, required: true}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: What there is to do is known
  recovery:
    step: begin
    root: /var/lib/erni
    volumes: []
"""

RETURN = r"""
volumes: {description: "Those of the volumes that are there.", type: list, elements: str, returned: look}
done: {description: "Whether it was done before.", type: bool, returned: begin}
set: {description: "Id of the set to take, empty for the newest; that is taken.", type: str, returned: begin and note}
release: {description: "What RELEASE is for the set's release, empty for the inventory's.", type: str, returned: note}
secrets: {description: "Whether the set has the environment's secrets.", type: bool, returned: note}
report: {description: "The steps' times, and the recovery point.", type: list, elements: str, returned: finish}
actions: {description: "What was done, as sentences.", type: list, elements: str, returned: always}
warnings: {description: "What cannot be had again.", type: list, elements: str, returned: note}
"""

import time
from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import recovery_plan
from ansible.module_utils.erni.backup_set import SECRETS
from ansible.module_utils.erni.backup_store import Store
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.recovery_host import Note, existing_volumes, recorded_release

ARGUMENT_SPEC = {
    "step": {"type": "str", "choices": ["look", "begin", "note", "finish"], "required": True},
    "root": {"type": "path", "required": True},
    "volumes": {"type": "list", "elements": "str", "default": []},
    "set": {"type": "str", "default": ""},
    "folder": {"type": "path"},
    "identity": {"type": "str", "default": "", "no_log": True},
    "steps": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"name": {"type": "str", "required": True}, "seconds": {"type": "float", "required": True}},
    },
}


def look(params: dict[str, Any], _check_mode: bool) -> dict[str, Any]:
    return {"changed": False, "volumes": existing_volumes(params["volumes"]), "actions": []}


def begin(params: dict[str, Any], _check_mode: bool) -> dict[str, Any]:
    known = Note(params["root"]).read()
    what = recovery_plan.course(known, params["volumes"], params["set"])
    chosen = recovery_plan.set_to_take(known, what, params["set"])
    said = {
        recovery_plan.Course.BEGIN: [],
        recovery_plan.Course.GO_ON: [f"The recovery from set {chosen} that was begun before goes on."],
        recovery_plan.Course.DONE: [f"The platform was recovered from set {chosen} before; there is nothing to do."],
    }
    return {"changed": False, "done": what is recovery_plan.Course.DONE, "set": chosen, "actions": said[what]}


def note(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    store, file = Store(params["folder"]), Note(params["root"])
    manifest, known = store.manifest(params["set"]), file.read()
    recorded = recorded_release(manifest, store.path(manifest.id), params["identity"])
    wanted, lost = recovery_plan.release_wanted(recorded)
    recovery = recovery_plan.recovery_from(manifest, time.time(), known)
    if recovery != known and not check_mode:
        file.write(recovery)
    return {
        "changed": recovery != known,
        "set": manifest.id,
        "release": wanted,
        "secrets": recovery_plan.holds(manifest, SECRETS),
        "actions": [f"The platform is recovered from set {manifest.id}."] if recovery != known else [],
        "warnings": [lost] if lost else [],
    }


def finish(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    file = Note(params["root"])
    recovery = file.read()
    if recovery is None:
        raise PlatformError("No recovery of this host is under way", f"{file.path} is missing", "Run make recover.")
    if not check_mode and not recovery.finished:
        file.write(replace(recovery, finished=time.time()))
    return {"changed": not recovery.finished, "actions": [], "report": recovery_plan.report(recovery, params["steps"])}


STEPS = {"look": look, "begin": begin, "note": note, "finish": finish}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = STEPS[module.params["step"]](module.params, module.check_mode)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    for sentence in result.pop("warnings", []):
        module.warn(sentence)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
