"""Which environment is meant, and what its folder says about itself."""

from __future__ import annotations

import getpass
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

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


class _TagBlindLoader(yaml.SafeLoader):
    """Reads past Ansible's own tags: what this program looks up is never encrypted."""


_TagBlindLoader.add_multi_constructor("!", lambda *_: None)


def group_variable(environment: Environment, name: str, default: Any = None) -> Any:
    """A plain variable of group_vars/all, without the half second that asking ansible-inventory costs.

    Files are read in Ansible's order (sorted, folders in place), so the last one that sets the variable wins.
    """
    value = default
    mentions = re.compile(rf"^{re.escape(name)}\s*:", re.MULTILINE)
    for path in _variable_files(environment.folder / "group_vars" / "all"):
        text = path.read_text(encoding="utf-8", errors="replace")
        if mentions.search(text):
            value = yaml.load(text, Loader=_TagBlindLoader).get(name, value)  # noqa: S506 (a SafeLoader)
    return value


def _variable_files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            yield from _variable_files(entry)
        elif entry.suffix in (".yml", ".yaml") and not entry.name.startswith("."):
            yield entry


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
