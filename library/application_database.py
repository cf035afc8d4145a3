#!/usr/bin/python
"""Ansible module: the application's roles, database, extensions and schema are as they should be."""

from __future__ import annotations

DOCUMENTATION = r"""
module: application_database
short_description: The application's roles, database, extensions and schema exist
description:
  - One call in place of a dozen, over the server's Unix socket, so that nothing needs to be published.
  - Passwords travel as SCRAM verifiers, the schema file is applied once, in one transaction with its ledger entry.
options:
  socket_folder: {description: "Host folder with the server's Unix socket.", type: path, required: true}
  admin: {description: "Superuser.", type: str, default: postgres}
  admin_password: {description: "Its password.", type: str, required: true}
  name: {description: "Database.", type: str, required: true}
  owner: {description: "Role without login that owns it.", type: str, required: true}
  logins:
    description:
      - Roles that connect and act as the owner; one without a password may not log in, and its sessions end.
      - Sessions of one that gets another password end, too, unless it is O(serving_login).
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: "Role.", type: str, required: true}
      password: {description: "Its password, empty for none.", type: str, default: ""}
  serving_login: {description: "The one that the application uses now.", type: str, default: ""}
  extensions: {description: "Extensions of the database.", type: list, elements: str, default: []}
  schema_name: {description: "Name under which the schema is recorded.", type: str, default: init_db.sql}
  schema: {description: "Statements that make the schema, empty for none.", type: str, default: ""}
  server_expected: {description: "False where it may not exist yet, in a check.", type: bool, default: true}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The application's database exists
  application_database:
    socket_folder: /var/lib/erni/run/postgres
    admin_password: "{{ erni_secrets.postgres_superuser_password }}"
    name: erni_agents
    owner: erni_user
    logins: [{name: erni_app_a, password: "{{ erni_secrets.db_password }}"}]
"""

RETURN = r"""
actions:
  description: What was done, or would be, as sentences.
  type: list
  elements: str
  returned: always
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import database_apply, scram
from ansible.module_utils.erni.database_plan import (
    DatabaseSpec,
    DatabaseState,
    Login,
    check_identifiers,
    plan_database,
    schema_warning,
)
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.files import digest

ARGUMENT_SPEC = {
    "socket_folder": {"type": "path", "required": True},
    "admin": {"type": "str", "default": "postgres"},
    "admin_password": {"type": "str", "required": True, "no_log": True},
    "name": {"type": "str", "required": True},
    "owner": {"type": "str", "required": True},
    "logins": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "password": {"type": "str", "default": "", "no_log": True},
        },
    },
    "serving_login": {"type": "str", "default": ""},
    "extensions": {"type": "list", "elements": "str", "default": []},
    "schema_name": {"type": "str", "default": "init_db.sql"},
    "schema": {"type": "str", "default": ""},
    "server_expected": {"type": "bool", "default": True},
}


def spec_from(params: dict[str, Any]) -> DatabaseSpec:
    spec = DatabaseSpec(
        name=params["name"],
        owner=params["owner"],
        logins=tuple(
            Login(login["name"], login["password"], login["name"] == params["serving_login"])
            for login in params["logins"]
        ),
        extensions=tuple(params["extensions"]),
        schema_name=params["schema_name"],
        schema_digest=digest(params["schema"]) if params["schema"].strip() else "",
    )
    check_identifiers(spec)
    return spec


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params

    def connect(database: str) -> Any:
        return database_apply.connection(params["socket_folder"], database, params["admin"], params["admin_password"])

    try:
        spec = spec_from(params)
        if not params["server_expected"] and module.check_mode:
            plan = plan_database(spec, DatabaseState(), scram.matches)
            module.exit_json(changed=plan.changed, actions=plan.sentences, diff=plan.diff(spec.name))
        with connect(database_apply.MAINTENANCE_DATABASE) as maintenance:
            state = database_apply.observe_cluster(maintenance, spec)
            if state.database_owner:
                with connect(spec.name) as application:
                    state = database_apply.observe_database(application, spec, state)
            plan = plan_database(spec, state, scram.matches)
            if plan.changed and not module.check_mode:
                change = database_apply.DatabaseChange(spec, params["schema"], maintenance, lambda: connect(spec.name))
                change.run(plan)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    warning = schema_warning(spec, state)
    module.exit_json(
        changed=plan.changed,
        actions=plan.sentences,
        diff=plan.diff(f"database {spec.name}"),
        warnings=[warning] if warning else [],
    )


if __name__ == "__main__":
    main()
