#!/usr/bin/python
"""Takes an environment's secrets from one step of their rotation to the next, in its encrypted file."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: secret_rotation
short_description: Take secrets through their rotation in an ansible-vault file
description:
  - Keeps, beside the values in use (C(erni_secrets)), those that are to come and those that still hold
    (C(erni_rotation)).
  - Tells no server anything. Roles let servers take all the values that stand in the file.
  - Runs on the control node, with the Python that runs Ansible (I(ansible_playbook_python)).
author:
  - The maintainers of this project
options:
  state:
    description:
      - V(pending) stores new values, before anything is told them. A rotation that was interrupted is not begun anew.
      - V(promoted) makes those the values in use, and what was in use the previous values.
      - V(proven) notes that users were served with the values in use.
      - V(revoked) removes previous values whose time is over, or with O(force) all.
      - V(forgotten) notes that servers know those no more.
      - V(known) changes nothing and tells how old the values are.
    type: str
    required: true
    choices: [pending, promoted, proven, revoked, forgotten, known]
  path: {description: The encrypted file., type: path, required: true}
  password_file: {description: File with the vault password., type: path, required: true}
  home:
    description: The secret manager that is the home of the secrets (C(erni_secrets_home)); empty where O(path) is.
    type: dict
    default: {}
  specs: {description: The environment's secrets, type: list, elements: dict, required: true}
  names:
    description: Which to rotate, by name in any case; V(all) are those that can be generated.
    type: list
    elements: str
    default: [all]
  value: {description: New value of the one secret in O(names) that an operator supplies., type: str, default: ""}
  logins: {description: "The database's logins, which take turns.", type: list, elements: str, default: []}
  grace: {description: "For how long previous values hold at least, in seconds.", type: int, default: 0}
  force: {description: Whether previous values go before their time., type: bool, default: false}
  patient:
    description: Whether previous values of an interrupted rotation are kept, instead of refusing to go on.
    type: bool
    default: false
  max_days: {description: "The age at which a secret should be replaced, in days.", type: int, default: 90}
  warn_days: {description: "How long before that it is due soon, in days.", type: int, default: 14}
  record: {description: "File to which what was proven or revoked is appended, a JSON object a line.", type: path}
  environment_name: {description: Name of the environment., type: str, default: ""}
  operator: {description: Who rotates., type: str, default: ""}
  reason: {description: Why., type: str, default: ""}
  also:
    description: What else was replaced, as sentences for the record of what was proven.
    type: list
    elements: str
    default: []
  certificates:
    description: Certificates that are served, whose ages are told as well.
    type: list
    elements: dict
    default: []
    suboptions:
      host: {description: Where it is served., type: str, required: true}
      serial: {description: "Its serial number, in hexadecimal.", type: str, required: true}
      not_before: {description: "Since when it is valid, ISO 8601 in UTC.", type: str, required: true}
      not_after: {description: Until when it is., type: str, required: true}
      renew_days: {description: "How long before that it is to be replaced, in days.", type: int, required: true}
  format: {description: Of the report about ages., type: str, choices: [text, json], default: text}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    description: Shows names and steps, never values.
"""

EXAMPLES = r"""
- name: New values are stored
  secret_rotation:
    state: pending
    path: inventories/staging/group_vars/all/vault.yml
    password_file: inventories/staging/.vault_password
    specs: "{{ erni_secret_specs }}"
    names: [db_password]
    logins: [erni_app_a, erni_app_b]
  delegate_to: localhost
"""

RETURN = r"""
actions:
  description: What was done (in check mode, would be done), as sentences.
  returned: always
  type: list
  elements: str
rotating:
  description: Names whose rotation is under way.
  returned: always
  type: list
  elements: str
overdue:
  description: Names of secrets that are older than they should be, or of an age that nobody knows.
  returned: always
  type: list
  elements: str
due_soon:
  description: Names of secrets that will be in less than O(warn_days).
  returned: always
  type: list
  elements: str
remedy:
  description: What to run for those that are overdue, as a sentence.
  returned: always
  type: str
figures:
  description: Ages in Prometheus' text format.
  returned: always
  type: str
erni_report:
  description: The ages, as a table or as JSON.
  returned: when O(state=known)
  type: str
"""

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import keyring, rotation_plan, rotation_record, rotation_report, secret_homes
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.keyring import Keyring
from ansible.module_utils.erni.secrets import SecretSpec

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "state": {
        "type": "str",
        "required": True,
        "choices": ["pending", "promoted", "proven", "revoked", "forgotten", "known"],
    },
    "path": {"type": "path", "required": True},
    # The name makes Ansible suspect a secret; it is a path, and operators want to see it.
    "password_file": {"type": "path", "required": True, "no_log": False},
    "home": {"type": "dict", "default": {}},
    "specs": {"type": "list", "elements": "dict", "required": True},
    "names": {"type": "list", "elements": "str", "default": ["all"]},
    "value": {"type": "str", "default": "", "no_log": True},
    "logins": {"type": "list", "elements": "str", "default": []},
    "grace": {"type": "int", "default": 0},
    "force": {"type": "bool", "default": False},
    "patient": {"type": "bool", "default": False},
    "max_days": {"type": "int", "default": 90},
    "warn_days": {"type": "int", "default": 14},
    "record": {"type": "path"},
    "environment_name": {"type": "str", "default": ""},
    "operator": {"type": "str", "default": ""},
    "reason": {"type": "str", "default": ""},
    "also": {"type": "list", "elements": "str", "default": []},
    "certificates": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "host": {"type": "str", "required": True},
            "serial": {"type": "str", "required": True},
            "not_before": {"type": "str", "required": True},
            "not_after": {"type": "str", "required": True},
            "renew_days": {"type": "int", "required": True},
        },
    },
    "format": {"type": "str", "choices": ["text", "json"], "default": "text"},
}


def wanted(before: Keyring, specs: list[SecretSpec], params: dict[str, Any], moment: datetime) -> Keyring:
    """The keyring after the step that was asked for."""
    match params["state"]:
        case "pending":
            names = rotation_plan.chosen(specs, params["names"], before)
            fresh = rotation_plan.fresh_values(specs, names, params["value"], before)
            return keyring.begin(before, fresh, params["logins"], moment)
        case "promoted":
            return keyring.promote(before, next(iter(params["logins"]), ""), moment, params["grace"])
        case "proven":
            return keyring.prove(before)
        case "revoked":
            return keyring.revoke(before, moment, force=params["force"], patient=params["patient"])
        case "forgotten":
            return keyring.forget(before)
        case _:
            return before


def report(found: list[rotation_report.Age], params: dict[str, Any]) -> str:
    if params["format"] == "json":
        return json.dumps([asdict(age) for age in found])
    return rotation_report.table(found)


def ages(specs: list[SecretSpec], ring: Keyring, params: dict[str, Any], moment: datetime) -> list[rotation_report.Age]:
    """Of all that make rotate replaces. A vault password that a program tells is replaced by others; a secret manager
    has none."""
    found = rotation_report.ages(specs, ring, params["max_days"], moment)
    if not params["home"] and not os.access(params["password_file"], os.X_OK):
        found.append(rotation_report.age_of_vault_password(ring, params["max_days"], moment))
    return found + [rotation_report.certificate_age(one, moment) for one in params["certificates"]]


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    specs = [SecretSpec.from_mapping(spec) for spec in params["specs"]]
    store = secret_homes.store(params["home"], params["path"], params["password_file"], module.run_command)
    moment = datetime.now(UTC)
    try:
        values = store.read()
        before = Keyring.load(values, store.beside(keyring.MAPPING))
        after = wanted(before, specs, params, moment)
        plan = rotation_plan.plan(before, after, params["state"])
        if plan.changed and not module.check_mode:
            store.write(after.values, {keyring.MAPPING: after.dump()})
        worth_a_line = params["state"] in ("proven", "revoked") and (plan.changed or params["also"])
        if params["record"] and worth_a_line and not module.check_mode:
            actions = [f"{action.kind} {action.subject}" for action in plan.actions] + params["also"]
            told_by = (params["environment_name"], params["operator"], params["reason"])
            rotation_record.append(params["record"], moment, *told_by, actions)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{store.place} could not be written: {error}. Mend that, and run the verb again.")
    found = ages(specs, after, params, moment)
    module.exit_json(
        changed=plan.changed,
        actions=plan.sentences,
        rotating=after.unfinished,
        overdue=[age.name for age in found if age.overdue],
        due_soon=[age.name for age in found if age.due_within(params["warn_days"])],
        remedy=rotation_report.remedy(found),
        figures=rotation_report.figures(found, after, params["environment_name"]),
        diff=plan.diff("rotation"),
        **({"erni_report": report(found, params)} if params["state"] == "known" else {}),
    )


if __name__ == "__main__":
    main()
