#!/usr/bin/python
"""Ansible module: a service's containers are started, stopped, restarted or absent; or their logs are read."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_state
short_description: Start, stop, restart or remove a service's containers, or read their logs
description:
  - A service has one container on a host, or several replicas, one after the other.
options:
  platform: {description: "Prefix of the containers' names.", type: str, required: true}
  service: {description: "Name of the service.", type: str, required: true}
  state:
    description: What is wanted. Starting waits for each container's own health check; C(healthy) only asks it.
    type: str
    choices: [started, stopped, restarted, healthy, absent, logged]
    required: true
  volumes: {description: "With C(absent), volumes to remove too.", type: list, elements: str, default: []}
  tail: {description: "With C(logged), how many lines.", type: int, default: 100}
  grep: {description: "With C(logged), only lines that hold this text.", type: str, default: ""}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The backend is started
  container_state:
    platform: erni
    service: backend
    state: started
"""

RETURN = r"""
actions:
  description: What was done, or would be, as sentences.
  type: list
  elements: str
  returned: always
erni_report:
  description: With C(logged), the lines.
  type: str
  returned: when logged
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import engine
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.host_lock import host_lock
from ansible.module_utils.erni.lifecycle import (
    apply_lifecycle,
    plan_lifecycle,
    read_log,
    require_existing,
    serving_containers,
    wait_healthy,
)
from ansible.module_utils.erni.planning import Difference

ARGUMENT_SPEC = {
    "platform": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "state": {
        "type": "str",
        "choices": ["started", "stopped", "restarted", "healthy", "absent", "logged"],
        "required": True,
    },
    "volumes": {"type": "list", "elements": "str", "default": []},
    "tail": {"type": "int", "default": 100},
    "grep": {"type": "str", "default": ""},
}


def show_log(module: AnsibleModule, client: Any) -> None:
    lines = []
    for container in serving_containers(client, module.params["platform"], module.params["service"]):
        lines += [f"== {container}", *read_log(client, container, module.params["tail"], module.params["grep"])]
    module.exit_json(changed=False, actions=[], erni_report="\n".join(lines))


def prove_healthy(module: AnsibleModule, client: Any) -> None:
    for container in serving_containers(client, module.params["platform"], module.params["service"]):
        require_existing(container, engine.observe_container(client, container, {}))
        wait_healthy(client, container, timeout=15)
    module.exit_json(changed=False, actions=[])


def change(module: AnsibleModule, client: Any) -> None:
    params = module.params
    service = f"{params['platform']}-{params['service']}"
    with (
        host_lock(params["platform"], f"{params['state']} {params['service']}"),
        engine.explained(f"{service} refuses"),
    ):
        plan = plan_lifecycle(client, params["platform"], params["service"], params["state"])
        existing = {volume["Name"] for volume in client.volumes()["Volumes"] or []}
        for volume in [name for name in params["volumes"] if name in existing]:
            plan.differences.append(Difference(f"volume {volume}", "present", None))
            plan.add("remove_volume", volume, f"volume {volume} is removed, with its data")
        if not module.check_mode:
            apply_lifecycle(client, plan)
    module.exit_json(changed=plan.changed, actions=plan.sentences, diff=plan.diff(service))


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    act = {"logged": show_log, "healthy": prove_healthy}.get(module.params["state"], change)
    try:
        with engine.explained(f"{module.params['platform']}-{module.params['service']} could not be looked at"):
            act(module, engine.connect(predicting=module.check_mode))
    except PlatformError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
