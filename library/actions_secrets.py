#!/usr/bin/python
"""Copies secrets to GitHub Actions, sealed, where those there are older."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: actions_secrets
short_description: Keep GitHub Actions' copies of secrets as new as the originals
description:
  - Sends the values that were written there before they became what they are here. GitHub gives none back, so its
    times are all there is to compare.
  - Runs on the control node, with the Python that runs Ansible (I(ansible_playbook_python)).
author:
  - The maintainers of this project
options:
  url: {description: Address of the REST API., type: str, default: "https://api.github.com"}
  repository: {description: The repository as C(owner/name)., type: str, required: true}
  environment: {description: "One of its environments, empty for none: whose secrets.", type: str, default: ""}
  token: {description: A token with the right to write secrets., type: str, required: true}
  values: {description: "Values, by the names that they have there.", type: dict, required: true}
  since: {description: "Since when each has its value, by the same names.", type: dict, default: {}}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    description: Shows names, never values.
"""

EXAMPLES = r"""
- name: The workflows have the password that is in use
  actions_secrets:
    repository: erni/building-agents
    token: "{{ erni_secrets.github_token }}"
    values: {DB_PASSWORD: "{{ erni_secrets.db_password }}"}
    since: {DB_PASSWORD: "2026-01-07T12:00:00Z"}
  delegate_to: localhost
"""

RETURN = r"""
actions:
  description: What was sent (in check mode, would be), as sentences.
  returned: always
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni.actions_secrets import GitHub, Repository, plan
from ansible.module_utils.erni.errors import PlatformError

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "url": {"type": "str", "default": "https://api.github.com"},
    "repository": {"type": "str", "required": True},
    "environment": {"type": "str", "default": ""},
    "token": {"type": "str", "required": True, "no_log": True},
    "values": {"type": "dict", "required": True, "no_log": True},
    "since": {"type": "dict", "default": {}},
}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    values = {name: str(value) for name, value in params["values"].items()}
    repository = Repository(params["url"], params["repository"], params["environment"], params["token"])
    try:
        github = GitHub(repository)
        made = plan({name: str(params["since"].get(name) or "") for name in values}, github.written())
        if made.changed and not module.check_mode:
            github.send({action.subject: values[action.subject] for action in made.actions})
    except PlatformError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=made.changed, actions=made.sentences, diff=made.diff(params["repository"]))


if __name__ == "__main__":
    main()
