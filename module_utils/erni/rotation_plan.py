"""Which secrets a rotation is about, and what a step of it changes, as sentences without a value. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from . import age_keys
from .errors import PlatformError
from .keyring import Keyring
from .planning import Difference, Plan
from .secrets import SecretSpec, findings, generate

ALL = "all"
GENERATED, SUPPLIED = "generated", "supplied"


def chosen(specs: Iterable[SecretSpec], names: Sequence[str], keyring: Keyring) -> list[str]:
    """The secrets that the names mean, in the order of the specs.

    :raises PlatformError: for a name that no secret has, and for one that is replaced by other means.
    """
    by_name = {spec.name: spec for spec in specs}
    asked = [name.strip().lower() for name in names if name.strip()] or [ALL]
    if asked == [ALL]:
        return [name for name, spec in by_name.items() if spec.rotation == GENERATED and name in keyring.values]
    rotatable = ", ".join(name for name, spec in by_name.items() if spec.rotation)
    for name in asked:
        if name not in by_name:
            raise PlatformError(f"There is no secret '{name}'", f"those that can be rotated are {rotatable}")
        if not by_name[name].rotation:
            raise PlatformError(
                f"make rotate cannot replace {name}",
                f"those that it can are {rotatable}",
                "Replace it where it comes from, and write it with `ansible-vault edit`; docs/rotate.md tells how.",
            )
    return [name for name in by_name if name in asked]


def fresh_values(specs: Iterable[SecretSpec], names: Sequence[str], supplied: str, keyring: Keyring) -> dict[str, str]:
    """New values by name. What is supplied is refused where its spec would refuse it.

    :raises PlatformError: when a value is missing, is one too many, or cannot be used.
    """
    by_name = {spec.name: spec for spec in specs}
    going_on = set(keyring.unfinished)
    from_outside = [name for name in names if by_name[name].rotation == SUPPLIED and name not in going_on]
    if from_outside and (len(from_outside) > 1 or not supplied):
        raise PlatformError(
            f"The new value of {' and of '.join(from_outside)} is not known",
            "it comes from elsewhere, and one run takes one",
            f"Write it into a file and run make rotate SECRETS={from_outside[0]} FILE=<that file>.",
        )
    if supplied and not from_outside and not going_on & set(names):
        raise PlatformError(
            "FILE holds a value that no secret is waiting for",
            f"{', '.join(names)} are generated",
            "Leave FILE out, or name a secret that comes from elsewhere in SECRETS.",
        )
    fresh = {name: supplied if name in from_outside else _successor(by_name[name], keyring) for name in names}
    for name in from_outside:
        _refuse_unusable(by_name[name], supplied, keyring)
    return fresh


def _successor(spec: SecretSpec, keyring: Keyring) -> str:
    if spec.key_ring:
        return age_keys.with_new_key(keyring.values[spec.name])
    return generate(spec.generate_length)


def _refuse_unusable(spec: SecretSpec, value: str, keyring: Keyring) -> None:
    if keyring.values.get(spec.name) == value:
        raise PlatformError(f"FILE holds the value that {spec.name} has already", remedy="Nothing was changed.")
    found = findings([spec], {**keyring.values, spec.name: value})
    if found:
        raise PlatformError(f"The value in FILE cannot be used for {spec.name}", found[0].why, "Nothing was changed.")


def plan(before: Keyring, after: Keyring, state: str) -> Plan:
    """What the step changes: an action and a difference for each secret."""
    made = Plan()
    for name in sorted(after.pending.keys() - before.pending.keys()):
        _add(made, "store", name, state, f"{name} gets a successor, which nothing is told yet")
    for name in sorted(before.pending.keys() - after.pending.keys()):
        _add(made, "promote", name, state, f"the successor of {name} is its value from now on; the former still holds")
    for name in sorted(name for name, entry in after.now.items() if entry.proven and _unproven(before, name)):
        version = after.now[name].version
        _add(made, "prove", name, state, f"{name} is replaced: version {version} serves")
    for name in sorted(before.previous.keys() - after.previous.keys()):
        _add(made, "revoke", name, state, f"the previous value of {name} holds no longer")
    for name in sorted(set(before.revoked) - set(after.revoked)):
        _add(made, "forget", name, state, f"no server takes the previous value of {name} any more")
    return made


def _unproven(keyring: Keyring, name: str) -> bool:
    return name in keyring.now and not keyring.now[name].proven


def _add(made: Plan, kind: str, name: str, state: str, sentence: str) -> None:
    made.differences.append(Difference(name, None, state))
    made.add(kind, name, sentence)
