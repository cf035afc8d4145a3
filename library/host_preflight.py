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
  images: {description: "What must be there or in its registry.", type: list, elements: str, default: []}
  programs: {description: "Programs that images must have, their paths by reference.", type: dict, default: {}}
  credentials: {description: "Registry credentials, C(username) and C(password).", type: dict, default: {}}
  packages: {description: "Debian packages that the modules need.", type: list, elements: str, default: []}
  live_restore:
    description: As C(docker_engine) takes it.
    type: str
    choices: [installed, always, never]
    default: never
  certificate:
    description: The server certificate to look at, where this host has one.
    type: dict
    suboptions:
      chain: {description: "PEM file with the certificate first.", type: path, required: true}
      key: {description: "PEM file with its key.", type: path, required: true}
      names: {description: "Names that it must be valid for.", type: list, elements: str, required: true}
      min_days: {description: "Days that it must last.", type: int, required: true}
      given:
        description: SHA-256 of the chain and of the key that an operator gives, where it comes from files.
        type: list
        elements: str
        default: []
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

import datetime as dt
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import certificate, engine, tls_swap
from ansible.module_utils.erni.engine_install import observe_engine, plan_engine
from ansible.module_utils.erni.engine_settings import CHOICES, NEVER
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.findings import Finding, as_dicts
from ansible.module_utils.erni.host_facts import read_facts
from ansible.module_utils.erni.host_preflight import Requirements, check_host

REGISTRY_SECONDS = 30

ARGUMENT_SPEC = {
    "platform": {"type": "str", "required": True},
    "ports": {"type": "list", "elements": "int", "default": []},
    "paths": {"type": "list", "elements": "path", "required": True},
    "min_memory_mb": {"type": "int", "required": True},
    "min_disk_gb": {"type": "float", "required": True},
    "min_docker_version": {"type": "str", "required": True},
    "images": {"type": "list", "elements": "str", "default": []},
    "programs": {"type": "dict", "default": {}},
    "credentials": {"type": "dict", "default": {}, "no_log": True},
    "packages": {"type": "list", "elements": "str", "default": []},
    "live_restore": {"type": "str", "choices": CHOICES, "default": NEVER},
    "certificate": {
        "type": "dict",
        "options": {
            "chain": {"type": "path", "required": True},
            "key": {"type": "path", "required": True, "no_log": False},
            "names": {"type": "list", "elements": "str", "required": True},
            "min_days": {"type": "int", "required": True},
            "given": {"type": "list", "elements": "str", "default": []},
        },
    },
    "require_time_sync": {"type": "bool", "default": False},
}


def certificate_facts(wanted: dict[str, Any] | None) -> dict[str, Any]:
    """Why the certificate has to be issued anew (no problem for a host that serves none), and whose it is."""
    if wanted is None:
        return {"problems": [], "missing": False, "self_issued": False, "unproven": False}
    found = certificate.read(wanted["chain"], wanted["key"])
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    others = certificate.other_files(wanted["chain"], wanted["key"], wanted["given"])
    return {
        "problems": certificate.problems(found, wanted["names"], wanted["min_days"], now) + (others if found else []),
        "missing": found is None,
        "self_issued": bool(found and found.self_issued),
        "unproven": tls_swap.is_unproven(os.path.dirname(wanted["chain"])),
    }


def engine_ready(packages: list[str], live_restore: str) -> tuple[bool, list[Finding]]:
    """Whether the engine needs no second look, and what stands in the way where it does."""
    try:
        return not plan_engine(observe_engine(packages, live_restore)).changed, []
    except PlatformError as error:
        return False, [Finding(error.what, error.why, error.remedy)]


def unavailable_images(references: list[str], credentials: dict[str, str]) -> list[Finding]:
    """Images that could not be had; none where no engine runs yet that could ask for them."""
    try:
        client = engine.connect(timeout=REGISTRY_SECONDS)
    except PlatformError:
        return []
    reasons = {reference: engine.image_unavailable(client, reference, credentials) for reference in references}
    return [
        Finding(
            f"The image {reference} cannot be had",
            reason,
            "Check the reference, that the host reaches the registry, and platform_registry_username and its password.",
        )
        for reference, reason in reasons.items()
        if reason
    ]


def missing_programs(platform: str, programs: dict[str, str]) -> list[Finding]:
    """Of the images that are on the host already; ``up`` looks at the others before they replace anything."""
    try:
        client = engine.connect(timeout=REGISTRY_SECONDS)
        lacking = [image for image, path in programs.items() if not engine.image_has(client, platform, image, path)]
    except PlatformError:
        return []
    return [
        Finding(
            f"The image {image} has no {programs[image]}",
            "what the inventory asks for needs it (postgres_archive), and the official image has it not",
            "Leave postgres_image empty for the platform's own, add the program to that image, or set postgres_archive "
            "to {}.",
        )
        for image in lacking
    ]


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    facts = read_facts(params["ports"], params["paths"])
    requirements = Requirements(
        platform=params["platform"],
        ports=tuple(params["ports"]),
        min_memory_mb=params["min_memory_mb"],
        min_disk_gb=params["min_disk_gb"],
        min_docker_version=params["min_docker_version"],
        require_time_sync=params["require_time_sync"],
    )
    ready, in_the_way = engine_ready(params["packages"], params["live_restore"])
    try:
        host = facts.as_variables() | {
            "engine_ready": ready,
            "certificate": certificate_facts(params["certificate"]),
        }
    except PlatformError as error:
        module.fail_json(msg=str(error))
    findings = check_host(facts, requirements) + in_the_way
    if params["images"]:
        findings += unavailable_images(params["images"], params["credentials"])
    if params["programs"]:
        findings += missing_programs(params["platform"], params["programs"])
    module.exit_json(changed=False, findings=as_dicts(findings), ansible_facts={"platform_host": host})


if __name__ == "__main__":
    main()
