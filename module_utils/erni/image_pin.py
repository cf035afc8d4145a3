"""Images under names that mean the same tomorrow, and the names under which people know a release's images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from . import engine, image_build
from .errors import PlatformError
from .image_plan import DIGEST_LENGTH
from .planning import Difference, Plan

LATEST, PREVIOUS = "latest", "previous"
_BY_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}|sha256:[0-9a-f]{64}")
_BY_CONTENT = re.compile(rf".+:[0-9a-f]{{{DIGEST_LENGTH}}}")


def pinned(client: Any, reference: str, prefix: str = "") -> tuple[str, str]:
    """The image's reference as a release keeps it, and the id of the image on this host.

    A tag that can move becomes the digest under which its registry has it, or, where the engine knows none, the id.

    :param prefix: tags of twelve hexadecimal digits are content only below it, where the platform has named the images.
    :raises PlatformError: when the image is not on this host.
    """
    try:
        inspected = client.inspect_image(reference)
    except engine.docker_errors.ImageNotFound:
        raise PlatformError(
            f"The image {reference} is not on this host",
            "a release is made of images that are present",
            "Check the reference, and run make deploy, which builds or pulls it.",
        ) from None
    return pinned_reference(reference, inspected, prefix), str(inspected["Id"])


def pinned_reference(reference: str, inspected: Mapping[str, Any], prefix: str = "") -> str:
    """The decision of :func:`pinned`, on what the engine tells of the image."""
    ours = reference.startswith(f"{prefix}/") if prefix else True
    if _BY_DIGEST.fullmatch(reference) or (ours and _BY_CONTENT.fullmatch(reference)):
        return reference
    return by_digest(reference, inspected) or str(inspected["Id"])


def by_digest(reference: str, inspected: Mapping[str, Any]) -> str:
    """The reference with the digest under which its own repository is known to have the image, or ''."""
    repository = repository_of(reference)
    known = [str(entry).partition("@") for entry in inspected.get("RepoDigests") or []]
    digests = sorted(digest for name, _, digest in known if _familiar(name) == _familiar(repository))
    return f"{repository}@{digests[0]}" if digests else ""


def repository_of(reference: str) -> str:
    """The reference without its tag and its digest; a registry's port is not taken for a tag."""
    name = reference.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"


def _familiar(repository: str) -> str:
    """The engine leaves out what it adds itself to a short name (distribution/reference, ``FamiliarName``)."""
    for implied in ("index.docker.io/", "docker.io/"):
        repository = repository.removeprefix(implied)
    return repository.removeprefix("library/")


def release_tags(
    image_ids: Mapping[str, str],
    latest: Mapping[str, str],
    prefix: str,
    previous: Mapping[str, str],
    commit: str = "",
) -> dict[str, str]:
    """The tags that a release's images carry, each with the id that it names.

    :param image_ids: the images that serve now, by service.
    :param latest: what ``latest`` has named so far; an absent one is left out.
    :param previous: what served before, where that is known better than from ``latest``.
    """
    tags: dict[str, str] = {}
    for service, image in image_ids.items():
        name = f"{prefix}/{service}"
        before = previous.get(service) or latest.get(service)
        tags[f"{name}:{LATEST}"] = image
        if before and before != image:
            tags[f"{name}:{PREVIOUS}"] = before
        if commit:
            tags[f"{name}:{commit[:DIGEST_LENGTH]}"] = image
    return tags


def plan_tags(wanted: Mapping[str, str], current: Mapping[str, str]) -> Plan:
    """Move the tags that name another image, or none."""
    plan = Plan()
    for reference, image in wanted.items():
        named = current.get(reference) or None
        if named != image:
            plan.differences.append(Difference(f"image {reference}", named, image))
            plan.add("tag", reference, f"{reference} names {image[:19]}")
    return plan


def tag_release(
    client: Any,
    image_ids: Mapping[str, str],
    prefix: str,
    previous: Mapping[str, str],
    commit: str = "",
    *,
    predicting: bool = False,
) -> Plan:
    """Give the images of the release that now serves the names that people know; what was done, or would be.

    :param previous: image ids of the release that served before; {} leaves it to the tag ``latest``.
    """
    image_ids = {service: image for service, image in image_ids.items() if image}  # '' is one that was removed
    latest = {service: engine.image_id(client, f"{prefix}/{service}:{LATEST}") or "" for service in image_ids}
    wanted = release_tags(image_ids, latest, prefix, previous, commit)
    # What served before may have been removed since; a tag on nothing cannot be had.
    wanted = {reference: image for reference, image in wanted.items() if engine.image_id(client, image)}
    plan = plan_tags(wanted, {reference: engine.image_id(client, reference) or "" for reference in wanted})
    if not predicting:
        image_build.tag(client, {action.subject: wanted[action.subject] for action in plan.actions})
    return plan
