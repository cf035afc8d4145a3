#!/usr/bin/python
"""Ansible module: a Docker Engine runs on the host, and the libraries that the modules need are there."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine
short_description: A Docker Engine runs on the host
description:
  - Installs Debian's C(docker.io) where there is no engine of any kind, and starts it through systemd or, where that
    does not run, as a detached process that outlives the run.
  - Sees to it that containers outlive the engine, where O(live_restore) says so. Of C(/etc/docker/daemon.json) nothing
    else is changed, and an engine that runs loads it without a restart.
options:
  packages: {description: "Further Debian packages that must be installed.", type: list, elements: str, default: []}
  live_restore:
    description: >-
      Which engine is told to let containers run when it ends: one that this module has C(installed), C(always) the one
      that is there, or C(never).
    type: str
    choices: [installed, always, never]
    default: never
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The Docker Engine runs
  docker_engine:
    packages: [python3-docker]
    live_restore: installed
"""

RETURN = r"""
actions:
  description: What was done, or would be, as sentences.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni.engine_install import apply_engine, observe_engine, plan_engine
from ansible.module_utils.erni.engine_settings import CHOICES, NEVER
from ansible.module_utils.erni.errors import PlatformError

ARGUMENT_SPEC = {
    "packages": {"type": "list", "elements": "str", "default": []},
    "live_restore": {"type": "str", "choices": CHOICES, "default": NEVER},
}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    state = observe_engine(module.params["packages"], module.params["live_restore"])
    try:
        plan = plan_engine(state)
        if not module.check_mode:
            apply_engine(plan, state)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=plan.changed, actions=plan.sentences, diff=plan.diff("Docker Engine"))


if __name__ == "__main__":
    main()
