"""A verb is one playbook, or several after one another, each of which ends before the next begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .options import Options

PARTS_OF_VERBS = {
    "shared/recovered": "recover",
    "shared/rotation_tried": "rotate",
    "shared/rotation_proven": "rotate",
    "shared/rotation_forgotten": "revoke-previous",
}


@dataclass(frozen=True)
class Step:
    """A playbook of ``playbooks/`` without its ending, its options, and what else it is told."""

    book: str
    options: Options
    variables: Mapping[str, str | int | bool] = field(default_factory=dict)

    @property
    def verb(self) -> str:
        """By which the journals know it."""
        return PARTS_OF_VERBS.get(self.book, self.book)
