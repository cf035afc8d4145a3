#!/usr/bin/python
"""Ansible module: a release of backend and frontend serves, brought there without losing a request."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_transition
short_description: A release of the application serves, brought there without losing a request
description:
  - Finishes or undoes what an interrupted transition has left, then plans and carries out the way to the release.
  - The release starts in the slot that does not serve, passes its gate there, and is switched to by one file operation
    in the proxy's live folder. What fails before that touches nothing; what fails after it is switched back.
  - Each phase is in the journal before the next one begins, so that the module can be killed at any point.
options:
  platform: {description: "Prefix of the containers' names.", type: str, required: true}
  root: {description: "The platform's folder; records are in C(releases) there.", type: path, required: true}
  verb:
    description: C(deploy) brings what is given, C(rollback) a recorded one, C(up) what serves, set up as today.
    type: str
    choices: [deploy, rollback, up]
    required: true
  to: {description: "With C(rollback), where to go; empty means the last good release.", type: str, default: ""}
  services:
    description: >-
      Service mappings as container_service takes them, by name, one for each replica; C({slot}) and C({release}) are
      filled in.
    type: dict
    required: true
  secrets: {description: "Secret variables of each service's environment, by name.", type: dict, default: {}}
  accepted: {description: "Former values of O(secrets) that still hold, as lists.", type: dict, default: {}}
  source: {description: "Where the images come from.", type: str, default: inventory}
  image_prefix: {description: "Before the names of images that the platform builds.", type: str, default: erni}
  commit: {description: "Commit that they were built from.", type: str, default: ""}
  operator: {description: "Who does this.", type: str, required: true}
  environment_name: {description: "Name of the environment.", type: str, required: true}
  reason: {description: "Why.", type: str, default: ""}
  upstreams:
    description: For each service its C(port), and the C(path) that must answer 200 before it is switched to.
    type: dict
    required: true
  proxy:
    description: The proxy in front, where it is on this host; else O(live_slot) tells what it does.
    type: dict
    suboptions:
      container: {description: "Name of its container.", type: str, required: true}
      live_folder: {description: "Folder in which it looks up which slot serves.", type: path, required: true}
      hostname: {description: "Public name.", type: str, required: true}
      paths: {description: "For each service a path that it answers with 200.", type: dict, required: true}
      addresses: {description: "For each service its addresses in each slot.", type: dict, required: true}
  hooks:
    description: Commands by moment, C(pre_deploy), C(post_switch), C(post_deploy) or C(on_failure).
    type: dict
    default: {}
  hook_timeout: {description: "Seconds that a hook may take.", type: float, default: 600.0}
  backup:
    description: >-
      The C(name) of the backup that was made before a deploy, or the C(command) that makes one; whether one is
      C(required), and the command's C(timeout).
    type: dict
    default: {}
  schema:
    description: How the database is reached and how its schema is changed; empty where it is on another host.
    type: dict
    default: {}
  admin_password: {description: "Password of the database's superuser.", type: str, default: ""}
  bake_seconds: {description: "How long the release is watched after the switch.", type: float, default: 0.0}
  bake:
    description: What it is allowed against the one before, in the terms of C(BakeRules) (bake.py).
    type: dict
    default: {}
  live_slot:
    description: Without O(proxy), the slot that the proxy asks.
    type: str
    choices: [blue, green]
    default: blue
  release_id: {description: "On several hosts, the id of the whole release; empty computes it.", type: str, default: ""}
  step:
    description: With C(candidate) it stops before the switch, with C(settle) it finishes or undoes what was begun.
    type: str
    choices: [all, candidate, settle]
    default: all
  switching: {description: "Use the other slot even where nothing differs.", type: bool, default: false}
  drain_seconds:
    description: How long requests in flight may take before their container is told to stop.
    type: float
    default: 30.0
  warm_seconds:
    description: How long the former release goes on running, ready to serve again; 0 stops it at once.
    type: float
    default: 900.0
  keep: {description: "How many good releases stay on the host.", type: int, default: 5}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The last good release before this one serves again
  release_transition:
    platform: erni
    root: /var/lib/erni
    verb: rollback
    services: {backend: "{{ backend_service }}", frontend: "{{ frontend_service }}"}
    secrets: {backend: "{{ backend_secrets }}"}
    operator: alice
    environment_name: production
    upstreams: {backend: {port: 8000, path: /health}, frontend: {port: 3000, path: /}}
    proxy:
      container: erni-nginx
      live_folder: /var/lib/erni/services/nginx/live
      hostname: erni-gruppe.ch
      paths: {backend: /health, frontend: /}
      addresses: "{{ platform_slot_addresses }}"
"""

RETURN = r"""
actions:
  description: What was done, or would be, as sentences.
  type: list
  elements: str
  returned: always
release:
  description: The release that serves now, or would.
  type: str
  returned: always
slot:
  description: The slot that it serves from.
  type: str
  returned: always
from_release:
  description: The release that served before; empty where none did.
  type: str
  returned: always
switches:
  description: Whether the way to it leads through the other slot.
  type: bool
  returned: always
replicas:
  description: How many the release has of each service on this host.
  type: dict
  returned: always
erni_report:
  description: What serves now, how long each phase took, and what an operator should know besides.
  type: str
  returned: when there is something to tell
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import engine
from ansible.module_utils.erni.bake import BakeRules
from ansible.module_utils.erni.clock import later
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.host_lock import host_lock
from ansible.module_utils.erni.live_folder import LiveElsewhere, LiveFolder
from ansible.module_utils.erni.release_apply import FAILURES, Rules, Site
from ansible.module_utils.erni.release_choice import Wish
from ansible.module_utils.erni.release_moments import Surroundings
from ansible.module_utils.erni.release_proxy import Proxy, Upstream
from ansible.module_utils.erni.release_run import Author, Outcome, ReleaseRun, Spread
from ansible.module_utils.erni.slots import slots_by_address

ARGUMENT_SPEC = {
    "platform": {"type": "str", "required": True},
    "root": {"type": "path", "required": True},
    "verb": {"type": "str", "choices": ["deploy", "rollback", "up"], "required": True},
    "to": {"type": "str", "default": ""},
    "services": {"type": "dict", "required": True},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "accepted": {"type": "dict", "default": {}, "no_log": True},
    "source": {"type": "str", "default": "inventory"},
    "commit": {"type": "str", "default": ""},
    "image_prefix": {"type": "str", "default": "erni"},
    "operator": {"type": "str", "required": True},
    "environment_name": {"type": "str", "required": True},
    "reason": {"type": "str", "default": ""},
    "upstreams": {"type": "dict", "required": True},
    "proxy": {
        "type": "dict",
        "options": {
            "container": {"type": "str", "required": True},
            "live_folder": {"type": "path", "required": True},
            "hostname": {"type": "str", "required": True},
            "paths": {"type": "dict", "required": True},
            "addresses": {"type": "dict", "required": True},
        },
    },
    "hooks": {"type": "dict", "default": {}},
    "hook_timeout": {"type": "float", "default": 600.0},
    "backup": {"type": "dict", "default": {}},
    "schema": {"type": "dict", "default": {}},
    "admin_password": {"type": "str", "default": "", "no_log": True},
    "bake_seconds": {"type": "float", "default": 0.0},
    "bake": {"type": "dict", "default": {}},
    "live_slot": {"type": "str", "choices": ["blue", "green"], "default": "blue"},
    "release_id": {"type": "str", "default": ""},
    "step": {"type": "str", "choices": ["all", "candidate", "settle"], "default": "all"},
    "switching": {"type": "bool", "default": False},
    "drain_seconds": {"type": "float", "default": 30.0},
    "warm_seconds": {"type": "float", "default": 900.0},
    "keep": {"type": "int", "default": 5},
}


def proxy_of(given: dict[str, Any]) -> Proxy:
    return Proxy(given["container"], given["hostname"], given["paths"], slots_by_address(given["addresses"]))


def run_of(params: dict[str, Any], client: Any) -> ReleaseRun:
    proxy = params["proxy"]
    site = Site(
        client=client,
        platform=params["platform"],
        root=os.path.join(params["root"], "releases"),
        live=LiveFolder(proxy["live_folder"]) if proxy else LiveElsewhere(params["live_slot"]),
        proxy=proxy_of(proxy) if proxy else None,
        upstreams={name: Upstream(int(at["port"]), at["path"]) for name, at in params["upstreams"].items()},
    )
    return ReleaseRun(
        site=site,
        rules=Rules(params["drain_seconds"], params["warm_seconds"], params["keep"]),
        verb=params["verb"],
        wish=Wish(params["services"], params["secrets"], params["accepted"], params["source"], params["reason"]),
        author=Author(params["operator"], params["environment_name"], params["reason"], params["commit"]),
        to=params["to"],
        image_prefix=params["image_prefix"],
        spread=Spread(
            release=params["release_id"],
            switching=params["switching"],
            until_gated=params["step"] == "candidate",
            settling=params["step"] == "settle",
        ),
        surroundings=Surroundings(
            hooks=params["hooks"],
            hook_timeout=params["hook_timeout"],
            backup=params["backup"],
            database={**params["schema"], "admin_password": params["admin_password"]} if params["schema"] else {},
            bake_seconds=params["bake_seconds"],
            bake_rules=BakeRules(**params["bake"]),
        ),
    )


def bring(module: AnsibleModule) -> Outcome:
    params = module.params
    try:
        with host_lock(params["platform"], f"{params['verb']} of a release"):
            run = run_of(params, engine.connect(predicting=module.check_mode))
            return run.run(check=module.check_mode)
    except PlatformError:
        raise
    except FAILURES as error:  # while something was being undone, or before anything began
        raise PlatformError(
            f"The {params['verb']} was cut off",
            engine.explanation(error),
            "When the cause is gone, run make up: it finishes or undoes what it finds.",
        ) from error


def retire(params: dict[str, Any]) -> None:
    """What the clock does when the former release has waited for long enough."""
    with host_lock(params["platform"], "the end of a release that waited"):
        run_of(params, engine.connect()).retire()


def stamp(path: str) -> tuple[int, int]:
    """What changes with the next transition, and when the platform is removed: then this clock is needless."""
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_size, status.st_ino


def leave_a_clock(module: AnsibleModule, outcome: Outcome) -> None:
    """After a switch the former release waits, and somebody has to stop it when its time is over."""
    params, warm = module.params, module.params["warm_seconds"]
    switched = outcome.switches or params["step"] == "settle"
    if switched and outcome.plan.changed and warm > 0 and not module.check_mode and params["step"] != "candidate":
        journal = os.path.join(params["root"], "releases", "journal.jsonl")
        written = stamp(journal)
        later(warm + 1, lambda: retire(params), wanted=lambda: stamp(journal) == written)


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    try:
        outcome = bring(module)
        leave_a_clock(module, outcome)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    report = {"erni_report": "\n".join(outcome.report)} if outcome.report else {}
    module.exit_json(
        **report,
        changed=outcome.plan.changed,
        actions=outcome.plan.sentences,
        release=outcome.release,
        slot=outcome.slot,
        from_release=outcome.from_release,
        switches=outcome.switches,
        replicas=outcome.replicas,
        ansible_facts={"erni_release": outcome.release},
        diff=outcome.plan.diff("release"),
    )


if __name__ == "__main__":
    main()
