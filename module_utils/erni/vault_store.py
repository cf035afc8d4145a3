"""The encrypted file with an environment's secrets, read and written through the ``ansible-vault`` program.

The program and not Ansible's library, because a module cannot import the controller's half of Ansible.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from .errors import PlatformError
from .files import File, write_atomically
from .secrets import Plan, generate

MAPPING = "erni_secrets"
PASSWORD_LENGTH = 64

RunCommand = Callable[..., tuple[int, str, str]]


class VaultStore:
    """``run_command`` is AnsibleModule's: (arguments, data=standard input) to (exit code, output, errors)."""

    def __init__(self, path: str, password_file: str, run_command: RunCommand) -> None:
        self.path = path
        self._password_file = password_file
        self._run = run_command
        self._document: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        """The secrets; empty where there is no file yet.

        :raises PlatformError: when the file is there and does not open.
        """
        if not os.path.exists(self.path):
            return {}
        document = yaml.safe_load(self._vault("decrypt", "--output", "-", self.path)) or {}
        values = document.get(MAPPING) if isinstance(document, dict) else None
        if not isinstance(values, dict):
            raise PlatformError(f"{self.path} has no mapping '{MAPPING}'", remedy="Mend it with `ansible-vault edit`.")
        self._document = document
        return values

    def sentences(self, planned: Plan) -> list[str]:
        """What :meth:`write` does with the plan's secrets."""
        said = []
        if planned.changed and not os.path.exists(self._password_file):
            said.append(f"{self._password_file} is created, with a new vault password")
        if planned.to_generate:
            names = ", ".join(spec.name for spec in planned.to_generate)
            said.append(f"{self.path} gets generated values for {names}")
        if planned.to_ask:
            names = ", ".join(spec.name for spec in planned.to_ask)
            said.append(f"{self.path} gets placeholders, to be filled in with `ansible-vault edit`, for {names}")
        return said

    def beside(self, mapping: str) -> dict[str, Any]:
        """Another mapping of the file that :meth:`read` has opened; empty where it has none."""
        found = self._document.get(mapping)
        return found if isinstance(found, dict) else {}

    def write(self, values: Mapping[str, Any], beside: Mapping[str, Any] | None = None) -> None:
        """Set the mapping, and those ``beside`` it by their names, and leave what else the file holds.

        The password comes first: killed in between, the next run finds a password and no vault, and goes on.
        """
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        if not os.path.exists(self._password_file):
            write_private(self._password_file, generate(PASSWORD_LENGTH) + "\n")
        document = self._document | {MAPPING: dict(values)} | dict(beside or {})
        text = yaml.safe_dump(document, sort_keys=False, explicit_start=True)
        write_private(self.path, self._vault("encrypt", "--output", "-", data=text))

    def _vault(self, *arguments: str, data: str | None = None) -> str:
        if not os.path.exists(self._password_file):
            raise PlatformError(
                f"{self.path} cannot be opened",
                f"the vault password file {self._password_file} does not exist",
                "Put the password there (mode 0600), or name its file in ERNI_VAULT_PASSWORD_FILE.",
            )
        code, output, errors = self._run(
            [_program(), arguments[0], "--vault-password-file", self._password_file, *arguments[1:]], data=data
        )
        if code != 0:
            raise PlatformError(
                f"The password in {self._password_file} does not {arguments[0]} {self.path}",
                (errors.strip().splitlines() or ["ansible-vault gave no reason"])[-1].removeprefix("[ERROR]: "),
                "Put the password that encrypted it there, or name its file in ERNI_VAULT_PASSWORD_FILE.",
            )
        return output


def write_private(path: str, content: str) -> None:
    """With mode 0600, for the folder's owner: under sudo the operator must be able to read it afterwards, too."""
    folder = os.stat(os.path.dirname(path))
    uid, gid = (folder.st_uid, folder.st_gid) if os.geteuid() == 0 else (-1, -1)
    write_atomically(File(path, content, mode=0o600, uid=uid, gid=gid, secret=True))


def _program() -> str:
    """Beside the interpreter, where a virtual environment has it; otherwise from PATH."""
    beside = os.path.join(os.path.dirname(sys.executable), "ansible-vault")
    return beside if os.path.exists(beside) else shutil.which("ansible-vault") or "ansible-vault"
