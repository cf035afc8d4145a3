"""The record of rotations beside an inventory: who replaced what, when and why; never a value."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from .journal import append_record
from .keyring import told

READABLE_FOR_THE_TEAM = 0o644


def append(path: str, moment: datetime, environment: str, operator: str, reason: str, actions: Sequence[str]) -> None:
    """One line more.

    :raises OSError: when it did not reach the disk as a whole.
    """
    entry = {
        "when": told(moment),
        "environment": environment,
        "operator": operator,
        "reason": reason,
        "actions": list(actions),
    }
    append_record(path, entry, READABLE_FOR_THE_TEAM)
