#!/usr/bin/python
"""Ansible module: users are told of maintenance, or let in again."""

from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance
short_description: Turn users away with a page that says why, or let them in again
description:
  - One file on the nginx host, which nginx looks for at each request; nothing is reloaded, restarted or stopped.
options:
  platform: {description: "Prefix of the containers' names.", type: str, required: true}
  path: {description: "The live folder on the nginx host.", type: path, required: true}
  state: {description: "Whether maintenance is on.", type: str, choices: ["on", "off"], required: true}
  by:
    description: The verb that needs it for a while. It leaves alone, and does not end, what somebody else has begun.
    type: str
    default: ""
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: Users are told of maintenance
  maintenance:
    platform: erni
    path: /var/lib/erni/services/nginx/live
    state: "on"
"""

RETURN = r"""
actions:
  description: What was done, or would be, as sentences.
  type: list
  elements: str
  returned: always
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.host_lock import host_lock
from ansible.module_utils.erni.live_folder import LiveFolder, plan_maintenance

ARGUMENT_SPEC = {
    "platform": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["on", "off"], "required": True},
    "by": {"type": "str", "default": ""},
}


def require_nginx(path: str) -> None:
    """:raises PlatformError: where no nginx would look for the file."""
    if not os.path.isdir(path):
        raise PlatformError(
            "There are no users to turn away",
            f"nginx has not been set up on this host: {path} is missing",
            "Run make up.",
        )


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    live, wanted = LiveFolder(params["path"]), params["state"] == "on"
    try:
        with host_lock(params["platform"], f"maintenance {params['state']}"):
            is_on = live.in_maintenance()
            plan = plan_maintenance(wanted, is_on, params["by"], live.maintenance_by())
            if plan.changed:
                require_nginx(live.path)
            if plan.changed and not module.check_mode:
                live.set_maintenance(wanted, params["by"])
    except PlatformError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=plan.changed, actions=plan.sentences, diff=plan.diff("maintenance"))


if __name__ == "__main__":
    main()
