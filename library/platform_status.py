#!/usr/bin/python
"""Ansible module: how this host's services are doing. It changes nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: platform_status
short_description: Report state, health, uptime, restarts, image, release, CPU and memory of the services of a host
options:
  platform: {description: "Prefix of the containers' names.", type: str, required: true}
  services: {description: "Services that should run on this host.", type: list, elements: str, required: true}
  host: {description: "Name of the host, for the report.", type: str, required: true}
  format: {description: "Form of the report.", type: str, choices: [table, json], default: table}
  heading: {description: "Lines to print above the table.", type: list, elements: str, default: []}
  usage: {description: "Whether to sample CPU and memory, which takes up to two seconds.", type: bool, default: true}
  version_commands: {description: "By service, what tells its version.", type: dict, default: {}}
  strict: {description: "Whether a service that is not well fails the task.", type: bool, default: true}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The services are well
  platform_status:
    platform: erni
    services: [postgres, redis]
    host: "{{ inventory_hostname }}"
"""

RETURN = r"""
erni_report:
  description: The report, in the form that was asked for.
  type: str
  returned: always
services:
  description: The figures, one entry a service.
  type: list
  elements: dict
  returned: always
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import engine
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.status import Question, ServiceStatus, as_json, as_table, observe_status

ARGUMENT_SPEC = {
    "platform": {"type": "str", "required": True},
    "services": {"type": "list", "elements": "str", "required": True},
    "host": {"type": "str", "required": True},
    "format": {"type": "str", "choices": ["table", "json"], "default": "table"},
    "heading": {"type": "list", "elements": "str", "default": []},
    "usage": {"type": "bool", "default": True},
    "version_commands": {"type": "dict", "default": {}},
    "strict": {"type": "bool", "default": True},
}


def report(params: dict[str, Any], statuses: list[ServiceStatus]) -> str:
    if params["format"] == "json":
        return as_json(params["host"], statuses)
    return "\n".join([*params["heading"], as_table(statuses, usage_shown=params["usage"])])


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    try:
        client = engine.connect(predicting=module.check_mode)
        question = Question(params["version_commands"], params["usage"])
        statuses = observe_status(client, params["platform"], params["services"], question)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    outcome = {
        "changed": False,
        "erni_report": report(params, statuses),
        "services": [asdict(status) for status in statuses],
    }
    troubles = [status.trouble for status in statuses if status.trouble]
    if troubles and params["strict"]:
        remedy = "`make logs SERVICE=…` shows why; `make up` brings back what is stopped or missing."
        module.fail_json(msg=f"Not well: {', '.join(troubles)}. {remedy}", **outcome)
    module.exit_json(**outcome)


if __name__ == "__main__":
    main()
