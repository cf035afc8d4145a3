#!/usr/bin/python
"""Ansible module: run a client inside a service's container and report what it says."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_command
short_description: Run a client program inside a service's container and report its output
description:
  - For what an operator types. It may change data, so check mode only says what would run.
options:
  platform: {description: "Prefix of the container's name.", type: str, required: true}
  service: {description: "Name of the service.", type: str, required: true}
  command: {description: "Program and arguments.", type: list, elements: str, required: true}
  typed: {description: "Further arguments as one typed line, quotes honoured.", type: str, default: ""}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The query is answered
  container_command:
    platform: erni
    service: postgres
    command: [psql, --username=postgres, --command, "select 1"]
"""

RETURN = r"""
erni_report:
  description: What it printed, on both streams.
  type: str
  returned: always
"""

import shlex

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import engine
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.lifecycle import run_client

ARGUMENT_SPEC = {
    "platform": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "command": {"type": "list", "elements": "str", "required": True},
    "typed": {"type": "str", "default": ""},
}


def words(typed: str) -> list[str]:
    try:
        return shlex.split(typed)
    except ValueError as error:
        raise PlatformError(f"'{typed}' cannot be split into words", str(error), "Close the quotes.") from error


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    container = f"{params['platform']}-{params['service']}"
    if module.check_mode:
        module.exit_json(changed=False, erni_report=f"Would run {params['command'][0]} in {container}.")
    try:
        command = (*params["command"], *words(params["typed"]))
        code, output = run_client(engine.connect(), container, command)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    if code != 0:
        module.fail_json(msg=f"{params['command'][0]} in {container} ended with exit code {code}: {output}")
    module.exit_json(changed=False, erni_report=output)


if __name__ == "__main__":
    main()
