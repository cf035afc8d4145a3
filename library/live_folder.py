#!/usr/bin/python
"""Ansible module: what nginx looks at for each request is there, before nginx is."""

from __future__ import annotations

DOCUMENTATION = r"""
module: live_folder
short_description: The folder that nginx looks into at each request is complete
description:
  - Which slot serves, how the releases are called and whether maintenance is on stay as they are.
options:
  platform: {description: "Prefix of the containers' names.", type: str, required: true}
  path: {description: "The folder on the nginx host.", type: path, required: true}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: What nginx looks at for each request is there
  live_folder:
    platform: erni
    path: /var/lib/erni/services/nginx/live
"""

RETURN = r"""
actions:
  description: What was done, or would be, as sentences.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.host_lock import host_lock
from ansible.module_utils.erni.live_folder import LiveFolder, plan_completion

ARGUMENT_SPEC = {
    "platform": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    live = LiveFolder(module.params["path"])
    try:
        with host_lock(module.params["platform"], "the live folder"):
            plan = plan_completion(live.path, live.missing())
            if plan.changed and not module.check_mode:
                live.complete()
    except PlatformError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=plan.changed, actions=plan.sentences, diff=plan.diff(live.path))


if __name__ == "__main__":
    main()
