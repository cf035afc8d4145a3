"""The environment's secrets, looked at before Ansible starts: a wrong password is a sentence, not a traceback."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.erni import keyring, secret_homes
from ansible.module_utils.erni.keyring import Keyring

from . import rekey
from .environment import Environment, group_variable
from .errors import PlatformError


def missing_secrets(environment: Environment) -> list[str]:
    """Names of the specified secrets that the environment must have and does not, after proving that the password fits.

    :raises PlatformError: when the vault file cannot be read.
    """
    specs = group_variable(environment, "erni_secret_specs", [])
    existing = read_secrets(environment)
    return [spec["name"] for spec in specs if spec["name"] not in existing and not spec.get("optional")]


def read_keyring(environment: Environment) -> Keyring:
    """The secrets with what is known of their succession."""
    content = _content(environment)
    return Keyring.load(_secrets_in(content, environment), content.get(keyring.MAPPING) or {})


def read_secrets(environment: Environment) -> dict[str, Any]:
    """The decrypted mapping ``erni_secrets``; empty when there is no vault file."""
    return _secrets_in(_content(environment), environment)


def home(environment: Environment) -> dict[str, Any]:
    """Where the secrets are instead of in the vault file; empty where they are there."""
    return dict(group_variable(environment, "erni_secrets_home", {}) or {})


def _content(environment: Environment) -> dict[str, Any]:
    """Of the secrets' home, or of the vault file, decrypted."""
    if settings := home(environment):
        store = secret_homes.opened(settings)
        return {"erni_secrets": store.read(), keyring.MAPPING: store.beside(keyring.MAPPING)}
    content = yaml.safe_load(decrypted(environment)) if environment.vault_file.exists() else {}
    return content if isinstance(content, dict) else {}


def _secrets_in(content: dict[str, Any], environment: Environment) -> dict[str, Any]:
    secrets = content.get("erni_secrets", {} if not environment.vault_file.exists() else None)
    if not isinstance(secrets, dict):
        raise PlatformError(
            f"{environment.vault_file} has no mapping 'erni_secrets'",
            remedy=f"Mend it with `ansible-vault edit {environment.vault_file}`.",
        )
    return secrets


def decrypted(environment: Environment) -> bytes:
    """What the vault file holds. Where a run that replaced the password was killed, its end comes first.

    :raises PlatformError: when the file is not encrypted, or the password does not open it.
    """
    text = environment.vault_file.read_bytes()
    password_file = environment.vault_password_file
    _refuse_what_cannot_be_opened(environment, text)
    content = _opened(text, password_file)
    if content is None and rekey.next_file(environment).exists():
        content = _opened(text, rekey.next_file(environment))
        if content is not None:
            rekey.settle(environment)
    if content is None:
        raise PlatformError(
            f"The secrets of '{environment.name}' cannot be read",
            f"the password in {password_file} does not open {environment.vault_file}",
            "Put the password that encrypted it there, or name its file in ERNI_VAULT_PASSWORD_FILE.",
        )
    return content


def _refuse_what_cannot_be_opened(environment: Environment, text: bytes) -> None:
    # Imported here: it costs 0.3 s, which an environment without a vault file need not pay.
    from ansible.parsing.vault import is_encrypted

    path, password_file = environment.vault_file, environment.vault_password_file
    if not is_encrypted(text):
        raise PlatformError(
            f"{path} is not encrypted",
            remedy=f"Encrypt it: ansible-vault encrypt --vault-password-file {password_file} {path}.",
        )
    if not os.access(password_file, os.R_OK):
        raise PlatformError(
            f"The secrets of '{environment.name}' cannot be read",
            f"the vault password file {password_file} is missing or not readable",
            "Put the password there (mode 0600), or name its file in ERNI_VAULT_PASSWORD_FILE.",
        )


def _opened(text: bytes, password_file: Path) -> bytes | None:
    """None where the password does not open it."""
    from ansible.errors import AnsibleError
    from ansible.parsing.vault import VaultLib

    try:
        return bytes(VaultLib([("default", _secret_in(password_file))]).decrypt(text))
    except AnsibleError:
        return None


def encrypted(content: bytes, password_file: Path) -> str:
    """As ``ansible-vault`` writes it."""
    from ansible.parsing.vault import VaultLib

    secret = _secret_in(password_file)
    return bytes(VaultLib([("default", secret)]).encrypt(content, secret=secret)).decode()


def _secret_in(password_file: Path) -> Any:
    """What the file holds, or what it prints if it is a program."""
    from ansible.parsing.dataloader import DataLoader
    from ansible.parsing.vault import get_file_vault_secret

    secret = get_file_vault_secret(filename=str(password_file), loader=DataLoader())
    secret.load()
    return secret
