"""The environment's secrets, looked at before Ansible starts: a wrong password is a sentence, not a traceback."""

from __future__ import annotations

import os
from typing import Any

import yaml

from .environment import Environment, group_variable
from .errors import PlatformError


def missing_secrets(environment: Environment) -> list[str]:
    """Names of the specified secrets that the environment must have and does not, after proving that the password fits.

    :raises PlatformError: when the vault file cannot be read.
    """
    specs = group_variable(environment, "erni_secret_specs", [])
    existing = read_secrets(environment)
    return [spec["name"] for spec in specs if spec["name"] not in existing and not spec.get("optional")]


def read_secrets(environment: Environment) -> dict[str, Any]:
    """The decrypted mapping ``erni_secrets``; empty when there is no vault file."""
    if not environment.vault_file.exists():
        return {}
    content = yaml.safe_load(_decrypt(environment)) or {}
    secrets = content.get("erni_secrets", {}) if isinstance(content, dict) else None
    if not isinstance(secrets, dict):
        raise PlatformError(
            f"{environment.vault_file} has no mapping 'erni_secrets'",
            remedy=f"Mend it with `ansible-vault edit {environment.vault_file}`.",
        )
    return secrets


def _decrypt(environment: Environment) -> bytes:
    # Imported here: it costs 0.3 s, which an environment without a vault file need not pay.
    from ansible.errors import AnsibleError
    from ansible.parsing.dataloader import DataLoader
    from ansible.parsing.vault import VaultLib, get_file_vault_secret, is_encrypted

    path, password_file = environment.vault_file, environment.vault_password_file
    text = path.read_bytes()
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
    try:
        secret = get_file_vault_secret(filename=str(password_file), loader=DataLoader())
        secret.load()
        return bytes(VaultLib([("default", secret)]).decrypt(text))
    except AnsibleError:
        raise PlatformError(
            f"The secrets of '{environment.name}' cannot be read",
            f"the password in {password_file} does not open {path}",
            "Put the password that encrypted it there, or name its file in ERNI_VAULT_PASSWORD_FILE.",
        ) from None
