"""An environment's secrets: which are missing, which are too weak, and how new ones are made."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .findings import Finding

PLACEHOLDER = "CHANGE_ME"
URL_SAFE = string.ascii_letters + string.digits + "-_"

# Found anywhere in a value, in whatever case, these give a placeholder away. Each is long enough that a generated
# value does not contain it by chance.
PLACEHOLDER_PARTS = (
    *("changeme", "change-me", "change_me", "change this", "placeholder", "replaceme", "replace-me", "replace_me"),
    *("insert-here", "not-a-secret", "supersecret", "your-secret", "your_secret"),
)
PLACEHOLDER_STARTS = ("your-", "your_", "<", "${", "sk-your", "vs_your")

# Whole values only.
WELL_KNOWN = frozenset(
    ("admin", "erni", "erni_user", "none", "null", "password", "postgres", "redis", "secret", "test", "todo")
)
FEWEST_DISTINCT_CHARACTERS = 6


@dataclass(frozen=True)
class SecretSpec:
    """What a secret must be. Lengths are in characters. ``rotation`` tells where make rotate gets its successor:
    ``generated``, or ``supplied`` by the operator; '' is rotated by other means. The successor of a ``key_ring`` is
    the value itself with one more key of age."""

    name: str
    min_length: int = 16
    generate_length: int = 32
    supplied_by_operator: bool = False
    optional: bool = False
    must_differ_from: str | None = None
    rotation: str = ""
    key_ring: bool = False

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> SecretSpec:
        """From an entry of ``erni_secret_specs``; its description is for people."""
        known = {name: value for name, value in mapping.items() if name != "description" and value is not None}
        return cls(**known)


@dataclass(frozen=True)
class Plan:
    """Specs of the secrets to generate, and of those to leave as a placeholder for the operator."""

    to_generate: list[SecretSpec] = field(default_factory=list)
    to_ask: list[SecretSpec] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.to_generate or self.to_ask)

    @property
    def names(self) -> list[str]:
        return [spec.name for spec in (*self.to_generate, *self.to_ask)]


def plan(specs: Iterable[SecretSpec], existing: Iterable[str], autogenerate: bool) -> Plan:
    """What is missing. A secret that exists is never touched, whatever its value; an optional one is never made."""
    there = set(existing)
    missing = [spec for spec in specs if spec.name not in there and not spec.optional]
    asks = [spec for spec in missing if spec.supplied_by_operator and not autogenerate]
    return Plan([spec for spec in missing if spec not in asks], asks)


def create(planned: Plan) -> dict[str, str]:
    """New values for what the plan names."""
    made = {spec.name: generate(spec.generate_length) for spec in planned.to_generate}
    return made | dict.fromkeys((spec.name for spec in planned.to_ask), PLACEHOLDER)


def generate(length: int) -> str:
    """A random value of that many characters, none of which a URL, a shell or a configuration file would need quoted.

    It starts with a letter or digit, so that no program takes it for an option.
    """
    first = secrets.choice(string.ascii_letters + string.digits)
    return first + "".join(secrets.choice(URL_SAFE) for _ in range(length - 1))


def findings(
    specs: Iterable[SecretSpec], values: Mapping[str, Any], vault_file: str = "the vault file", editing: str = ""
) -> list[Finding]:
    """Everything that is wrong with the values, at once.

    :param vault_file: where they are, as people call it.
    :param editing: how they are changed there, where that is no vault file.
    """
    found: list[Finding] = []
    remedy = f"Set it with {editing or f'`ansible-vault edit {vault_file}`'}."
    for spec in specs:
        if spec.optional and not values.get(spec.name):
            continue
        if spec.name not in values:
            found.append(
                Finding(f"The secret {spec.name} is missing", f"{vault_file} does not have it", "Run `make secrets`.")
            )
        elif weakness := _weakness(spec, values):
            found.append(Finding(f"The secret {spec.name} cannot be used", weakness, remedy))
    return found


def _weakness(spec: SecretSpec, values: Mapping[str, Any]) -> str | None:
    value = values[spec.name]
    if not isinstance(value, str) or not value.strip():
        return "it is empty or not text"
    if is_placeholder(value):
        return "it is still a placeholder"
    if value.strip().lower() in WELL_KNOWN:
        return "it is a well-known value"
    if len(value) < spec.min_length:
        return f"it has {len(value)} characters, and needs {spec.min_length}"
    if len(set(value)) < min(FEWEST_DISTINCT_CHARACTERS, spec.min_length):
        return "it repeats too few different characters"
    if spec.must_differ_from and value == values.get(spec.must_differ_from):
        return f"it equals {spec.must_differ_from}, and must not"
    return None


def is_placeholder(value: str) -> bool:
    """Whether the value only keeps a place: ``CHANGE_ME`` and its like, or ``<something>``."""
    lowered = value.strip().lower()
    return lowered.startswith(PLACEHOLDER_STARTS) or any(part in lowered for part in PLACEHOLDER_PARTS)
