#!/usr/bin/python
"""Ansible module: the platform works for a user, seen from outside through nginx."""

from __future__ import annotations

DOCUMENTATION = r"""
module: user_journey
short_description: Check through the proxy what a user and an operator may expect
options:
  hostname: {description: "Public name; the certificate must be valid for it.", type: str, required: true}
  address: {description: "Where to connect to.", type: str, default: 127.0.0.1}
  http_port: {description: "Plain port.", type: int, default: 80}
  https_port: {description: "TLS port.", type: int, default: 443}
  authority: {description: "PEM file of the authority to trust, empty for the system's.", type: str, default: ""}
  public_url: {description: "What the plain port redirects to.", type: str, required: true}
  page_text: {description: "Text that the page holds.", type: str, default: ERNI}
  release: {description: "Release that should serve, empty to accept any.", type: str, default: ""}
  readiness: {description: "Whether the application must be ready.", type: bool, default: true}
  chat: {description: "Whether to send a chat message. It is stored.", type: bool, default: false}
  patience: {description: "Seconds in which what is not so is asked again.", type: float, default: 0.0}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The platform works for a user
  user_journey:
    hostname: localhost
    https_port: 8443
    http_port: 8080
    public_url: https://localhost:8443
    authority: /var/lib/erni/authority/ca.crt
"""

RETURN = r"""
passed:
  description: What was found to be so, as sentences.
  type: list
  elements: str
  returned: always
conversation:
  description: Id of the conversation that was started, empty for none.
  type: str
  returned: always
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni.findings import Finding, as_dicts
from ansible.module_utils.erni.probe import Site
from ansible.module_utils.erni.user_journey import Expectations, travel

ARGUMENT_SPEC = {
    "hostname": {"type": "str", "required": True},
    "address": {"type": "str", "default": "127.0.0.1"},
    "http_port": {"type": "int", "default": 80},
    "https_port": {"type": "int", "default": 443},
    "authority": {"type": "str", "default": ""},
    "public_url": {"type": "str", "required": True},
    "page_text": {"type": "str", "default": "ERNI"},
    "release": {"type": "str", "default": ""},
    "readiness": {"type": "bool", "default": True},
    "chat": {"type": "bool", "default": False},
    "patience": {"type": "float", "default": 0.0},
}


def fail(module: AnsibleModule, findings: list[Finding], passed: list[str]) -> None:
    total = len(findings) + len(passed)
    msg = f"{len(findings)} of {total} things that a user may expect are not so."
    module.fail_json(msg=msg, findings=as_dicts(findings), passed=passed)


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    authority = params["authority"]
    if authority and not os.path.exists(authority) and not module.check_mode:
        fail(module, [Finding(f"The authority {authority} does not exist", "", "Run make up, which makes it.")], [])
    site = Site(params["hostname"], params["address"], params["http_port"], params["https_port"], authority)
    chat = params["chat"] and not module.check_mode
    patience = 0.0 if module.check_mode else params["patience"]
    expected = Expectations(
        params["public_url"], params["page_text"], params["release"], params["readiness"], chat, patience
    )
    journey = travel(site, expected)
    outcome = {"changed": False, "passed": journey.passed, "conversation": journey.conversation}
    if journey.findings and not module.check_mode:  # what is only predicted answers nobody yet
        fail(module, journey.findings, journey.passed)
    module.exit_json(**outcome)


if __name__ == "__main__":
    main()
