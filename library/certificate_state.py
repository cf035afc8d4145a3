#!/usr/bin/python
"""Ansible module: what a server certificate on the host is good for. It changes nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_state
short_description: Tell whether a server certificate is there, fits its key, covers its names and lasts
options:
  chain: {description: "PEM file with the certificate first.", type: path, required: true}
  key: {description: "PEM file with its key.", type: path, required: true}
  names: {description: "Names that it must be valid for.", type: list, elements: str, required: true}
  min_days: {description: "Days that it must last.", type: int, default: 30}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The certificate is known
  certificate_state:
    chain: /var/lib/erni/services/nginx/tls/fullchain.pem
    key: /var/lib/erni/services/nginx/tls/privkey.pem
    names: [localhost]
"""

RETURN = r"""
problems:
  description: Why it has to be issued anew, as sentences.
  type: list
  elements: str
  returned: always
missing:
  description: Whether there is none.
  type: bool
  returned: always
self_issued:
  description: Whether the platform's local authority issued it.
  type: bool
  returned: always
actions:
  description: What a run would do about it, as sentences.
  type: list
  elements: str
  returned: always
"""

import datetime

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import certificate
from ansible.module_utils.erni.errors import PlatformError

ARGUMENT_SPEC = {
    "chain": {"type": "path", "required": True},
    "key": {"type": "path", "required": True, "no_log": False},
    "names": {"type": "list", "elements": "str", "required": True},
    "min_days": {"type": "int", "default": 30},
}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    try:
        found = certificate.read(params["chain"], params["key"])
    except PlatformError as error:
        module.fail_json(msg=str(error))
    problems = certificate.problems(found, params["names"], params["min_days"], now)
    names = ", ".join(params["names"])
    module.exit_json(
        changed=bool(problems),
        problems=problems,
        missing=found is None,
        self_issued=bool(found and found.self_issued),
        actions=[f"a certificate for {names} is issued: {'; '.join(problems)}"] if problems else [],
    )


if __name__ == "__main__":
    main()
