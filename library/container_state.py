#!/usr/bin/python
"""Ansible module: a service's container is started, stopped, restarted or absent; or its log is read."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_state
short_description: Start, stop, restart or remove a service's container, or read its log
options:
  platform: {description: "Prefix of the container's name.", type: str, required: true}
  service: {description: "Name of the service.", type: str, required: true}
  state:
    description: What is wanted. Starting waits for the container's own health check; C(healthy) only asks it.
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

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import engine
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.host_lock import host_lock
from ansible.module_utils.erni.lifecycle import apply_lifecycle, read_log, require_existing, wait_healthy
from ansible.module_utils.erni.planning import Difference
from ansible.module_utils.erni.service_plan import plan_state
from ansible.module_utils.erni.slots import names_beside

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


def show_log(module: AnsibleModule, container: str) -> None:
    lines = read_log(
        engine.connect(predicting=module.check_mode), container, module.params["tail"], module.params["grep"]
    )
    report = "\n".join([f"== {container}", *lines])
    module.exit_json(changed=False, actions=[], erni_report=report)


def prove_healthy(module: AnsibleModule, container: str) -> None:
    client = engine.connect(predicting=module.check_mode)
    require_existing(container, engine.observe_container(client, container, {}))
    wait_healthy(client, container, timeout=15)
    module.exit_json(changed=False, actions=[])


def change(module: AnsibleModule, container: str) -> None:
    params = module.params
    client = engine.connect(predicting=module.check_mode)
    with (
        host_lock(params["platform"], f"{params['state']} {params['service']}"),
        engine.explained(f"{container} refuses"),
    ):
        networks = engine.network_ids(client)
        observed = engine.observe_container(client, container, networks)
        if params["state"] in ("started", "restarted"):
            require_existing(container, observed)
        names = [f"{container}{suffix}" for suffix in engine.SUFFIXES] + names_beside(container)
        looked_at = {name: engine.observe_container(client, name, networks) for name in names}
        beside = {name: state for name, state in looked_at.items() if state is not None}
        plan = plan_state(container, observed, params["state"], beside)
        existing = {volume["Name"] for volume in client.volumes()["Volumes"] or []}
        for volume in [name for name in params["volumes"] if name in existing]:
            plan.differences.append(Difference(f"volume {volume}", "present", None))
            plan.add("remove_volume", volume, f"volume {volume} is removed, with its data")
        if not module.check_mode:
            apply_lifecycle(client, plan)
    module.exit_json(changed=plan.changed, actions=plan.sentences, diff=plan.diff(container))


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    container = f"{module.params['platform']}-{module.params['service']}"
    try:
        with engine.explained(f"{container} could not be looked at"):
            {"logged": show_log, "healthy": prove_healthy}.get(module.params["state"], change)(module, container)
    except PlatformError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
