#!/usr/bin/python
"""Ansible module: which releases a host knows, how they fared, and how one gets back to them. It changes nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_history
short_description: Report the releases of a host, which one serves, and how one gets back to the others
description:
  - Reads what nginx is told, the containers of both slots, the records and the journal, and says where they disagree.
options:
  platform: {description: "Prefix of the containers' names.", type: str, required: true}
  root: {description: "Folder of the releases' records on the host.", type: path, required: true}
  live_folder: {description: "Folder that tells nginx what serves; empty where no nginx runs.", type: str, default: ""}
  services:
    description: Services of a release that belong to this host.
    type: list
    elements: str
    default: [backend, frontend]
  host: {description: "Name of the host, for the report.", type: str, default: ""}
  keep: {description: "How many good releases stay.", type: int, default: 5}
  format: {description: "Form of the report.", type: str, choices: [table, json], default: table}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The releases are shown
  release_history:
    platform: erni
    root: /var/lib/erni/releases
    live_folder: /var/lib/erni/services/nginx/live
"""

RETURN = r"""
erni_report:
  description: The report, in the form that was asked for.
  type: str
  returned: always
releases:
  description: >-
    One entry a release, newest first. C(state) tells how one gets back to it: C(serves), C(warm) (runs in the idle
    slot), C(stopped), C(image only), C(gone) (the image is missing, or the record is), C(quarantined).
  type: list
  elements: dict
  returned: always
disagreements:
  description: Where nginx, containers and journal tell different stories, as sentences.
  type: list
  elements: str
  returned: always
"""

import os
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import engine
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.live_folder import LiveFolder
from ansible.module_utils.erni.release_record import read_journal, read_manifests
from ansible.module_utils.erni.release_report import (
    Observed,
    as_json,
    as_text,
    canonically_live,
    disagreements,
    fading,
    rows,
)
from ansible.module_utils.erni.release_world import World, canonical_names, observe_world
from ansible.module_utils.erni.slots import SLOTS

ARGUMENT_SPEC = {
    "platform": {"type": "str", "required": True},
    "root": {"type": "path", "required": True},
    "live_folder": {"type": "str", "default": ""},
    "services": {"type": "list", "elements": "str", "default": ["backend", "frontend"]},
    "host": {"type": "str", "default": ""},
    "keep": {"type": "int", "default": 5},
    "format": {"type": "str", "choices": ["table", "json"], "default": "table"},
}


def observe(client: Any, params: dict[str, Any], canonical: dict[str, str]) -> Observed:
    world, named = look(client, params, canonical)
    manifests, damaged = read_manifests(params["root"])
    references = {
        reference
        for manifest in manifests.values()
        for service, reference in manifest.images.items()
        if service in params["services"]
    }
    present = {reference: engine.image_id(client, reference) or "" for reference in references}
    journal = read_journal(params["root"])
    return Observed(world, named, tuple(params["services"]), present, manifests, journal, damaged)


def look(client: Any, params: dict[str, Any], canonical: dict[str, str]) -> tuple[World, dict[str, str]]:
    """The slots' containers, and what nginx calls the release of each slot."""
    if not os.path.isdir(params["live_folder"]):
        return canonically_live(observe_world(client, params["platform"], canonical, SLOTS[0]), canonical), {}
    live = LiveFolder(params["live_folder"])
    named = {slot: name for slot in SLOTS if (name := live.release(slot))}
    return observe_world(client, params["platform"], canonical, live.slot()), named


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    canonical = canonical_names(params["platform"], params["services"])
    try:
        with engine.explained("The releases could not be looked at"):
            observed = observe(engine.connect(predicting=module.check_mode), params, canonical)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    listed, sentences = rows(observed, params["keep"]), disagreements(observed, canonical)
    leaving = fading(observed, params["keep"])
    report = (
        as_json(params["host"], listed, sentences, leaving)
        if params["format"] == "json"
        else as_text(listed, sentences, leaving)
    )
    module.exit_json(
        changed=False, erni_report=report, releases=[asdict(row) for row in listed], disagreements=sentences
    )


if __name__ == "__main__":
    main()
