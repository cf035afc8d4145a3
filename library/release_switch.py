#!/usr/bin/python
"""Ansible module: on a proxy's host, the slot of a release that has passed its gates on other hosts serves."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_switch
short_description: The proxy asks the slot of a release that has come up on other hosts
description:
  - Reaches every instance of the slot, switches by one file operation, proves it through the proxy, and watches it.
  - What fails after the switch is switched back.
options:
  platform: {description: "Name of the platform, for the host's lock.", type: str, required: true}
  slot: {description: "The slot that is to serve.", type: str, choices: [blue, green], required: true}
  release: {description: "The release in it; empty means the one that nginx names there.", type: str, default: ""}
  addresses: {description: "For each service its addresses in each slot.", type: dict, required: true}
  replicas:
    description: For each service how many run on each of its hosts; without O(release), what nginx is told counts.
    type: dict
    required: true
  upstreams: {description: "For each service its C(port) and the C(path) that answers 200.", type: dict, required: true}
  container: {description: "Name of the proxy's container.", type: str, required: true}
  live_folder: {description: "Folder in which it looks up which slot serves.", type: path, required: true}
  hostname: {description: "Public name.", type: str, required: true}
  paths: {description: "For each service a path that it answers with 200.", type: dict, required: true}
  bake_seconds: {description: "How long the release is watched after the switch.", type: float, default: 0.0}
  bake:
    description: What it is allowed against the one before, in the terms of C(BakeRules) (bake.py).
    type: dict
    default: {}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The release's slot serves
  release_switch:
    platform: erni
    slot: green
    release: 0123456789ab
    addresses: {backend: {blue: [172.30.10.20, 172.30.10.21], green: [172.30.10.30, 172.30.10.31]}}
    replicas: {backend: [1, 1]}
    upstreams: {backend: {port: 8000, path: /health}}
    container: erni-nginx
    live_folder: /var/lib/erni/services/nginx/live
    hostname: erni-gruppe.ch
    paths: {backend: /health}
"""

RETURN = r"""
actions:
  description: What was done, or would be, as sentences.
  type: list
  elements: str
  returned: always
erni_report:
  description: What the watch over the release rests on.
  type: str
  returned: when it was watched
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import engine
from ansible.module_utils.erni.bake import BakeRules
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.host_lock import host_lock
from ansible.module_utils.erni.live_folder import LiveFolder
from ansible.module_utils.erni.planning import Plan
from ansible.module_utils.erni.release_bake import Bake
from ansible.module_utils.erni.release_proxy import Proxy, Upstream
from ansible.module_utils.erni.release_switch import Switch, carry_out, plan_switch
from ansible.module_utils.erni.replicas import answering
from ansible.module_utils.erni.slots import other, slots_by_address

ARGUMENT_SPEC = {
    "platform": {"type": "str", "required": True},
    "slot": {"type": "str", "choices": ["blue", "green"], "required": True},
    "release": {"type": "str", "default": ""},
    "addresses": {"type": "dict", "required": True},
    "replicas": {"type": "dict", "required": True},
    "upstreams": {"type": "dict", "required": True},
    "container": {"type": "str", "required": True},
    "live_folder": {"type": "path", "required": True},
    "hostname": {"type": "str", "required": True},
    "paths": {"type": "dict", "required": True},
    "bake_seconds": {"type": "float", "default": 0.0},
    "bake": {"type": "dict", "default": {}},
}


def switch_of(params: dict[str, Any], client: Any) -> Switch:
    live, slot = LiveFolder(params["live_folder"]), params["slot"]
    one_each = {service: [1] * len(numbers) for service, numbers in params["replicas"].items()}
    replicas = params["replicas"] if params["release"] else one_each | live.replicas(slot)
    return Switch(
        client=client,
        live=live,
        proxy=Proxy(params["container"], params["hostname"], params["paths"], slots_by_address(params["addresses"])),
        upstreams={name: Upstream(int(at["port"]), at["path"]) for name, at in params["upstreams"].items()},
        addresses={name: answering(params["addresses"][name][slot], numbers) for name, numbers in replicas.items()},
        slot=slot,
        release=params["release"] or live.release(slot),
        replicas=replicas,
    )


def watched(params: dict[str, Any], switch: Switch) -> list[str]:
    if params["bake_seconds"] <= 0:
        return []
    proxy, rules = switch.proxy, BakeRules(**params["bake"])
    bake = Bake(switch.client, proxy.container, proxy.slots, [], params["bake_seconds"], rules)
    return bake.run(other(params["slot"]), params["slot"])


def apply(module: AnsibleModule) -> tuple[Plan, list[str]]:
    params = module.params
    switch = switch_of(params, engine.connect(predicting=module.check_mode))
    live, slot = switch.live, switch.slot
    plan = plan_switch(slot, switch.release, switch.replicas, live.slot(), live.release(slot), live.replicas(slot))
    return plan, [] if module.check_mode else carry_out(switch, plan, lambda: watched(params, switch))


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    try:
        with host_lock(module.params["platform"], "switch"), engine.explained("The proxy could not be switched"):
            plan, notes = apply(module)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    report = {"erni_report": "\n".join(notes)} if notes else {}
    module.exit_json(changed=plan.changed, actions=plan.sentences, diff=plan.diff("the slot that serves"), **report)


if __name__ == "__main__":
    main()
