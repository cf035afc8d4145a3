#!/usr/bin/python
"""Ansible module: images that this host has built are in a registry, from which the other hosts pull them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_push
short_description: A release's images are in a registry, known by digest
description:
  - Runs on the host that has built them. Each image goes to C(<repository>/<service>:<tag of its content>).
  - What the registry has already is not pushed again.
  - In check mode an image that is still to be pushed is told by its tag, as its digest is not known yet.
options:
  references: {description: "Images on this host, by service.", type: dict, required: true}
  repository: {description: "Prefix in the registry, with its host.", type: str, required: true}
  credentials: {description: "Registry credentials, C(username) and C(password).", type: dict, default: {}}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The other hosts can pull what this one has built
  release_push:
    references: {backend: "{{ platform_image_refs.backend }}", frontend: "{{ platform_image_refs.frontend }}"}
    repository: "{{ release_push_repository }}"
    credentials: "{{ __platform_credentials }}"
  register: pushed
"""

RETURN = r"""
references:
  description: References by digest, by service.
  type: dict
  returned: always
actions:
  description: What was pushed, or would be, as sentences.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import engine, image_push
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.image_build import BUILD_TIMEOUT

ARGUMENT_SPEC = {
    "references": {"type": "dict", "required": True},
    "repository": {"type": "str", "required": True},
    "credentials": {"type": "dict", "default": {}, "no_log": True},
}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    images, credentials = module.params["references"], module.params["credentials"]
    try:
        client = engine.connect(BUILD_TIMEOUT, predicting=module.check_mode)
        wanted = image_push.targets(images, module.params["repository"])
        pushed = image_push.observe_pushed(client, wanted, credentials)
        plan = image_push.plan_push(wanted, pushed)
        if not module.check_mode:
            for service in [action.subject for action in plan.actions]:
                pushed[service] = image_push.push(client, images[service], wanted[service], credentials)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=plan.changed, references=wanted | pushed, actions=plan.sentences, diff=plan.diff("registry")
    )


if __name__ == "__main__":
    main()
