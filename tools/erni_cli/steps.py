"""A verb is one playbook, or several after one another, each of which ends before the next begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .options import Options


@dataclass(frozen=True)
class Step:
    """A playbook of ``playbooks/`` without its ending, its options, and what else it is told."""

    book: str
    options: Options
    variables: Mapping[str, str | int | bool] = field(default_factory=dict)

    @property
    def verb(self) -> str:
        """By which the journals know it."""
        return "recover" if self.book == "shared/recovered" else self.book
