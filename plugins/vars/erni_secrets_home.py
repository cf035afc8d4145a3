"""Vars: an environment's secrets from the manager that ``erni_secrets_home`` names, as if from its vault file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ansible.module_utils
from ansible.errors import AnsibleError
from ansible.inventory.group import Group
from ansible.plugins.vars import BaseVarsPlugin

# On the control node the project's logic is found under the name that it has inside modules, too.
ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.erni import group_variables, secret_homes
from ansible.module_utils.erni.errors import PlatformError

DOCUMENTATION = """
name: erni_secrets_home
short_description: An environment's secrets from a secret manager
description:
  - Where the variable C(erni_secrets_home) of an inventory's C(group_vars/all) names a home, its document is read
    there, once a run, and gives the group C(all) its variables.
  - The variable is a literal; Jinja is not evaluated in it.
options: {}
"""

VARIABLE = "erni_secrets_home"
_documents: dict[str, dict[str, Any]] = {}


class VarsModule(BaseVarsPlugin):
    REQUIRES_ENABLED = True  # by ansible.cfg, which says in which order

    def get_vars(self, loader: Any, path: str, entities: Any) -> dict[str, Any]:
        super().get_vars(loader, path, entities)
        wanted = entities if isinstance(entities, list) else [entities]
        if not any(isinstance(entity, Group) and entity.name == "all" for entity in wanted):
            return {}
        if path not in _documents:
            _documents[path] = _document(Path(path))
        return _documents[path]


def _document(inventory: Path) -> dict[str, Any]:
    settings = group_variables.plain(inventory / "group_vars" / "all", VARIABLE, {})
    if not settings:
        return {}
    try:
        return secret_homes.opened(settings).load() or {}
    except PlatformError as error:
        raise AnsibleError(str(error)) from error
