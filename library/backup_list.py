#!/usr/bin/python
"""Ansible module: the backup sets that a host keeps, as a table, or one of them in full."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_list
short_description: The backup sets there are
description:
  - Tells of each set when it was made and by whom, its size, whether it was verified and drilled, and what it holds.
  - With C(set) tells all of one, and reads its files to compare their checksums.
options:
  folder: {description: "The host's folder of the sets.", type: path, required: true}
  set: {description: "Id of one set; empty tells all.", type: str, default: ""}
  format: {description: "How it is told.", type: str, choices: [table, json], default: table}
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

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni.backup_report import Listed, one_as_text, sets_as_json, sets_as_text
from ansible.module_utils.erni.backup_store import Store
from ansible.module_utils.erni.errors import PlatformError

ARGUMENT_SPEC = {
    "folder": {"type": "path", "required": True},
    "set": {"type": "str", "default": ""},
    "format": {"type": "str", "choices": ["table", "json"], "default": "table"},
}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    store = Store(params["folder"])
    try:
        if params["set"]:
            chosen = store.manifest(params["set"])
            sets, troubles = [chosen], store.damage(chosen)
        else:
            sets, troubles = store.manifests()
    except PlatformError as error:
        module.fail_json(msg=str(error))
    listed = [Listed(one, store.drilled(one.id)) for one in sets]
    if params["format"] == "json":
        report = sets_as_json(listed, troubles)
    else:
        report = one_as_text(listed[0], troubles) if params["set"] else sets_as_text(listed, troubles, params["folder"])
    if params["set"] and troubles:
        module.fail_json(
            msg=f"Set {params['set']} is damaged: {'; '.join(troubles)}. Take another one.", erni_report=report
        )
    module.exit_json(changed=False, erni_report=report, sets=[one.id for one in sets])


if __name__ == "__main__":
    main()
