"""Action: find out what ``RELEASE=`` means, and have its files here, before a host is asked for anything.

Runs on the control node alone, once for all hosts, so that a branch that moves meanwhile is one commit to all of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ansible.module_utils
from ansible.plugins.action import ActionBase

# On the control node the project's logic is found under the name that it has inside modules, too.
ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.erni import release_tree
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.release_source import GitRef, Images, Inventory, parse
from ansible.module_utils.erni.settings_preflight import FILL_IN


class ActionModule(ActionBase):
    """Arguments: ``wanted`` (as it was typed), ``repository`` (URL or path, or ''), ``root`` (the project's folder,
    from which a relative path is seen), ``folder`` (for mirrors and trees). The task says ``run_once: true``.
    Facts: ``release_origin`` (``inventory``, ``images`` or ``git:<commit>``), ``release_commit`` ('' unless from git),
    and what of the inventory's variables the release overrides."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        if (
            not self._task.run_once
        ):  # facts of a task that runs once reach all hosts; asked twice, git may say two things
            return result | {"failed": True, "msg": "The task release_source needs run_once: true."}
        try:
            facts = self._facts(parse(self._task.args.get("wanted") or ""))
        except PlatformError as error:
            return result | {"failed": True, "msg": str(error)}
        return result | {"changed": False, "ansible_facts": facts}

    def _facts(self, wanted: Inventory | GitRef | Images) -> dict[str, str]:
        match wanted:
            case Images(backend, frontend):
                given = {"backend_image": backend, "frontend_image": frontend}
                return {"release_origin": "images", "release_commit": "", **given}
            case GitRef(name):
                return self._from_git(name)
            case Inventory():
                return {"release_origin": "inventory", "release_commit": ""}

    def _from_git(self, name: str) -> dict[str, str]:
        root, folder = (os.path.abspath(self._task.args[argument]) for argument in ("root", "folder"))
        source = release_tree.obtain(self._repository(name), name, folder, root)
        facts = {
            "release_origin": f"git:{source.commit}",
            "release_commit": source.commit,
            "platform_application_root": source.folder,
            # A reference that the inventory gives would be pulled instead of what is to be built.
            "backend_image": "",
            "frontend_image": "",
        }
        return facts | ({"platform_schema_file": source.schema} if source.schema else {})

    def _repository(self, name: str) -> str:
        repository = str(self._task.args.get("repository") or "").strip()
        if not repository or FILL_IN in repository:
            raise PlatformError(
                f"RELEASE={name} cannot be looked up",
                "the variable release_repository is not set",
                "Set it in the inventory to the URL or the path of the product's repository.",
            )
        return repository
