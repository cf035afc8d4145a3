"""The vault's own password: a new one, and the vault file encrypted with it.

Two files have to change. The next password is written beside the one in use first, then the vault is replaced by one
that the next password opens, and then the next becomes the one in use. Killed before the vault is replaced, the former
password opens it; after that the next one does, and whoever opens the vault finds it (:func:`settle`).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import yaml
from ansible.module_utils.erni import keyring
from ansible.module_utils.erni.files import sync_folder
from ansible.module_utils.erni.keyring import Keyring
from ansible.module_utils.erni.secrets import generate
from ansible.module_utils.erni.vault_store import PASSWORD_LENGTH, write_private

from .environment import Environment
from .errors import PlatformError

NAME = keyring.VAULT_PASSWORD
# In the vault itself: what opens the vault files of older backup sets.
FORMER = "erni_former_vault_passwords"


def next_file(environment: Environment) -> Path:
    """Where the next password is while the two files change."""
    return environment.vault_password_file.with_name(f"{environment.vault_password_file.name}.next")


def rekey(environment: Environment) -> str:
    """Replace the password, and tell in a sentence what was done.

    :raises PlatformError: where it comes from a program, or there is no vault that it opens.
    """
    from . import vault  # which needs this module to open what a killed run has left

    if vault.home(environment):
        raise PlatformError(
            f"{environment.name} has no vault password to replace",
            "its secrets are in a secret manager (erni_secrets_home)",
            "Change there who may open them.",
        )
    password_file, vault_file = environment.vault_password_file, environment.vault_file
    if not vault_file.exists():
        raise PlatformError(f"{environment.name} has no vault yet", f"{vault_file} does not exist", "Run make secrets.")
    if os.access(password_file, os.X_OK):
        raise PlatformError(
            f"The vault password of '{environment.name}' cannot be replaced",
            f"the program {password_file} tells it",
            f"Change it where the program has it from, and run ansible-vault rekey {vault_file}.",
        )
    content = yaml.safe_load(vault.decrypted(environment)) or {}
    former = password_file.read_text(encoding="utf-8").strip()
    if not next_file(environment).exists():
        _write(next_file(environment), f"{generate(PASSWORD_LENGTH)}\n")
    known = [one for one in content.get(FORMER, []) if one != former]
    ring = Keyring.load({}, content.get(keyring.MAPPING) or {})
    dated = keyring.password_replaced(ring, datetime.now(UTC)).dump()
    changed = content | {FORMER: [*known, former], keyring.MAPPING: dated}
    text = yaml.safe_dump(changed, sort_keys=False, explicit_start=True)
    _write(vault_file, vault.encrypted(text.encode(), next_file(environment)))
    settle(environment)
    return (
        f"{vault_file} is encrypted with a new password, which is in {password_file}: keep a copy where your team "
        f"keeps such things. The former one is in the vault ({FORMER}), since it opens those of older backup sets."
    )


def settle(environment: Environment) -> None:
    """The next password is the one in use: the vault is encrypted with it already."""
    os.replace(next_file(environment), environment.vault_password_file)
    sync_folder(str(environment.vault_password_file.parent))


def _write(path: Path, content: str) -> None:
    try:
        write_private(str(path), content)
    except OSError as error:
        raise PlatformError(
            "The vault password was not replaced", f"{path} cannot be written: {error}", "Mend that, and run it again."
        ) from error
