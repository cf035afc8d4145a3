"""Images that one host has built reach the others through a registry, and are known there by digest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import engine
from .errors import PlatformError
from .image_pin import by_digest, repository_of
from .planning import Difference, Plan


def targets(references: Mapping[str, str], repository: str) -> dict[str, str]:
    """Where each service's image goes: ``<repository>/<service>:<tag>``, under the tag that it has here.

    :raises PlatformError: for an image without a tag; what is built here always has one.
    """
    found = {}
    for service, reference in references.items():
        tag = reference.removeprefix(repository_of(reference)).removeprefix(":")
        if not tag or "@" in tag:
            raise PlatformError(
                f"The image {reference} is not pushed",
                "only images that were built here are, under the tag of their content",
                f"Leave {service} out, and let the hosts pull that reference.",
            )
        found[service] = f"{repository.rstrip('/')}/{service}:{tag}"
    return found


def plan_push(wanted: Mapping[str, str], pushed: Mapping[str, str]) -> Plan:
    """Push what the registry does not have.

    :param wanted: targets by service.
    :param pushed: references by digest of those that the registry has.
    """
    plan = Plan()
    for service, target in wanted.items():
        if service not in pushed:
            plan.differences.append(Difference(f"image {target}", None, "in the registry"))
            plan.add("push", service, f"image {target} is pushed")
    return plan


def observe_pushed(client: Any, wanted: Mapping[str, str], credentials: Mapping[str, str]) -> dict[str, str]:
    """References by digest of the targets that were pushed from here and that the registry still has."""
    found = {}
    for service, target in wanted.items():
        reference = _known_digest(client, target)
        if reference and _registry_has(client, reference, credentials):
            found[service] = reference
    return found


def push(client: Any, reference: str, target: str, credentials: Mapping[str, str]) -> str:
    """Tag the image as the target, push it, and return its reference by digest.

    :raises PlatformError: with the registry's answer; credentials never stand in it.
    """
    repository, _, tag = target.rpartition(":")
    try:
        client.tag(reference, repository, tag)
        answers = client.push(repository, tag=tag, auth_config=dict(credentials) or None, stream=True, decode=True)
        with engine.heard():
            errors = [str(answer["error"]) for answer in answers if "error" in answer]
    except engine.docker_errors.APIError as error:
        errors = [engine.explanation(error)]
    pushed = _known_digest(client, target) if not errors else ""
    if pushed:
        return pushed
    raise PlatformError(
        f"The image {target} could not be pushed",
        _without(credentials, errors[0] if errors else "the push ended without a digest"),
        "Nothing that serves was touched. Check release_push_repository, that the registry is reachable from the build "
        "host, and that platform_registry_username may push there.",
    )


def _known_digest(client: Any, target: str) -> str:
    """The digest under which the engine has once pushed or pulled just this image, or ''."""
    try:
        return by_digest(target, client.inspect_image(target))
    except engine.docker_errors.ImageNotFound:
        return ""


def _registry_has(client: Any, reference: str, credentials: Mapping[str, str]) -> bool:
    """Registries are cleaned up; what the engine remembers is no proof."""
    try:
        client.inspect_distribution(reference, auth_config=dict(credentials) or None)
    except engine.docker_errors.APIError:
        return False
    return True


def _without(credentials: Mapping[str, str], text: str) -> str:
    password = credentials.get("password", "")
    return text.replace(password, "(secret)") if password else text
