"""Action: name the images of a host's services by their content, and have them present there.

Runs on the control node, where the build contexts are; the module of the same name acts on the host. Contexts
travel only when something has to be built.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import ansible.module_utils
from ansible.plugins.action import ActionBase

# On the control node the project's logic is found under the name that it has inside modules, too.
ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.erni import build_context
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.files import digest
from ansible.module_utils.erni.image_plan import NamedBuild, builds_from_mapping, name_builds, waves, with_parents

DEBIAN = "debian"


class ActionModule(ActionBase):
    """Arguments: ``services`` (all that get a reference), ``wanted`` (those whose images this host needs), ``images``
    (mapping), ``root``, ``prefix``, ``bundle`` (path or ''), ``debian_image``, ``debian_suite``, ``environment`` (proxy
    variables for builds), ``given`` (references that are pulled, by name), ``credentials``.
    Result: ``references`` by name, also as fact ``platform_image_refs``."""

    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._task.args
        wanted = arguments["wanted"]
        given = {name: reference for name, reference in arguments.get("given", {}).items() if reference}
        try:
            named = {n.build.name: n for n in self._named([s for s in arguments["services"] if s not in given])}
            needed = with_parents({n.build.name: n.build for n in named.values()}, [s for s in wanted if s in named])
        except PlatformError as error:
            return result | {"failed": True, "msg": str(error)}
        pulled = self._pull({name: reference for name, reference in given.items() if name in wanted}, task_vars)
        built = self._build([named[name] for name in needed], task_vars) if not pulled.get("failed") else {}
        if pulled.get("failed") or built.get("failed"):
            return result | (pulled if pulled.get("failed") else built)
        references = {name: n.reference for name, n in named.items()} | given
        return result | {
            "changed": pulled.get("changed", False) or built.get("changed", False),
            "actions": pulled.get("actions", []) + built.get("actions", []),
            "diff": [part["diff"] for part in (pulled, built) if part.get("changed")],
            "references": references,
            "ansible_facts": {"platform_image_refs": references},
        }

    def _named(self, wanted: list[str]) -> list[NamedBuild]:
        arguments = self._task.args
        bundle = self._bundle()
        builds = builds_from_mapping(arguments["images"])
        return name_builds(
            builds,
            wanted,
            lambda context: build_context.digest_of(os.path.join(arguments["root"], context)) if context else DEBIAN,
            digest(bundle) if bundle else "",
            arguments["prefix"],
        )

    def _bundle(self) -> bytes:
        path = self._task.args.get("bundle") or ""
        if not path:
            return b""
        try:
            return build_context.read_bundle(path)
        except OSError as error:
            raise PlatformError(
                f"The certificate bundle {path} cannot be read",
                str(error.strerror),
                "Correct trusted_ca_bundle; it is a path on the control node.",
            ) from error

    def _module(self, arguments: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        outcome: dict[str, Any] = self._execute_module(
            module_name="service_images", module_args=arguments, task_vars=task_vars
        )
        return outcome

    def _pull(self, given: dict[str, str], task_vars: Any) -> dict[str, Any]:
        if not given:
            return {}
        credentials = self._task.args.get("credentials") or {}
        return self._module(
            {"references": sorted(set(given.values())), "pull": True, "credentials": credentials}, task_vars
        )

    def _build(self, named: list[NamedBuild], task_vars: Any) -> dict[str, Any]:
        if not named:
            return {}
        references = [n.reference for n in named]
        by_name = {n.build.name: n.reference for n in named}
        wished = self._task.args.get("aliases") or {}
        aliases = {alias: by_name[name] for alias, name in wished.items() if name in by_name}
        looked = self._module({"references": references, "aliases": aliases}, task_vars)
        if looked.get("failed") or not looked["missing"] or self._task.check_mode:
            return looked
        missing = [n for n in named if n.reference in looked["missing"]]
        order: dict[str, Any] = {"references": references, "aliases": aliases, "waves": []}
        for wave in waves([n for n in missing if n.build.context]):
            order["waves"].append([self._order(n) for n in wave])
        base = next((n for n in missing if not n.build.context), None)
        if base is not None:
            order["bootstrap_base"] = {
                "reference": base.reference,
                "pullable": self._task.args.get("debian_image") or "",
                "suite": self._task.args.get("debian_suite") or "bookworm",
            }
        return self._module(order, task_vars)

    def _order(self, named: NamedBuild) -> dict[str, Any]:
        """Send the context to the host and say how to build it."""
        root = os.path.join(self._task.args["root"], named.build.context)
        bundle = self._bundle() if named.build.trusts_bundle else None
        with tempfile.NamedTemporaryFile(suffix=".tar") as local:
            local.write(build_context.archive(root, bundle))
            local.flush()
            self._ensure_temporary_folder()
            remote = self._connection._shell.join_path(
                self._connection._shell.tmpdir, f"{named.build.name}-{named.reference.rsplit(':', 1)[-1]}.tar"
            )
            self._transfer_file(local.name, remote)
            self._fixup_perms2([self._connection._shell.tmpdir, remote])
        proxies = self._task.args.get("environment") or {}
        return {
            "reference": named.reference,
            "context": remote,
            "arguments": {k: v for k, v in proxies.items() if v} | named.arguments,
        }

    def _ensure_temporary_folder(self) -> None:
        if self._connection._shell.tmpdir is None:
            self._make_tmp_path()
