#!/usr/bin/python
"""Ansible module: copies of the backup sets outside of the platform's hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_offsite
short_description: Copies of the backup sets in a bucket, on another host, or in a folder
description:
  - C(push) sends the sets that are missing there, each file read back and compared, the manifest last.
  - C(fetch) brings a set here, unless it is here, and publishes it once each of its files was compared.
  - C(list) tells which sets are there. A target that does not answer is a warning.
  - C(prune) removes those that no rule keeps, the manifest first.
options:
  step: {description: "What is done.", type: str, choices: [push, fetch, list, prune], required: true}
  platform: {description: "Name prefix of the platform.", type: str, required: true}
  environment: {description: "Name of the environment.", type: str, required: true}
  folder: {description: "The host's folder of the sets.", type: path, required: true}
  target: {description: "Where they are copied to, as C(backup_offsite) tells it.", type: dict, required: true}
  secret: {description: "The bucket's secret key, or the private SSH key.", type: str, default: ""}
  node: {description: "The control node (fetch).", type: str, default: ""}
  operator: {description: "Who runs this (fetch).", type: str, default: ""}
  set:
    description: Id of a set (fetch), empty for the newest where none is here; of the one that a check counts on (push).
    type: str
    default: ""
  encrypted_only: {description: "Whether sets that anybody could read stay here (push).", type: bool, default: false}
  retention:
    description: What stays there.
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
- name: Every set is off-site, too
  backup_offsite:
    step: push
    platform: erni
    environment: production
    folder: /var/lib/erni/backups
    target: {type: s3, endpoint: "https://s3.example.org", bucket: erni-backups, access_key_id: erni}
    secret: "{{ erni_secrets.backup_offsite_s3_secret_key }}"
    encrypted_only: true
"""

RETURN = r"""
set: {description: "Id of the set that is here now; empty for none.", type: str, returned: fetch}
manifests: {description: "The manifests of the sets that are there.", type: list, elements: dict, returned: list}
known: {description: "Whether the target has answered.", type: bool, returned: list}
actions: {description: "What was done, as sentences.", type: list, elements: str, returned: always}
"""

import time
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import offsite_copies
from ansible.module_utils.erni.backup_retention import RETENTION_OPTIONS, RetentionRules
from ansible.module_utils.erni.backup_set import newest
from ansible.module_utils.erni.backup_store import Lease, Store
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.host_lock import host_lock
from ansible.module_utils.erni.offsite_plan import Policy
from ansible.module_utils.erni.offsite_rclone import Remote, check_host, installed
from ansible.module_utils.erni.offsite_settings import target_from

ARGUMENT_SPEC = {
    "step": {"type": "str", "choices": ["push", "fetch", "list", "prune"], "required": True},
    "platform": {"type": "str", "required": True},
    "environment": {"type": "str", "required": True},
    "folder": {"type": "path", "required": True},
    "target": {"type": "dict", "required": True},
    "secret": {"type": "str", "default": "", "no_log": True},
    "node": {"type": "str", "default": ""},
    "operator": {"type": "str", "default": ""},
    "set": {"type": "str", "default": ""},
    "encrypted_only": {"type": "bool", "default": False},
    "retention": {"type": "dict", "default": {}, "options": RETENTION_OPTIONS},
}


def policy(store: Store, params: dict[str, Any]) -> Policy:
    drilled = [name for name in store.identifiers() if store.drilled(name)]
    return Policy(RetentionRules(**params["retention"]), drilled, params["encrypted_only"])


def push(store: Store, remote: Remote, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    told = offsite_copies.push(store, remote, policy(store, params), check_mode, params["set"])
    return {"changed": bool(told.actions), "actions": told.actions, "warnings": told.warnings}


def prune(store: Store, remote: Remote, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    told = offsite_copies.prune(store, remote, policy(store, params), check_mode, time.time())
    return {"changed": bool(told.actions), "actions": told.actions, "warnings": told.warnings}


def fetch(store: Store, remote: Remote, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    manifest = offsite_copies.chosen(remote.held(), params["set"], remote.target.where)
    if not check_mode:
        lease = Lease(params["node"], params["operator"], time.time())
        offsite_copies.fetch(store, remote, manifest, lease)
    sentence = f"Set {manifest.id} is fetched from off-site, and each of its files compared."
    return {"changed": True, "set": manifest.id, "actions": [sentence]}


def listed(params: dict[str, Any]) -> dict[str, Any]:
    """Nobody who wants to know what is here shall be kept from it by what is elsewhere."""
    try:
        remote = opened(params)
        there = remote.held()
    except PlatformError as error:
        said = f"Which sets are off-site is not known. {error}"
        return {"changed": False, "known": False, "manifests": [], "actions": [], "warnings": [said]}
    manifests = [asdict(one) for one in there.manifests.values()]
    warnings = offsite_copies.troubles(there)
    return {"changed": False, "known": True, "manifests": manifests, "actions": [], "warnings": warnings}


def opened(params: dict[str, Any]) -> Remote:
    target = target_from(params["target"], params["secret"])
    check_host(target, params["folder"])
    return Remote(target, params["environment"])


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    store = Store(params["folder"])
    match params["step"]:
        case "list":
            return listed(params)
        case "fetch" if not offsite_copies.needed_from_there(store, params["set"]):
            here, _ = store.manifests()
            latest = newest(here)
            return {"changed": False, "set": params["set"] or (latest.id if latest else ""), "actions": []}
    if check_mode and not installed():
        sentence = "what is off-site is known once rclone is installed; what is missing there is copied then"
        return {"changed": True, "set": params["set"], "actions": [sentence]}
    remote = opened(params)
    with host_lock(f"{params['platform']}-offsite", params["step"]):
        match params["step"]:
            case "push":
                return push(store, remote, params, check_mode)
            case "prune":
                return prune(store, remote, params, check_mode)
            case _:
                return fetch(store, remote, params, check_mode)


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = run(module.params, module.check_mode)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
