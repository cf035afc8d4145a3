"""Which environment is meant, and what its folder says about itself."""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.erni import group_variables

from .errors import PlatformError


@dataclass(frozen=True)
class Environment:
    """An inventory folder."""

    name: str
    folder: Path
    vault_password_file: Path

    @property
    def vault_file(self) -> Path:
        return self.folder / "group_vars" / "all" / "vault.yml"


def resolve(name: str, inventories: Path, vault_password_file: str | None = None) -> Environment:
    """The environment of that name.

    :raises PlatformError: naming those that exist, when it is none of them.
    """
    known = sorted(entry.name for entry in inventories.iterdir() if entry.is_dir()) if inventories.is_dir() else []
    if name not in known:
        there = f"{inventories} has {', '.join(known)}" if known else f"{inventories} has no environment"
        raise PlatformError(f"There is no environment '{name}'", there, f"Name one of them: ENV={(known or ['…'])[0]}.")
    folder = inventories / name
    return Environment(name, folder, Path(vault_password_file or folder / ".vault_password").absolute())


def group_variable(environment: Environment, name: str, default: Any = None) -> Any:
    """A plain variable of group_vars/all, without the half second that asking ansible-inventory costs."""
    return group_variables.plain(environment.folder / "group_vars" / "all", name, default)


def operator(variables: Mapping[str, str] = os.environ) -> str:
    """Who runs this: the login behind sudo, with git's e-mail address where one is set."""
    login = variables.get("SUDO_USER") or variables.get("USER") or _account()
    git = subprocess.run(["git", "config", "user.email"], capture_output=True, text=True, check=False)
    email = git.stdout.strip()
    return f"{login} <{email}>" if email else login


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
