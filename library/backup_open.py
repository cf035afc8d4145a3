#!/usr/bin/python
"""Ansible module: the set that a restore takes is chosen, read whole, and may be restored here."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_open
short_description: A backup set that is whole, readable, and of this environment
description:
  - Chooses the set, compares the checksums of all its files, and refuses what cannot or must not be restored here.
  - Changes nothing.
options:
  folder: {description: "The host's folder of the sets.", type: path, required: true}
  set: {description: "Id of a set; empty for the newest.", type: str, default: ""}
  environment_name: {description: "The environment that is restored.", type: str, required: true}
  from_environment: {description: "The environment of the set, where it is another one.", type: str, default: ""}
  only:
    description: Which part of it; empty for all data.
    type: str
    choices: ["", postgres, redis, data, secrets]
    default: ""
  identity: {description: "Private key of age, for a set that is encrypted.", type: str, default: ""}
  hosts: {description: "For each kind of part the hosts that get one.", type: dict, required: true}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The newest set is whole
  backup_open:
    folder: /var/lib/erni/backups
    environment_name: staging
    hosts: {postgres: [db], redis: [db], sessions: [app]}
"""

RETURN = r"""
set: {description: "Its id.", type: str, returned: always}
path: {description: "Its folder.", type: str, returned: always}
recipients: {description: "Whom it is encrypted for.", type: list, elements: str, returned: always}
parts: {description: "For each kind that is restored: for each host its part.", type: dict, returned: always}
actions: {description: "What was found, as sentences.", type: list, elements: str, returned: always}
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni.backup_choice import KINDS, choose, parts_for, require_identity_of
from ansible.module_utils.erni.backup_store import Store
from ansible.module_utils.erni.backup_unpack import require_identity
from ansible.module_utils.erni.errors import PlatformError

ARGUMENT_SPEC = {
    "folder": {"type": "path", "required": True},
    "set": {"type": "str", "default": ""},
    "environment_name": {"type": "str", "required": True},
    "from_environment": {"type": "str", "default": ""},
    "only": {"type": "str", "choices": list(KINDS), "default": ""},
    "identity": {"type": "str", "default": "", "no_log": True},
    "hosts": {"type": "dict", "required": True},
}


def open_set(params: dict[str, Any]) -> dict[str, Any]:
    store = Store(params["folder"])
    sets, _ = store.manifests()
    manifest = choose(sets, params["set"], params["folder"])
    require_identity_of(manifest, params["environment_name"], params["from_environment"])
    kinds = KINDS[params["only"]]
    if kinds != KINDS["secrets"]:  # the vault file has its own key
        require_identity(manifest, params["identity"])
    if damage := store.damage(manifest):
        raise PlatformError(
            f"Set {manifest.id} is damaged",
            "; ".join(damage[:5]),
            "Nothing was touched. Take another one; make backups lists them.",
        )
    parts = {kind: parts_for(manifest, kind, params["hosts"].get(kind, [])) for kind in kinds}
    return {
        "set": manifest.id,
        "path": store.path(manifest.id),
        "recipients": list(manifest.recipients),
        "parts": {kind: {host: asdict(part) for host, part in of_kind.items()} for kind, of_kind in parts.items()},
        "actions": [f"Set {manifest.id} is whole."],
    }


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = open_set(module.params)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
