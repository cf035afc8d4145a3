#!/usr/bin/python
"""Ansible module: no container of the platform has logged that a secret was refused."""

from __future__ import annotations

DOCUMENTATION = r"""
module: refused_logins
short_description: Search the logs of a platform's containers for secrets that were refused
description:
  - Reads what they have logged since a moment. Fails with the lines where a login was refused. Changes nothing.
options:
  platform: {description: "Name of the platform.", type: str, required: true}
  since: {description: "From when on, in seconds since the epoch.", type: float, required: true}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: Nobody was refused
  refused_logins:
    platform: erni
    since: "{{ erni_started }}"
"""

RETURN = r"""
findings:
  description: What was refused, each with C(what), C(why), C(remedy) and C(severity).
  type: list
  elements: dict
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import engine, refused_logins
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.findings import as_dicts

ARGUMENT_SPEC = {
    "platform": {"type": "str", "required": True},
    "since": {"type": "float", "required": True},
}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    try:
        logs = engine.logs_since(engine.connect(), params["platform"], params["since"])
    except PlatformError as error:
        module.fail_json(msg=str(error))
    found = refused_logins.findings(logs)
    if found:
        module.fail_json(msg="Secrets were refused while they were rotated.", findings=as_dicts(found))
    module.exit_json(changed=False, findings=[])


if __name__ == "__main__":
    main()
