"""What every plan is made of: actions to take, and the differences that call for them.

A module observes the world, computes a :class:`Plan` with a pure function, and applies it. Check mode
computes the same plan and stops, so what ``--check`` says is what a real run does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

HIDDEN = "(secret)"


@dataclass(frozen=True)
class Action:
    """One step of a plan.

    ``kind`` names the adapter's operation, ``subject`` what it is done to, and ``sentence`` tells an operator.
    """

    kind: str
    subject: str
    sentence: str


@dataclass(frozen=True)
class Difference:
    """One property that is not as it should be. ``secret`` values never leave this object."""

    name: str
    current: Any = field(repr=False)
    desired: Any = field(repr=False)
    secret: bool = False

    def shown(self) -> tuple[Any, Any]:
        """The values as an operator may see them: of a secret, only that it differs."""
        if not self.secret:
            return self.current, self.desired
        current = None if self.current is None else f"{HIDDEN} before"
        desired = None if self.desired is None else f"{HIDDEN} after"
        return current, desired


@dataclass
class Plan:
    """Ordered actions and the differences that they remove. An empty plan means: nothing to do."""

    actions: list[Action] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    def add(self, kind: str, subject: str, sentence: str) -> None:
        self.actions.append(Action(kind, subject, sentence))

    def extend(self, other: Plan) -> None:
        self.actions.extend(other.actions)
        self.differences.extend(other.differences)

    @property
    def changed(self) -> bool:
        return bool(self.actions)

    @property
    def kinds(self) -> list[str]:
        return [action.kind for action in self.actions]

    @property
    def sentences(self) -> list[str]:
        return [action.sentence for action in self.actions]

    def diff(self, header: str) -> dict[str, Any]:
        """Ansible's before/after pair, secrets hidden."""
        before: dict[str, Any] = {}
        after: dict[str, Any] = {}
        for difference in self.differences:
            before[difference.name], after[difference.name] = difference.shown()
        return {"before_header": header, "after_header": header, "before": before, "after": after}


def compare(desired: dict[str, Any], observed: dict[str, Any], secret_names: Iterable[str] = ()) -> list[Difference]:
    """Property by property, in a stable order; a property on one side only differs from ``None``."""
    secrets = set(secret_names)
    return [
        Difference(name, observed.get(name), desired.get(name), name in secrets)
        for name in sorted(desired.keys() | observed.keys())
        if desired.get(name) != observed.get(name)
    ]


def few(names: list[str], most: int = 4) -> str:
    """The first of them, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
