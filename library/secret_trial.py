#!/usr/bin/python
"""Ansible module: passwords that are to come open what they should, before anything depends on them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_trial
short_description: Try a password at PostgreSQL, Redis or an image registry
description:
  - Opens a session as the application will, or asks for the images' manifests. Fails with a sentence where that is
    refused. Changes nothing.
options:
  postgres_socket_folder: {description: "Folder of PostgreSQL's socket, empty to leave it out.", type: str, default: ""}
  database: {description: "The application's database.", type: str, default: ""}
  login: {description: "The login to try.", type: str, default: ""}
  owner: {description: "As whom its sessions have to act.", type: str, default: ""}
  redis_socket: {description: "Redis' Unix socket, empty to leave Redis out.", type: str, default: ""}
  images: {description: "References that a registry has to give.", type: list, elements: str, default: []}
  registry_username: {description: "Who asks it.", type: str, default: ""}
  password: {description: "The password to try.", type: str, required: true}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: Redis takes the next password
  secret_trial:
    redis_socket: /var/lib/erni/run/redis/redis.sock
    password: "{{ erni_pending.redis_password.value }}"
"""

RETURN = r"""
tried:
  description: What took the password.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import engine, secret_trial
from ansible.module_utils.erni.errors import PlatformError

ARGUMENT_SPEC = {
    "postgres_socket_folder": {"type": "str", "default": ""},
    "database": {"type": "str", "default": ""},
    "login": {"type": "str", "default": ""},
    "owner": {"type": "str", "default": ""},
    "redis_socket": {"type": "str", "default": ""},
    "images": {"type": "list", "elements": "str", "default": []},
    "registry_username": {"type": "str", "default": ""},
    "password": {"type": "str", "required": True, "no_log": True},
}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    tried = []
    try:
        if params["postgres_socket_folder"]:
            where = (params["postgres_socket_folder"], params["database"])
            secret_trial.login_opens(*where, params["login"], params["password"], params["owner"])
            tried.append(f"login {params['login']}")
        if params["redis_socket"]:
            secret_trial.redis_opens(params["redis_socket"], params["password"])
            tried.append("Redis")
        if params["images"]:
            credentials = {"username": params["registry_username"], "password": params["password"]}
            secret_trial.registry_gives(engine.connect(), params["images"], credentials)
            tried += params["images"]
    except PlatformError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, tried=tried)


if __name__ == "__main__":
    main()
