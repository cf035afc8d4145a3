#!/usr/bin/python
"""Creates the secrets that an environment lacks, in its encrypted file."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: vault_file
short_description: Create missing secrets in an ansible-vault file
description:
  - Keeps a file that C(ansible-vault) encrypts and that holds one mapping, C(erni_secrets), of names to values.
  - Creates the secrets that are specified and missing. One that exists is never replaced.
  - Where a secret manager is named and holds nothing yet, what the file holds is put there, and the file is left.
  - Notes beside them since when they have their values, for M(secret_rotation).
  - Creates the vault password file where neither it nor the vault file exists.
  - Runs on the control node, with the Python that runs Ansible (I(ansible_playbook_python)).
author:
  - The maintainers of this project
options:
  path:
    description: The encrypted file.
    type: path
    required: true
  password_file:
    description: File with the vault password, or an executable that prints it.
    type: path
    required: true
  home:
    description: The secret manager that is the home of the secrets (C(erni_secrets_home)); empty where O(path) is.
    type: dict
    default: {}
  specs:
    description: The secrets that must exist.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name in the mapping.
        type: str
        required: true
      description:
        description: What it is for, in words.
        type: str
      min_length:
        description: Least number of characters that is accepted.
        type: int
        default: 16
      generate_length:
        description: Number of characters of a generated value.
        type: int
        default: 32
      supplied_by_operator:
        description: Whether the value comes from elsewhere. A placeholder is written unless O(autogenerate) is set.
        type: bool
        default: false
      optional:
        description: Whether it may be missing. It is never created then.
        type: bool
        default: false
      must_differ_from:
        description: Name of a secret that must have another value.
        type: str
      rotation:
        description: Where make rotate gets its successor; empty where it is replaced by other means.
        type: str
        choices: ["", generated, supplied]
        default: ""
      key_ring:
        description: Whether its successor is the value with one more key of age.
        type: bool
        default: false
  autogenerate:
    description: Whether to generate values for those that an operator should supply, too.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    description: Shows names, never values.
"""

EXAMPLES = r"""
- name: Every secret exists
  vault_file:
    path: inventories/staging/group_vars/all/vault.yml
    password_file: inventories/staging/.vault_password
    specs:
      - name: db_password
        min_length: 16
  delegate_to: localhost
"""

RETURN = r"""
actions:
  description: What was done (in check mode, would be done), as sentences.
  returned: always
  type: list
  elements: str
created:
  description: Names of the secrets that were created.
  returned: always
  type: list
  elements: str
placeholders:
  description: Names of those that got a placeholder, for the operator to fill in.
  returned: always
  type: list
  elements: str
"""

from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import keyring, secret_homes, secrets
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.keyring import Keyring, created
from ansible.module_utils.erni.vault_store import VaultStore


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    path, password_file = module.params["path"], module.params["password_file"]
    store = secret_homes.store(module.params["home"], path, password_file, module.run_command)
    specs = [secrets.SecretSpec.from_mapping(spec) for spec in module.params["specs"]]
    try:
        existing = store.read()
        moves = False
        if module.params["home"] and not existing:
            existing = store.begin_with(VaultStore(path, password_file, module.run_command))
            moves = bool(existing)
        planned = secrets.plan(specs, existing, module.params["autogenerate"])
        actions = [moved(path, store.place)] * moves + store.sentences(planned)
        changed = moves or planned.changed
        if changed and not module.check_mode:
            made = secrets.create(planned)
            known = Keyring.load(existing, store.beside(keyring.MAPPING))
            names = [spec.name for spec in planned.to_generate] + ([] if existing else [keyring.VAULT_PASSWORD])
            store.write(existing | made, {keyring.MAPPING: created(known, names, datetime.now(UTC)).dump()})
    except PlatformError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=changed,
        actions=actions,
        created=planned.names,
        placeholders=[spec.name for spec in planned.to_ask],
        diff=names_only(store.place, existing, planned),
    )


def moved(path: str, place: str) -> str:
    return f"{place} gets all that {path} holds, whose secrets are not read any more: remove it once make up has passed"


def names_only(path: str, existing: dict[str, Any], planned: secrets.Plan) -> dict[str, str]:
    before = "".join(f"{name}\n" for name in existing)
    after = before + "".join(f"{name}\n" for name in planned.names)
    return {"before_header": path, "after_header": path, "before": before, "after": after}


SPEC_OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "description": {"type": "str"},
    "min_length": {"type": "int", "default": 16},
    "generate_length": {"type": "int", "default": 32},
    "supplied_by_operator": {"type": "bool", "default": False},
    "optional": {"type": "bool", "default": False},
    "must_differ_from": {"type": "str"},
    "key_ring": {"type": "bool", "default": False},
    "rotation": {"type": "str", "choices": ["", "generated", "supplied"], "default": ""},
}

ARGUMENTS: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "required": True},
    # The name makes Ansible suspect a secret; it is a path, and operators want to see it.
    "password_file": {"type": "path", "required": True, "no_log": False},
    "home": {"type": "dict", "default": {}},
    "specs": {"type": "list", "elements": "dict", "required": True, "options": SPEC_OPTIONS},
    "autogenerate": {"type": "bool", "default": False},
}


if __name__ == "__main__":
    main()
