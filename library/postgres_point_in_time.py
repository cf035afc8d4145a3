#!/usr/bin/python
"""Ansible module: an ordinary dump of the database as it was at a moment, made from its archive."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgres_point_in_time
short_description: A dump of the database as it was at a moment
description:
  - Restores a base backup into a volume of its own, replays the archive up to the moment in a container without a
    network, dumps the database as a part of a backup set is made, and removes all of it but the dump.
  - The server that runs writes one empty transaction and finishes its WAL segment; its data is not touched.
options:
  archive:
    description: The server and its archive.
    type: dict
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
  database: {description: "The database.", type: str, default: ""}
  time: {description: "The moment, with its offset from UTC.", type: str, default: ""}
  folder: {description: "The host's folder for the dump; what is in it is removed first.", type: path, required: true}
  host: {description: "The host's name in the inventory.", type: str, default: ""}
  state: {description: "C(absent) removes the dump.", type: str, choices: [present, absent], default: present}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The database as it was before the mistake is dumped
  postgres_point_in_time:
    archive:
      platform: erni
      container: erni-postgres
      user: "999:999"
      socket_folder: /var/lib/erni/run/postgres
      configuration: /var/lib/erni/services/postgres
      password: "{{ erni_secrets.postgres_superuser_password }}"
      volume: erni-postgres-data
      repository: /var/lib/erni/archive
    database: erni_agents
    time: "2026-11-23 14:05:00+00"
    folder: /var/lib/erni/point-in-time
    host: "{{ inventory_hostname }}"
"""

RETURN = r"""
dump: {description: "Path of the dump.", type: str, returned: success}
globals: {description: "Path of the dump of the roles as they were then.", type: str, returned: success}
facts: {description: "What it holds, as the manifest of a set tells it.", type: dict, returned: success}
part: {description: "The dump as a part of a set.", type: dict, returned: success}
recovered_to: {description: "The moment, in UTC.", type: str, returned: success}
last_commit: {description: "The last transaction in it; empty where none was replayed.", type: str, returned: success}
base: {description: "The base backup it began with.", type: str, returned: success}
oldest: {description: "The oldest moment that can be had.", type: str, returned: success}
newest: {description: "The newest one.", type: str, returned: success}
actions: {description: "What was done, as sentences.", type: list, elements: str, returned: always}
"""

import datetime as dt
import os
import shutil
import time
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import archive_apply, archive_plan, engine, point_in_time
from ansible.module_utils.erni.archive_apply import PLACE
from ansible.module_utils.erni.errors import PlatformError

ARGUMENT_SPEC = {
    "archive": {"type": "dict", "options": PLACE},
    "database": {"type": "str", "default": ""},
    "time": {"type": "str", "default": ""},
    "folder": {"type": "path", "required": True},
    "host": {"type": "str", "default": ""},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
Result = dict[str, Any]


def absent(folder: str, check_mode: bool) -> Result:
    there = os.path.isdir(folder)
    if there and not check_mode:
        shutil.rmtree(folder)
    return {"changed": there, "actions": [f"the dump in {folder} is removed"] if there else []}


def present(params: dict[str, Any], check_mode: bool) -> Result:
    began = time.monotonic()
    moment = archive_plan.parse_moment(params["time"])
    client, platform = engine.connect(), params["archive"]["platform"]
    with (
        archive_apply.archive_lock(platform, "a recovery to a moment"),
        engine.explained(f"TIME={params['time']} could not be recovered"),
    ):
        archive, runs = archive_apply.from_params(client, params["archive"])
        if check_mode:
            return _predicted(client, archive, moment)
        live = runs and point_in_time.is_archived_here(client, archive)
        made = point_in_time.recover(
            client, archive, params["database"], moment, params["folder"], params["host"], live=live
        )
    return {
        "changed": True,
        "dump": os.path.join(params["folder"], "postgres.dump.zst"),
        "globals": os.path.join(params["folder"], "globals.sql.zst"),
        "facts": dict(made.part.facts),
        "part": asdict(made.part),
        "recovered_to": archive_plan.told(moment),
        "last_commit": made.last_commit,
        "base": made.base,
        "oldest": made.oldest,
        "newest": made.newest,
        "actions": [_sentence(moment, made, time.monotonic() - began)],
    }


def _predicted(client: Any, archive: archive_apply.Archive, moment: dt.datetime) -> Result:
    now = dt.datetime.now(dt.UTC)
    base, oldest = point_in_time.possible(client, archive, moment, now)
    to = archive_plan.told(moment)
    return {
        "changed": True,
        "recovered_to": to,
        "base": base.label,
        "oldest": oldest,
        "newest": archive_plan.told(now.replace(microsecond=0)),
        "actions": [f"the database as of {to} is dumped, from base backup {base.label}"],
    }


def _sentence(moment: dt.datetime, made: point_in_time.Recovered, seconds: float) -> str:
    rows = sum(made.part.facts["rows"].values())
    last = f"its last transaction is of {made.last_commit}" if made.last_commit else "nothing had changed since"
    then, took = archive_plan.told(moment), f"{seconds:.1f} s"
    return f"The database as of {then} is dumped ({rows} rows, from base backup {made.base}; {last}) in {took}."


def main() -> None:
    module = AnsibleModule(
        ARGUMENT_SPEC,
        supports_check_mode=True,
        required_if=[("state", "present", ("archive", "database", "time", "host"))],
    )
    params = module.params
    try:
        if params["state"] == "absent":
            result = absent(params["folder"], module.check_mode)
        else:
            result = present(params, module.check_mode)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
