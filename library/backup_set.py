#!/usr/bin/python
"""Ansible module: a backup set is begun, published, or the sets that may go are removed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_set
short_description: A backup set as a whole, on the host that keeps the sets
description:
  - C(begin) tells whether a set is needed, clears away what killed runs left, and gives the new one its id.
  - C(publish) compares, encrypts and publishes the parts by one rename; until then there is no such set.
  - C(prune) removes the sets that no rule of the retention keeps.
options:
  step: {description: "What is done.", type: str, choices: [begin, publish, prune], required: true}
  platform: {description: "Name prefix of the platform.", type: str, required: true}
  environment: {description: "Name of the environment.", type: str, required: true}
  folder: {description: "The host's folder of the sets.", type: path, required: true}
  node: {description: "The control node.", type: str, required: true}
  operator: {description: "Who runs this.", type: str, default: ""}
  reason: {description: "Why, for the manifest.", type: str, default: ""}
  host: {description: "The host's name in the inventory.", type: str, required: true}
  set: {description: "Id of the set (publish).", type: str, default: ""}
  max_age: {description: "Seconds for which the newest set is fresh enough (begin); 0: never.", type: int, default: 0}
  parts: {description: "Results of C(backup_part) (publish).", type: list, elements: dict, default: []}
  recipients: {description: "Public keys of age that may read it; none: open.", type: list, elements: str, default: []}
  safety: {description: "Whether it is made of what a restore is about to replace.", type: bool, default: false}
  accept_collapse: {description: "Whether a part may have lost most of its rows.", type: bool, default: false}
  progress: {description: "File that tells how far it has come while it works; none if empty.", type: str, default: ""}
  retention:
    description: What stays (prune).
    type: dict
    default: {}
    suboptions:
      days: {description: "Every set, for so many days.", type: int, default: 30}
      daily: {description: "Beyond, the last set of so many days.", type: int, default: 0}
      weekly: {description: "Likewise of weeks.", type: int, default: 8}
      monthly: {description: "Likewise of months.", type: int, default: 12}
      minimum: {description: "So many sets at least.", type: int, default: 7}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: A set is begun, unless the newest is fresh enough
  backup_set:
    step: begin
    platform: erni
    environment: local
    folder: /var/lib/erni/backups
    node: control.example
    host: "{{ inventory_hostname }}"
    max_age: 3600
"""

RETURN = r"""
set: {description: "Id of the set that was begun, published, or is fresh enough.", type: str, returned: not by prune}
needed: {description: "Whether a set is to be made.", type: bool, returned: begin}
last_stored: {description: "Bytes of the newest set's parts, by kind.", type: dict, returned: begin}
last_dumped: {description: "Bytes of its dump before compression, about, or 0.", type: int, returned: begin}
actions: {description: "What was done, as sentences.", type: list, elements: str, returned: always}
"""

import os
import time
from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni.backup_figures import write_figures
from ansible.module_utils.erni.backup_publish import Made, assemble, secrets_part, summary
from ansible.module_utils.erni.backup_retention import RETENTION_OPTIONS, RetentionRules, kept, to_remove
from ansible.module_utils.erni.backup_set import Manifest, collapse, fresh_enough, newest, part_from, set_id
from ansible.module_utils.erni.backup_store import Lease, Store
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.progress import Progress

ARGUMENT_SPEC = {
    "step": {"type": "str", "choices": ["begin", "publish", "prune"], "required": True},
    "platform": {"type": "str", "required": True},
    "environment": {"type": "str", "required": True},
    "folder": {"type": "path", "required": True},
    "node": {"type": "str", "required": True},
    "operator": {"type": "str", "default": ""},
    "reason": {"type": "str", "default": ""},
    "host": {"type": "str", "required": True},
    "set": {"type": "str", "default": ""},
    "max_age": {"type": "int", "default": 0},
    "parts": {"type": "list", "elements": "dict", "default": []},
    "recipients": {"type": "list", "elements": "str", "default": []},
    "safety": {"type": "bool", "default": False},
    "accept_collapse": {"type": "bool", "default": False},
    "progress": {"type": "str", "default": ""},
    "retention": {"type": "dict", "default": {}, "options": RETENTION_OPTIONS},
}


def begin(store: Store, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    sets, troubles = store.manifests()
    fresh, latest, now = fresh_enough(sets, time.time(), params["max_age"]), newest(sets), time.time()
    last = {
        "last_stored": {part.kind: part.size for part in latest.parts} if latest else {},
        "last_dumped": sum(int(part.facts.get("dumped", 0)) for part in latest.parts) if latest else 0,
    }
    if fresh:
        sentence = f"Set {fresh.id} is {round(now - fresh.began)} s old, which is fresh enough."
        return {"changed": False, "needed": False, "set": fresh.id, "actions": [sentence], **last}
    identifier = set_id(now, os.urandom(2).hex())
    if not check_mode:
        store.begin(identifier, Lease(params["node"], params["operator"], now))
    return {
        "changed": True,
        "needed": True,
        "set": identifier,
        "actions": [f"set {identifier} is made"],
        **last,
        "warnings": troubles,
    }


def publish(store: Store, params: dict[str, Any], progress: Progress) -> dict[str, Any]:
    identifier, began = params["set"], time.time()
    store.touch(identifier)
    made = [Made(part_from(one["part"]), one["folder"]) for one in params["parts"]]
    made.append(secrets_part(store, identifier, params["host"], began))
    earlier, _ = store.manifests()
    lost = [said for one in made if (said := collapse(one.part, earlier))]
    if lost and not params["accept_collapse"]:
        raise PlatformError(
            "The platform has lost most of its data since the last sets",
            "; ".join(lost),
            "No set was made, and those there are stay. If that is meant: make backup REASON='why'.",
        )
    started = min(one.part.taken for one in made)
    manifest = Manifest(
        id=identifier,
        environment=params["environment"],
        platform=params["platform"],
        began=started,
        seconds=0.0,
        operator=params["operator"],
        reason=params["reason"],
        parts=assemble(store, identifier, made, params["recipients"], progress),
        verified=time.time(),
        recipients=tuple(params["recipients"]),
        safety=params["safety"],
    )
    manifest = replace(manifest, seconds=round(time.time() - started, 1))
    store.publish(manifest)
    write_figures(store, params["environment"])
    return {"changed": True, "set": identifier, "actions": [summary(manifest)], "warnings": lost}


def prune(store: Store, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    sets, _ = store.manifests()
    rules = RetentionRules(**params["retention"])
    leaving = to_remove([kept(one, drilled=store.drilled(one.id) > 0) for one in sets], rules)
    if not check_mode:
        for one in leaving:
            store.remove(one.id)
        if leaving:
            write_figures(store, params["environment"])
    return {"changed": bool(leaving), "actions": [f"Set {one.id} is removed: no rule keeps it." for one in leaving]}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    store = Store(params["folder"])
    try:
        if params["step"] == "begin":
            result = begin(store, params, module.check_mode)
        elif params["step"] == "prune":
            result = prune(store, params, module.check_mode)
        elif module.check_mode:
            result = {"changed": True, "set": params["set"], "actions": [f"set {params['set']} is published"]}
        else:
            with Progress(params["progress"]) as progress:
                result = publish(store, params, progress)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
