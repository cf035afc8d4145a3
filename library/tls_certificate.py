#!/usr/bin/python
"""Ansible module: the next certificate takes the place of the one that nginx serves, and is seen to be served."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tls_certificate
short_description: Serve the next certificate, or go on with the one before
description:
  - Checks the certificate and the key that lie in C(next) below O(path), puts both in place by one rename, and shakes
    hands with nginx until it serves them. Where it does not, the ones before are in place again.
  - A run that was killed in between is finished by the next.
  - Nothing to do where there is no next certificate and the one in place was seen to be served.
options:
  path: {description: "The folder of certificate and key on the nginx host.", type: path, required: true}
  uid: {description: "User and group that nginx runs as, who owns both.", type: int, required: true}
  names: {description: "Names that the certificate must be valid for.", type: list, elements: str, required: true}
  address:
    description: Address that nginx listens at, as seen from its host; empty asks nobody, before nginx has ever run.
    type: str
    default: ""
  port: {description: "Port for HTTPS there.", type: int, default: 443}
author: ERNI Building Agents operations
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: Users get the next certificate
  tls_certificate:
    path: /var/lib/erni/services/nginx/tls
    uid: 101
    names: [staging.example.org]
    address: 127.0.0.1
    port: 443
"""

RETURN = r"""
actions:
  description: What was done, or would be, as sentences.
  type: list
  elements: str
  returned: always
certificate:
  description: The certificate in place; empty where there is none.
  type: dict
  returned: always
  contains:
    serial: {description: "Its serial number, in hexadecimal.", type: str}
    not_before: {description: "Since when it is valid, ISO 8601 in UTC.", type: str}
    not_after: {description: Until when it is., type: str}
"""

import datetime as dt

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import tls_swap
from ansible.module_utils.erni.errors import PlatformError

ARGUMENT_SPEC = {
    "path": {"type": "path", "required": True},
    "uid": {"type": "int", "required": True},
    "names": {"type": "list", "elements": "str", "required": True},
    "address": {"type": "str", "default": ""},
    "port": {"type": "int", "default": 443},
}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    folder = tls_swap.TlsFolder(params["path"], params["uid"])
    door = tls_swap.Door(params["address"], params["port"], params["names"][0]) if params["address"] else None
    try:
        plan = tls_swap.plan(folder.pairs(), params["names"], dt.datetime.now(dt.UTC).replace(tzinfo=None))
        if plan.changed and not module.check_mode:
            tls_swap.apply(folder, plan, door, tls_swap.served_serial)
        served = folder.pairs().served
    except PlatformError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"The certificate could not be put in place: {error}. {tls_swap.UNHEARD}")
    module.exit_json(
        changed=plan.changed,
        actions=plan.sentences,
        certificate=served.told if served else {},
        diff=plan.diff(params["path"]),
    )


if __name__ == "__main__":
    main()
