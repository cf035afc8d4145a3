#!/usr/bin/python
"""Ansible module: whether this host can carry the platform. It changes nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_preflight
short_description: Check a host before anything on it is touched, and tell its size
options:
  platform: {description: "Name of the platform; its own containers may hold the ports.", type: str, required: true}
  ports: {description: "TCP ports that it will publish.", type: list, elements: int, default: []}
  paths: {description: "Where it will store data.", type: list, elements: path, required: true}
  min_memory_mb: {description: "Memory that is needed, in MiB.", type: int, required: true}
  min_disk_gb: {description: "Free disk that is needed at each path, in GiB.", type: float, required: true}
  min_docker_version: {description: "Oldest engine.", type: str, required: true}
  require_time_sync: {description: "Whether an unsynchronised clock is an error.", type: bool, default: false}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The host can carry the platform
  host_preflight:
    platform: erni
    ports: [80, 443]
    paths: [/var/lib/docker]
    min_memory_mb: 2048
    min_disk_gb: 5
    min_docker_version: "20.10"
"""

RETURN = r"""
findings:
  description: What is wrong, each with C(what), C(why), C(remedy) and C(severity).
  type: list
  elements: dict
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni.findings import as_dicts
from ansible.module_utils.erni.host_facts import read_facts
from ansible.module_utils.erni.host_preflight import Requirements, check_host

ARGUMENT_SPEC = {
    "platform": {"type": "str", "required": True},
    "ports": {"type": "list", "elements": "int", "default": []},
    "paths": {"type": "list", "elements": "path", "required": True},
    "min_memory_mb": {"type": "int", "required": True},
    "min_disk_gb": {"type": "float", "required": True},
    "min_docker_version": {"type": "str", "required": True},
    "require_time_sync": {"type": "bool", "default": False},
}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = dict(module.params)
    facts = read_facts(params["ports"], params.pop("paths"))
    params["ports"] = tuple(params["ports"])
    findings = check_host(facts, Requirements(**params))
    module.exit_json(
        changed=False, findings=as_dicts(findings), ansible_facts={"platform_host": facts.as_variables()}
    )


if __name__ == "__main__":
    main()
