#!/usr/bin/python
"""Ansible module: the stores behind the application keep what they should, and refuse whom they should."""

from __future__ import annotations

DOCUMENTATION = r"""
module: data_checks
short_description: Check PostgreSQL, Redis and the published ports of a host
options:
  platform: {description: "Name of the platform.", type: str, required: true}
  allowed_ports: {description: "Ports that its containers may publish here.", type: list, elements: int, default: []}
  redis_socket: {description: "Redis' Unix socket, empty to leave Redis out.", type: str, default: ""}
  redis_password: {description: "Password of the application's user.", type: str, default: ""}
  postgres_socket_folder: {description: "Folder of PostgreSQL's socket, empty to leave it out.", type: str, default: ""}
  postgres_password: {description: "Password of the superuser.", type: str, default: ""}
  database: {description: "The application's database.", type: str, default: ""}
  query: {description: "Counts the messages of a conversation, its parameter.", type: str, default: ""}
  conversation: {description: "The conversation that must be found, empty for none.", type: str, default: ""}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: Redis refuses whom it should
  data_checks:
    platform: erni
    redis_socket: /var/lib/erni/run/redis/redis.sock
    redis_password: "{{ erni_secrets.redis_password }}"
"""

RETURN = r"""
findings:
  description: What is not so, each with C(what), C(why), C(remedy) and C(severity).
  type: list
  elements: dict
  returned: always
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import data_checks, database_apply
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.findings import Finding, as_dicts
from ansible.module_utils.erni.host_facts import read_facts

ARGUMENT_SPEC = {
    "platform": {"type": "str", "required": True},
    "allowed_ports": {"type": "list", "elements": "int", "default": []},
    "redis_socket": {"type": "str", "default": ""},
    "redis_password": {"type": "str", "default": "", "no_log": True},
    "postgres_socket_folder": {"type": "str", "default": ""},
    "postgres_password": {"type": "str", "default": "", "no_log": True},
    "database": {"type": "str", "default": ""},
    "query": {"type": "str", "default": ""},
    "conversation": {"type": "str", "default": ""},
}


def check_database(params: dict[str, Any]) -> list[Finding]:
    """That the server accepts its superuser, and has the message that was sent through nginx."""
    with database_apply.connection(
        params["postgres_socket_folder"], params["database"], "postgres", params["postgres_password"], wait_seconds=5
    ) as connected:
        if not params["conversation"]:
            return []
        if data_checks.stored_messages(connected, params["query"], params["conversation"]):
            return []
    return [
        Finding(
            "The chat message is not in PostgreSQL",
            f"no row belongs to conversation {params['conversation']}",
            "`make logs SERVICE=backend` shows what the backend did with it.",
        )
    ]


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    facts = read_facts([], ["/"])
    findings = data_checks.open_ports(facts, params["platform"], params["allowed_ports"])
    try:
        if params["redis_socket"]:
            findings += data_checks.redis_refusals(params["redis_socket"], params["redis_password"])
        if params["postgres_socket_folder"]:
            findings += check_database(params)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    if findings:
        module.fail_json(msg=f"{len(findings)} things are not as they should be.", findings=as_dicts(findings))
    module.exit_json(changed=False, findings=[])


if __name__ == "__main__":
    main()
