#!/usr/bin/python
"""Ansible module: a service's share of a backup set is written on its host, read whole again, and described."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_part
short_description: One service's part of a backup set
description:
  - Writes the part below the folder of the sets, where it counts for nothing until C(backup_set) publishes it.
  - Reads all of it again and compares it with its source before it calls it a part.
options:
  platform: {description: "Name prefix of the platform.", type: str, required: true}
  folder: {description: "The host's folder of the sets.", type: path, required: true}
  set: {description: "Id of the set, from C(backup_set).", type: str, required: true}
  node: {description: "The control node.", type: str, required: true}
  operator: {description: "Who runs this.", type: str, default: ""}
  host: {description: "The host's name in the inventory.", type: str, required: true}
  kind:
    description: What is copied.
    type: str
    choices: [postgres, redis, sessions, release]
    required: true
  container: {description: "Its container; for release the backend's.", type: str, default: ""}
  socket_folder: {description: "The host's folder with its socket.", type: str, default: ""}
  configuration: {description: "The host's folder with its configuration.", type: str, default: ""}
  password: {description: "The superuser's password (postgres).", type: str, default: ""}
  database: {description: "The database (postgres).", type: str, default: ""}
  volume: {description: "The volume with the sessions (sessions).", type: str, default: ""}
  file: {description: "Their file in it.", type: str, default: conversations.db}
  releases: {description: "The folder of the releases' records (release).", type: str, default: ""}
  allow_empty: {description: "Whether a database without tables is a part, too.", type: bool, default: false}
  last_stored: {description: "Bytes that the last set's part took; 0 where there is none.", type: int, default: 0}
  last_dumped: {description: "Bytes of the last set's dump before compression, about, or 0.", type: int, default: 0}
  progress: {description: "File that tells how far it has come while it works; none if empty.", type: str, default: ""}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: PostgreSQL is in the set
  backup_part:
    platform: erni
    folder: /var/lib/erni/backups
    set: 20260102T120000Z-00ff
    node: control.example
    host: "{{ inventory_hostname }}"
    kind: postgres
    container: erni-postgres
    socket_folder: /var/lib/erni/run/postgres
    configuration: /var/lib/erni/services/postgres
    password: "{{ erni_secrets.postgres_superuser_password }}"
    database: erni_agents
"""

RETURN = r"""
part: {description: "The part as the manifest will tell it.", type: dict, returned: always}
folder: {description: "Where its files are.", type: str, returned: always}
"""

import os
import time
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import backup_parts, engine, postgres_dump, redis_snapshot
from ansible.module_utils.erni.backup_set import POSTGRES, REDIS, RELEASE, SESSIONS, Part
from ansible.module_utils.erni.backup_store import Lease, Store
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.progress import Progress

ARGUMENT_SPEC = {
    "platform": {"type": "str", "required": True},
    "folder": {"type": "path", "required": True},
    "set": {"type": "str", "required": True},
    "node": {"type": "str", "required": True},
    "operator": {"type": "str", "default": ""},
    "host": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": [POSTGRES, REDIS, SESSIONS, RELEASE], "required": True},
    "container": {"type": "str", "default": ""},
    "socket_folder": {"type": "str", "default": ""},
    "configuration": {"type": "str", "default": ""},
    "password": {"type": "str", "default": "", "no_log": True},
    "database": {"type": "str", "default": ""},
    "volume": {"type": "str", "default": ""},
    "file": {"type": "str", "default": "conversations.db"},
    "releases": {"type": "str", "default": ""},
    "allow_empty": {"type": "bool", "default": False},
    "last_stored": {"type": "int", "default": 0},
    "last_dumped": {"type": "int", "default": 0},
    "progress": {"type": "str", "default": ""},
}


def write(client: Any, params: dict[str, Any], folder: str, progress: Progress) -> Part:
    """The part of the kind that was asked for, into the folder."""
    match params["kind"]:
        case "postgres":
            image, uid, gid = backup_parts.runs_as(client, params["container"])
            server = postgres_dump.Server(
                params["platform"],
                image,
                uid,
                gid,
                params["socket_folder"],
                params["configuration"],
                params["password"],
            )
            size = postgres_dump.database_size(server, params["database"])
            backup_parts.check_room(folder, backup_parts.room_needed(size, params["last_stored"]))
            expected = params["last_dumped"] or size
            return backup_parts.postgres_part(
                client,
                server,
                params["database"],
                folder,
                params["host"],
                progress,
                expected,
                allow_empty=params["allow_empty"],
            )
        case "redis":
            image, uid, gid = backup_parts.runs_as(client, params["container"])
            redis = redis_snapshot.Server(
                params["platform"], image, uid, gid, params["socket_folder"], params["configuration"]
            )
            return backup_parts.redis_part(client, redis, folder, params["host"], progress)
        case "sessions":
            source = os.path.join(backup_parts.volume_folder(client, params["volume"]), params["file"])
            return backup_parts.sessions_part(source, folder, params["host"], progress)
        case _:
            return backup_parts.release_part(client, params["container"], params["releases"], folder, params["host"])


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    store = Store(params["folder"])
    name = f"{params['kind']}-{params['host']}"
    if module.check_mode:
        module.exit_json(changed=True, part={}, folder=store.part(params["set"], name))
    try:
        store.begin(params["set"], Lease(params["node"], params["operator"], time.time()))
        with (
            store.part_folder(params["set"], name) as folder,
            engine.explained(f"No backup was made of {params['kind']}"),
            Progress(params["progress"], params["kind"]) as progress,
        ):
            part = write(engine.connect(), params, folder, progress)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, part=asdict(part), folder=store.part(params["set"], name))


if __name__ == "__main__":
    main()
