#!/usr/bin/python
"""Ansible module: a database's archive is begun, proven, has its base backups, and its figures are written."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_archive
short_description: The archive of a PostgreSQL server, by which it comes back to a moment
description:
  - C(stanza) begins the archive where there is none, and refuses one that is another cluster's.
  - C(check) proves that what is written arrives in it.
  - C(backup) takes a base backup where one is due, removes what no retention keeps, and reads all of it whole.
  - All of them but C(stanza) write the figures; C(figures) does nothing else.
options:
  step:
    description: What is wanted.
    type: str
    choices: [stanza, check, backup, figures]
    required: true
  archive:
    description: The server and its archive.
    type: dict
    required: true
    suboptions:
      platform: {description: "Name prefix of the platform; the stanza has it.", type: str, required: true}
      container: {description: "The server's container.", type: str, required: true}
      image: {description: "Its image, for where there is no container.", type: str, default: ""}
      user: {description: "The server's user and group, as numbers.", type: str, required: true}
      socket_folder: {description: "The host's folder with its socket.", type: str, required: true}
      configuration: {description: "The host's folder with C(pgbackrest.conf).", type: str, required: true}
      password: {description: "The superuser's password.", type: str, required: true}
      volume: {description: "The volume with its data.", type: str, required: true}
      repository: {description: "The host's folder of the archive, empty if elsewhere.", type: str, default: ""}
      network: {description: "The network by which it is reached there.", type: str, default: "none"}
  root: {description: "The platform's folder on the host.", type: path, required: true}
  environment: {description: "The environment, for the figures.", type: str, required: true}
  full_days: {description: "Age in days at which a full base backup is due.", type: float, default: 7}
  diff_days: {description: "Age in days at which a differential one is due.", type: float, default: 1}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The database is archived
  postgres_archive:
    step: stanza
    archive:
      platform: erni
      container: erni-postgres
      user: "999:999"
      socket_folder: /var/lib/erni/run/postgres
      configuration: /var/lib/erni/services/postgres
      password: "{{ erni_secrets.postgres_superuser_password }}"
      volume: erni-postgres-data
      repository: /var/lib/erni/archive
    root: /var/lib/erni
    environment: production
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode, as sentences.
  type: list
  elements: str
  returned: always
lag_seconds:
  description: Since when the oldest finished WAL segment waits to be archived.
  type: float
  returned: for all steps but C(stanza), while the server runs
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import archive_apply, archive_figures, archive_plan, engine
from ansible.module_utils.erni.archive_apply import PLACE, Archive
from ansible.module_utils.erni.archive_plan import ArchiveState
from ansible.module_utils.erni.errors import PlatformError

ARGUMENT_SPEC = {
    "step": {"type": "str", "choices": ["stanza", "check", "backup", "figures"], "required": True},
    "archive": {"type": "dict", "required": True, "options": PLACE},
    "root": {"type": "path", "required": True},
    "environment": {"type": "str", "required": True},
    "full_days": {"type": "float", "default": 7},
    "diff_days": {"type": "float", "default": 1},
}
Result = dict[str, Any]


def stanza(client: Any, archive: Archive, check_mode: bool) -> Result:
    """Begun where it is missing."""
    state = archive_apply.observe(client, archive)
    plan = archive_plan.plan_stanza(state, archive_apply.system_of(archive.server))
    if plan.changed and not check_mode:
        archive_apply.create(client, archive)
    return {"changed": plan.changed, "actions": plan.sentences}


def backup(client: Any, archive: Archive, params: dict[str, Any], check_mode: bool) -> Result:
    """A base backup where one is due; the archive is read whole after it."""
    began = time.time()
    kind = archive_plan.due(
        archive_apply.observe(client, archive).backups, began, params["full_days"], params["diff_days"]
    )
    if not kind:
        return {"changed": False, "actions": []}
    if check_mode:
        return {"changed": True, "actions": [f"a {kind} base backup is made"]}
    made = archive_apply.back_up(client, archive, kind).backups[-1]
    archive_apply.read_whole(client, archive)
    took = f"{time.time() - began:.1f} s"
    return {
        "changed": True,
        "actions": [f"Base backup {made.label} is in the archive, which was read whole; it took {took}."],
    }


def predicted(step: str) -> Result:
    """Of a server that does not run with an archive yet: one that is checked would get it by this run."""
    plan = archive_plan.plan_stanza(ArchiveState(exists=False), "")
    return {"changed": step == "stanza", "actions": plan.sentences if step == "stanza" else []}


def work(client: Any, module: AnsibleModule) -> Result:
    params, check_mode = module.params, module.check_mode
    archive, runs = archive_apply.from_params(client, params["archive"])
    if params["step"] == "stanza":
        return stanza(client, archive, check_mode)
    if not runs:
        raise PlatformError(f"{params['archive']['container']} does not run", "", "Run make start, or make up.")
    result: Result = {"changed": False, "actions": []}
    if params["step"] == "check" and not check_mode:
        archive_apply.check(client, archive)
    if params["step"] == "backup":
        result = backup(client, archive, params, check_mode)
    archiver = archive_apply.archiver_state(archive.server)
    if not check_mode:
        state, now = archive_apply.observe(client, archive), time.time()
        archive_figures.write_figures(params["root"], params["environment"], archiver, state, now)
    return result | {"lag_seconds": archiver.waiting_seconds}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    platform = module.params["archive"]["platform"]
    try:
        client = engine.connect(predicting=module.check_mode)
        step = module.params["step"]
        if (module.check_mode or step == "figures") and not archive_apply.is_configured(
            client, module.params["archive"]
        ):
            module.exit_json(**predicted(step))
        with (
            archive_apply.archive_lock(platform, f"the archive's {step}"),
            engine.explained("The archive could not be worked on"),
        ):
            result = work(client, module)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
