#!/usr/bin/python
"""Ansible module: the images that a host's services need are present on it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_images
short_description: Images are present on the host, built from contexts or pulled from a registry
description:
  - The host's half of the action of the same name, which names images by their content on the control node.
  - Without O(waves) and O(bootstrap_base) it only tells which of O(references) are missing.
options:
  references: {description: "Images that must be present.", type: list, elements: str, default: []}
  bootstrap_base:
    description: The Debian base image to make when it is missing.
    type: dict
    suboptions:
      reference: {description: "Its name on the host.", type: str, required: true}
      pullable: {description: "Image to pull in its place where that works.", type: str, default: ""}
      suite: {description: "Debian release.", type: str, default: bookworm}
  waves:
    description: Images to build, in groups; each has C(reference), C(context), C(arguments).
    type: list
    elements: list
    default: []
  aliases: {description: "Further names, each with its reference, where they are free.", type: dict, default: {}}
  pull: {description: "Whether missing references are pulled.", type: bool, default: false}
  credentials: {description: "Registry credentials, C(username) and C(password).", type: dict, default: {}}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The services' images are present
  service_images:
    pull: true
    references: ["{{ postgres_image }}"]
"""

RETURN = r"""
missing:
  description: References that were not present before.
  type: list
  elements: str
  returned: always
actions:
  description: What was done, or would be, as sentences.
  type: list
  elements: str
  returned: always
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import engine, image_build
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.image_plan import plan_aliases, plan_images

ARGUMENT_SPEC = {
    "references": {"type": "list", "elements": "str", "default": []},
    "bootstrap_base": {
        "type": "dict",
        "options": {
            "reference": {"type": "str", "required": True},
            "pullable": {"type": "str", "default": ""},
            "suite": {"type": "str", "default": "bookworm"},
        },
    },
    "waves": {"type": "list", "elements": "list", "default": []},
    "aliases": {"type": "dict", "default": {}},
    "pull": {"type": "bool", "default": False},
    "credentials": {"type": "dict", "default": {}, "no_log": True},
}


def apply(client: Any, params: dict[str, Any], missing: list[str]) -> None:
    base = params["bootstrap_base"]
    if base and not engine.image_id(client, base["reference"]):
        image_build.bootstrap(client, base["reference"], base["pullable"], base["suite"])
    image_build.build_all(params["waves"])
    if params["pull"]:
        for reference in missing:
            image_build.pull(client, reference, params["credentials"])


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    try:
        client = engine.connect(image_build.BUILD_TIMEOUT, predicting=module.check_mode)
        present = image_build.present_images(client, [*params["references"], *params["aliases"]])
        plan = plan_images(params["references"], present, "pulled" if params["pull"] else "built")
        missing = [action.subject for action in plan.actions]
        tags = plan_aliases(params["aliases"], present)
        # A first call that only asks what is missing brings neither contexts nor leave to pull.
        acting = bool(not missing or params["waves"] or params["bootstrap_base"] or params["pull"])
        if acting and not module.check_mode:
            apply(client, params, missing)
            image_build.tag(client, {action.subject: params["aliases"][action.subject] for action in tags.actions})
        plan.extend(tags)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=plan.changed, missing=missing, actions=plan.sentences, diff=plan.diff("images"))


if __name__ == "__main__":
    main()
