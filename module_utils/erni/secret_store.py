"""Where an environment's secrets are kept: one document with ``erni_secrets`` and what stands beside them.

The vault file is the usual home (``vault_store``), a secret manager another (``secret_homes``). Whoever reads or
changes secrets sees this interface alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from .errors import PlatformError
from .secrets import Plan

MAPPING = "erni_secrets"


class SecretStore(ABC):
    """``place`` is how people call it, ``editing`` how they change a value by hand there."""

    place: str
    editing: str

    def __init__(self) -> None:
        self._document: dict[str, Any] = {}

    @abstractmethod
    def load(self) -> dict[str, Any] | None:
        """The document, or None where there is none yet.

        :raises PlatformError: when it cannot be had.
        """

    @abstractmethod
    def save(self, document: Mapping[str, Any]) -> None:
        """The document in place of what :meth:`load` returned, all or nothing.

        :raises PlatformError: when that is not possible, or another has written since.
        """

    def read(self) -> dict[str, Any]:
        """The secrets; empty where there is no document yet.

        :raises PlatformError: when it is there and does not open, or holds something else.
        """
        document = self.load()
        if document is None:
            return {}
        values = document.get(MAPPING)
        if not isinstance(values, dict):
            raise PlatformError(f"{self.place} has no mapping '{MAPPING}'", remedy=f"Mend it with {self.editing}.")
        self._document = document
        return values

    def begin_with(self, other: SecretStore) -> dict[str, Any]:
        """The secrets of another home, where :meth:`read` found no document here; empty where it has none either. The
        next :meth:`write` brings the whole of its document.

        :raises PlatformError: as :meth:`load` does, of the other.
        """
        document = other.load() or {}
        values = document.get(MAPPING)
        if not isinstance(values, dict):  # a vault file may hold other things alone
            return {}
        self._document = document
        return values

    def beside(self, mapping: str) -> dict[str, Any]:
        """Another mapping of the document that :meth:`read` has opened; empty where it has none."""
        found = self._document.get(mapping)
        return found if isinstance(found, dict) else {}

    def write(self, values: Mapping[str, Any], beside: Mapping[str, Any] | None = None) -> None:
        """Set the mapping, and those ``beside`` it by their names, and leave what else the document holds."""
        self.save(self._document | {MAPPING: dict(values)} | dict(beside or {}))

    def sentences(self, planned: Plan) -> list[str]:
        """What :meth:`write` does with the plan's secrets."""
        said = []
        if planned.to_generate:
            names = ", ".join(spec.name for spec in planned.to_generate)
            said.append(f"{self.place} gets generated values for {names}")
        if planned.to_ask:
            names = ", ".join(spec.name for spec in planned.to_ask)
            said.append(f"{self.place} gets placeholders, to be filled in with {self.editing}, for {names}")
        return said
