#!/usr/bin/python
"""Ansible module: the platform's networks and folders exist on the host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: platform_base
short_description: The platform's networks and folders exist on the host
options:
  platform: {description: "Name of the platform; label of what is created.", type: str, required: true}
  state:
    description: With C(absent) the networks and the folders, with all that is in them, are removed.
    type: str
    choices: [present, absent]
    default: present
  networks:
    description: Networks as they should be. One that differs is made anew, its containers join again in their roles.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: "Name of the network.", type: str, required: true}
      driver: {description: "C(overlay) spans hosts.", type: str, choices: [bridge, overlay], default: bridge}
      subnet: {description: "Address range in CIDR notation.", type: str, required: true}
      dynamic_range: {description: "Part of it that the engine assigns from.", type: str, default: ""}
      internal: {description: "No way out.", type: bool, default: false}
      encrypted: {description: "C(overlay): IPsec between the hosts.", type: bool, default: false}
  folders:
    description: Folders on the host.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: "Absolute path.", type: str, required: true}
      mode: {description: "Mode, octal.", type: str, default: "0711"}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The platform's networks and folders exist
  platform_base:
    platform: erni
    networks:
      - name: erni-edge
        subnet: 172.30.10.0/24
    folders:
      - path: /var/lib/erni
"""

RETURN = r"""
actions:
  description: What was done, or would be, as sentences.
  type: list
  elements: str
  returned: always
"""

import os
import shutil
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import engine
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.files import ensure_folder, folder_matches
from ansible.module_utils.erni.host_lock import host_lock
from ansible.module_utils.erni.network_apply import apply_networks, observe_networks
from ansible.module_utils.erni.network_plan import Network, network_from_params, plan_networks
from ansible.module_utils.erni.planning import Difference, Plan
from ansible.module_utils.erni.service_spec import LABEL_PREFIX

ARGUMENT_SPEC = {
    "platform": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "networks": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "driver": {"type": "str", "choices": ["bridge", "overlay"], "default": "bridge"},
            "subnet": {"type": "str", "required": True},
            "dynamic_range": {"type": "str", "default": ""},
            "internal": {"type": "bool", "default": False},
            "encrypted": {"type": "bool", "default": False},
        },
    },
    "folders": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "str", "required": True},
            "mode": {"type": "str", "default": "0711"},
        },
    },
}


def plan_folders(wanted: dict[str, int], fitting: set[str]) -> Plan:
    plan = Plan()
    for path, mode in wanted.items():
        if path not in fitting:
            plan.differences.append(Difference(f"folder {path}", None, f"{mode:04o}"))
            plan.add("make_folder", path, f"folder {path} is in place")
    return plan


def plan_removal(networks: list[str], folders: list[str]) -> Plan:
    """``networks`` and ``folders`` are those that exist."""
    plan = Plan()
    for kind, names in (("network", networks), ("folder", folders)):
        for name in names:
            plan.differences.append(Difference(f"{kind} {name}", "present", None))
            plan.add(f"remove_{kind}", name, f"{kind} {name} is removed")
    return plan


def make_present(module: AnsibleModule, client: Any, networks: list[Network], folders: dict[str, int]) -> Plan:
    plan = plan_folders(folders, {path for path, mode in folders.items() if folder_matches(path, mode)})
    network_plan = plan_networks(networks, observe_networks(client, [network.name for network in networks]))
    if not module.check_mode:
        for action in plan.actions:
            ensure_folder(action.subject, folders[action.subject])
        labels = {f"{LABEL_PREFIX}platform": module.params["platform"]}
        apply_networks(client, network_plan, networks, labels)
    plan.extend(network_plan)
    return plan


def make_absent(module: AnsibleModule, client: Any, networks: list[Network], folders: dict[str, int]) -> Plan:
    existing = observe_networks(client, [network.name for network in networks])
    plan = plan_removal(sorted(existing), [path for path in folders if os.path.isdir(path)])
    if not module.check_mode:
        for action in plan.actions:
            if action.kind == "remove_network":
                engine.remove_network(client, action.subject)
            else:
                shutil.rmtree(action.subject)
    return plan


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    platform = module.params["platform"]
    networks = [network_from_params(params) for params in module.params["networks"]]
    folders = {folder["path"]: int(folder["mode"], 8) for folder in module.params["folders"]}
    make = make_absent if module.params["state"] == "absent" else make_present
    try:
        with (
            host_lock(platform, "networks and folders"),
            engine.explained("The platform's networks could not be changed"),
        ):
            plan = make(module, engine.connect(predicting=module.check_mode), networks, folders)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=plan.changed, actions=plan.sentences, diff=plan.diff("networks and folders"))


if __name__ == "__main__":
    main()
