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
from .secret_store import SecretStore
from .secrets import Plan, generate

PASSWORD_LENGTH = 64

RunCommand = Callable[..., tuple[int, str, str]]


class VaultStore(SecretStore):
    """``run_command`` is AnsibleModule's: (arguments, data=standard input) to (exit code, output, errors)."""

    editing = "`ansible-vault edit`"

    def __init__(self, path: str, password_file: str, run_command: RunCommand) -> None:
        super().__init__()
        self.path = self.place = path
        self._password_file = password_file
        self._run = run_command

    def load(self) -> dict[str, Any] | None:
        if not os.path.exists(self.path):
            return None
        document = yaml.safe_load(self._vault("decrypt", "--output", "-", self.path))
        return document if isinstance(document, dict) else {}

    def save(self, document: Mapping[str, Any]) -> None:
        """The password comes first: killed in between, the next run finds a password and no vault, and goes on."""
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        if not os.path.exists(self._password_file):
            write_private(self._password_file, generate(PASSWORD_LENGTH) + "\n")
        text = yaml.safe_dump(dict(document), sort_keys=False, explicit_start=True)
        write_private(self.path, self._vault("encrypt", "--output", "-", data=text))

    def sentences(self, planned: Plan) -> list[str]:
        created = planned.changed and not os.path.exists(self._password_file)
        said = [f"{self._password_file} is created, with a new vault password"] if created else []
        return said + super().sentences(planned)

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
