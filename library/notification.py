#!/usr/bin/python
"""Ansible module: people know that a release begins, has ended, has failed or was rolled back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: notification
short_description: Tell people about a release, by webhook and by e-mail
description:
  - Never fails because of what it cannot send. Each way that did not work is a warning.
  - Runs on the control node, which has the way out. Reports no change, and sends nothing in check mode.
options:
  event:
    description: What has happened.
    type: str
    choices: [started, succeeded, failed, rolled_back, reminder]
    required: true
  environment_name: {description: "In which environment.", type: str, required: true}
  verb: {description: "The verb that runs.", type: str, required: true}
  operator: {description: "Who runs it.", type: str, required: true}
  release: {description: "The release that it is about.", type: str, default: ""}
  from_release: {description: "The release that served before.", type: str, default: ""}
  reason: {description: "Why, in the operator's words.", type: str, default: ""}
  seconds: {description: "How long it took.", type: float, default: 0.0}
  error: {description: "Why it failed, as a sentence.", type: str, default: ""}
  webhook: {description: "URL of an incoming webhook, empty for none.", type: str, default: ""}
  email_to: {description: "Addresses, empty to send no e-mail.", type: list, elements: str, default: []}
  email_from: {description: "The sender's address.", type: str, default: ""}
  smtp:
    description: The mail server that takes the e-mail.
    type: dict
    default: {}
    suboptions:
      host: {description: "Its name.", type: str, default: ""}
      port: {description: "Its port.", type: int, default: 587}
      security:
        description: Encryption after a greeting, from the first byte, or none.
        type: str
        choices: [starttls, tls, plain]
        default: starttls
      username: {description: "Empty where it asks for none.", type: str, default: ""}
  smtp_password: {description: "Password of that user.", type: str, default: ""}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The team knows
  notification:
    event: succeeded
    environment_name: staging
    verb: deploy
    operator: deployer
    release: 0123456789ab
    seconds: 31.5
    webhook: "{{ erni_secrets.notify_webhook }}"
  delegate_to: localhost
"""

RETURN = r"""
sent:
  description: The ways that worked, C(webhook) and C(e-mail).
  type: list
  elements: str
  returned: always
headline:
  description: What was told, in a sentence.
  type: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni.notification import EVENTS, Notice, headline
from ansible.module_utils.erni.notification_send import Delivery, MailServer, Targets, notify

ARGUMENT_SPEC = {
    "event": {"type": "str", "choices": list(EVENTS), "required": True},
    "environment_name": {"type": "str", "required": True},
    "verb": {"type": "str", "required": True},
    "operator": {"type": "str", "required": True},
    "release": {"type": "str", "default": ""},
    "from_release": {"type": "str", "default": ""},
    "reason": {"type": "str", "default": ""},
    "seconds": {"type": "float", "default": 0.0},
    "error": {"type": "str", "default": ""},
    "webhook": {"type": "str", "default": "", "no_log": True},
    "email_to": {"type": "list", "elements": "str", "default": []},
    "email_from": {"type": "str", "default": ""},
    "smtp": {
        "type": "dict",
        "default": {},
        "options": {
            "host": {"type": "str", "default": ""},
            "port": {"type": "int", "default": 587},
            "security": {"type": "str", "choices": ["starttls", "tls", "plain"], "default": "starttls"},
            "username": {"type": "str", "default": ""},
        },
    },
    "smtp_password": {"type": "str", "default": "", "no_log": True},
}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    notice = Notice(
        event=params["event"],
        environment=params["environment_name"],
        verb=params["verb"],
        operator=params["operator"],
        release=params["release"],
        from_release=params["from_release"],
        reason=params["reason"],
        seconds=params["seconds"],
        error=params["error"],
    )
    server = MailServer(**params["smtp"], password=params["smtp_password"])
    targets = Targets(params["webhook"].strip(), tuple(params["email_to"]), params["email_from"], server)
    delivery = Delivery() if module.check_mode else notify(notice, targets)
    module.exit_json(changed=False, headline=headline(notice), sent=delivery.sent, warnings=delivery.warnings)


if __name__ == "__main__":
    main()
