"""Images that are built on the host, named by their content.

An image's tag is a digest of everything that goes into it: the files of its build context, its build arguments,
and the digests of the images that it builds on. So an image that is present is the right one, and a changed
file anywhere below makes exactly those images anew that depend on it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import PlatformError
from .planning import Difference, Plan

DIGEST_LENGTH = 12


@dataclass(frozen=True)
class ImageBuild:
    """How an image is made. ``parents`` maps build arguments to names of other images of the set."""

    name: str
    context: str
    parents: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    trusts_bundle: bool = False


@dataclass(frozen=True)
class NamedBuild:
    """A build with its content-addressed reference and the references of its parents as build arguments."""

    build: ImageBuild
    reference: str
    arguments: dict[str, str]


def builds_from_mapping(mapping: Mapping[str, Mapping[str, Any]]) -> dict[str, ImageBuild]:
    """From the variable ``platform_images``."""
    return {
        name: ImageBuild(
            name,
            entry["context"],
            dict(entry.get("parents") or {}),
            {key: str(value) for key, value in (entry.get("arguments") or {}).items()},
            bool(entry.get("trusts_bundle")),
        )
        for name, entry in mapping.items()
    }


def with_parents(builds: Mapping[str, ImageBuild], wanted: Iterable[str]) -> list[str]:
    """The wanted images and all that they build on, parents first."""
    ordered: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            circle = " and ".join([*above, name])
            raise PlatformError(f"The images {circle} build on each other in a circle", "", "Correct platform_images.")
        if name not in builds:
            raise PlatformError(
                f"There is no image '{name}'",
                f"the images are {', '.join(sorted(builds))}",
                "Correct the entry of platform_images that builds on it.",
            )
        for parent in builds[name].parents.values():
            visit(parent, (*above, name))
        if name not in ordered:
            ordered.append(name)

    for name in wanted:
        visit(name, ())
    return ordered


def name_builds(
    builds: Mapping[str, ImageBuild],
    wanted: Iterable[str],
    context_digest: Callable[[str], str],
    bundle_digest: str,
    prefix: str,
) -> list[NamedBuild]:
    """References for the wanted images and their parents, parents first.

    :param context_digest: gives the digest of a build context's files.
    :param bundle_digest: digest of the company's certificate bundle ('' for none); counts where it goes in.
    """
    named: dict[str, NamedBuild] = {}
    for name in with_parents(builds, wanted):
        build = builds[name]
        arguments = build.arguments | {key: named[parent].reference for key, parent in build.parents.items()}
        ingredients = {
            "context": context_digest(build.context),
            "arguments": arguments,
            "bundle": bundle_digest if build.trusts_bundle else "",
        }
        fingerprint = hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()
        named[name] = NamedBuild(build, f"{prefix}/{name}:{fingerprint[:DIGEST_LENGTH]}", arguments)
    return list(named.values())


def waves(builds: list[NamedBuild]) -> list[list[NamedBuild]]:
    """Groups that can be built at once: each build on nothing of its own group or a later one."""
    references = {named.reference for named in builds}
    done: set[str] = set()
    remaining, result = list(builds), []
    while remaining:
        ready = [n for n in remaining if not (set(n.arguments.values()) & references) - done]
        result.append(ready)
        done |= {named.reference for named in ready}
        remaining = [named for named in remaining if named not in ready]
    return result


def plan_images(references: Iterable[str], present: Iterable[str], verb: str) -> Plan:
    """Build or pull what is not there. ``verb`` is ``built`` or ``pulled``."""
    plan = Plan()
    existing = set(present)
    for reference in references:
        if reference not in existing:
            plan.differences.append(Difference(f"image {reference}", None, "present"))
            plan.add(verb, reference, f"image {reference} is {verb}")
    return plan


def plan_aliases(aliases: Mapping[str, str], present: Iterable[str]) -> Plan:
    """Tag a reference with a further name where the host has no image of that name; never take a name over."""
    plan = Plan()
    existing = set(present)
    for alias, reference in sorted(aliases.items()):
        if alias not in existing:
            plan.differences.append(Difference(f"image {alias}", None, reference))
            plan.add("tag", alias, f"image {alias}, which this host does not have, is {reference}")
    return plan
