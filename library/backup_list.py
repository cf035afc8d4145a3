#!/usr/bin/python
"""Ansible module: the backup sets that a host keeps, as a table, or one of them in full."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_list
short_description: The backup sets there are
description:
  - Tells of each set when it was made and by whom, its size, whether it was verified and drilled, and what it holds.
  - With C(set) tells all of one, and reads its files to compare their checksums.
  - Where the sets off-site are known, tells where each one is.
options:
  folder: {description: "The host's folder of the sets.", type: path, required: true}
  set: {description: "Id of one set; empty tells all.", type: str, default: ""}
  format: {description: "How it is told.", type: str, choices: [table, json], default: table}
  offsite_known: {description: "Whether it is known which sets are off-site.", type: bool, default: false}
  offsite: {description: "Their manifests, from C(backup_offsite).", type: list, elements: dict, default: []}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The sets are shown
  backup_list:
    folder: /var/lib/erni/backups
"""

RETURN = r"""
erni_report: {description: "The table, or the JSON.", type: str, returned: always}
sets: {description: "The sets' ids, oldest first.", type: list, elements: str, returned: always}
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni.backup_report import Listed, located, one_as_text, sets_as_json, sets_as_text
from ansible.module_utils.erni.backup_set import Manifest
from ansible.module_utils.erni.backup_store import Store
from ansible.module_utils.erni.errors import PlatformError

ARGUMENT_SPEC = {
    "folder": {"type": "path", "required": True},
    "set": {"type": "str", "default": ""},
    "format": {"type": "str", "choices": ["table", "json"], "default": "table"},
    "offsite_known": {"type": "bool", "default": False},
    "offsite": {"type": "list", "elements": "dict", "default": []},
}


def found(store: Store, wanted: str, offsite: list[Manifest]) -> tuple[list[Manifest], list[str]]:
    """The sets here, or the one that is wanted, and what is wrong with them."""
    if not wanted:
        return store.manifests()
    if wanted in store.identifiers() or wanted not in [one.id for one in offsite]:
        chosen = store.manifest(wanted)
        return [chosen], store.damage(chosen)
    return [], []


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    store = Store(params["folder"])
    try:
        offsite = [Manifest.from_json(json.dumps(told), "a manifest off-site") for told in params["offsite"]]
        here, troubles = found(store, params["set"], offsite)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    wanted = [one for one in offsite if params["set"] in ("", one.id)]
    sets = located(here, wanted) if params["offsite_known"] else [(one, "") for one in here]
    listed = [Listed(one, store.drilled(one.id), where) for one, where in sets]
    if params["format"] == "json":
        report = sets_as_json(listed, troubles)
    else:
        report = one_as_text(listed[0], troubles) if params["set"] else sets_as_text(listed, troubles, params["folder"])
    if params["set"] and troubles:
        module.fail_json(
            msg=f"Set {params['set']} is damaged: {'; '.join(troubles)}. Take another one.", erni_report=report
        )
    module.exit_json(changed=False, erni_report=report, sets=[one.id for one, _ in sets])


if __name__ == "__main__":
    main()
