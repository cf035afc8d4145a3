"""Where an environment's secrets are: in its vault file, or in the secret manager that ``erni_secrets_home`` names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import PlatformError
from .secret_store import SecretStore
from .vault_store import RunCommand, VaultStore

# The settings that each cannot do without.
WANTED = {
    "hashicorp_vault": ("url", "path"),
    "aws_secrets_manager": ("secret", "region"),
    "azure_key_vault": ("url", "secret"),
}


def opened(settings: Mapping[str, Any]) -> SecretStore:
    """The manager that the settings (``erni_secrets_home``) name.

    :raises PlatformError: where they name none, or lack something.
    """
    kind = str(settings.get("type"))
    if kind not in WANTED:
        raise _unfit(f"its type is '{settings.get('type')}'", f"Set it to {' or '.join(WANTED)}.")
    missing = [name for name in WANTED[kind] if not settings.get(name)]
    if missing:
        raise _unfit(f"it has no {' and no '.join(missing)}", "docs/secrets.md tells what each home needs.")
    from . import secret_managers  # here, so that environments with a vault file do not wait for its clients

    return secret_managers.KINDS[kind](settings)


def store(settings: Mapping[str, Any], path: str, password_file: str, run_command: RunCommand) -> SecretStore:
    """The manager where one is named, else the vault file."""
    return opened(settings) if settings else VaultStore(path, password_file, run_command)


def _unfit(why: str, remedy: str) -> PlatformError:
    return PlatformError("erni_secrets_home cannot be used", why, remedy)
