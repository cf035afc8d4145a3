#!/usr/bin/python
"""Ansible module: a backup set is restored for a try, into servers of its own that nobody reaches."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_drill
short_description: Prove that a backup set can be restored, and measure how long that takes
description:
  - Restores the set into servers of its own without a way out, compares, and lets the application read.
  - Leaves nothing of them, whatever happens. What serves is not touched.
  - Notes the success in the set, and the time that it took in the figures.
options:
  platform: {description: "Name prefix of the platform.", type: str, required: true}
  environment_name: {description: "The environment.", type: str, required: true}
  folder: {description: "The host's folder of the sets.", type: path, required: true}
  set: {description: "Id of a set; empty for the newest.", type: str, default: ""}
  scratch: {description: "A folder of the host for the drill alone.", type: path, required: true}
  identity: {description: "Private key of age, for a set that is encrypted.", type: str, default: ""}
  postgres: {description: "The container of PostgreSQL.", type: str, required: true}
  database: {description: "The database.", type: str, required: true}
  redis: {description: "The container of Redis, where it is on this host.", type: str, default: ""}
  backend: {description: "The backend's, likewise.", type: str, default: ""}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The newest set can be restored
  backup_drill:
    platform: erni
    environment_name: local
    folder: /var/lib/erni/backups
    scratch: /var/lib/erni/drill
    postgres: erni-postgres
    redis: erni-redis
    backend: erni-backend
    database: erni_agents
"""

RETURN = r"""
set: {description: "The set's id.", type: str, returned: always}
seconds: {description: "How long the restore took.", type: float, returned: always}
actions: {description: "What was found, as sentences.", type: list, elements: str, returned: always}
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import engine
from ansible.module_utils.erni.backup_choice import choose, require_identity_of
from ansible.module_utils.erni.backup_figures import write_figures
from ansible.module_utils.erni.backup_parts import runs_as
from ansible.module_utils.erni.backup_store import Store
from ansible.module_utils.erni.backup_unpack import require_identity
from ansible.module_utils.erni.drill import WAY_OUT, Application, Drill
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.host_lock import host_lock
from ansible.module_utils.erni.postgres_dump import Server
from ansible.module_utils.erni.redis_snapshot import Server as RedisServer

ARGUMENT_SPEC = {
    "platform": {"type": "str", "required": True},
    "environment_name": {"type": "str", "required": True},
    "folder": {"type": "path", "required": True},
    "set": {"type": "str", "default": ""},
    "scratch": {"type": "path", "required": True},
    "identity": {"type": "str", "default": "", "no_log": True},
    "postgres": {"type": "str", "required": True},
    "database": {"type": "str", "required": True},
    "redis": {"type": "str", "default": ""},
    "backend": {"type": "str", "default": ""},
}


def prepared(client: Any, store: Store, params: dict[str, Any]) -> Drill:
    """:raises PlatformError: where the set cannot be restored at all."""
    sets, _ = store.manifests()
    manifest = choose(sets, params["set"], params["folder"])
    require_identity_of(manifest, params["environment_name"], "")
    require_identity(manifest, params["identity"])
    if damage := store.damage(manifest):
        raise PlatformError(f"Set {manifest.id} is damaged", "; ".join(damage[:5]), WAY_OUT)
    redis, scratch = params["redis"], params["scratch"]
    postgres = Server(params["platform"], *runs_as(client, params["postgres"]), scratch, scratch, "")
    return Drill(
        client=client,
        platform=params["platform"],
        manifest=manifest,
        folder=store.path(manifest.id),
        scratch=params["scratch"],
        identity=params["identity"],
        database=params["database"],
        postgres=postgres,
        redis=RedisServer(params["platform"], *runs_as(client, redis), scratch, scratch) if redis else None,
        application=Application(params["backend"]) if params["backend"] else None,
    )


def perform(store: Store, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    began = time.monotonic()
    drill = prepared(engine.connect(), store, params)
    if check_mode:
        return {
            "changed": True,
            "set": drill.manifest.id,
            "seconds": 0.0,
            "actions": [f"set {drill.manifest.id} is tried"],
        }
    drill.run()
    seconds = round(time.monotonic() - began, 1)
    store.note_drill(drill.manifest.id, time.time(), seconds, drill.phases)
    write_figures(store, params["environment_name"])
    took = ", ".join(f"{name} {value:.1f} s" for name, value in drill.phases.items())
    return {
        "changed": True,
        "set": drill.manifest.id,
        "seconds": seconds,
        "actions": [f"Set {drill.manifest.id} can be restored: {seconds:.1f} s ({took}).", *drill.said],
    }


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    try:
        with host_lock(f"{params['platform']}-drill", "drill"), engine.explained("The drill could not be held"):
            result = perform(Store(params["folder"]), params, module.check_mode)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
