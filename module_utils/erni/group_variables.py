"""Plain variables of an inventory, read from its files before or beside Ansible. On the control node alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml


class _TagBlindLoader(yaml.SafeLoader):
    """Reads past Ansible's own tags: what is looked up here is never encrypted."""


_TagBlindLoader.add_multi_constructor("!", lambda *_: None)


def plain(folder: Path, name: str, default: Any = None) -> Any:
    """A variable of a folder such as group_vars/all, as it is written there: Jinja is not evaluated.

    Files are read in Ansible's order (sorted, folders in place), so the last one that sets the variable wins.
    """
    value = default
    mentions = re.compile(rf"^{re.escape(name)}\s*:", re.MULTILINE)
    for path in _variable_files(folder):
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
