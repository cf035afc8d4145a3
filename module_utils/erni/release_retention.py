"""Let go of releases that nobody goes back to: their containers, their images, their records.

What stays is decided by :func:`release_history.retained`; here is what hangs on the others. An image stays for as long
as a record that stays or a container is made of it, whatever names it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import engine
from .planning import Difference, Plan
from .release_record import Manifest, remove_manifest, remove_unfinished, unfinished_records
from .service_spec import LABEL_PREFIX
from .slots import RELEASE_LABEL, SLOT_LABEL

PLATFORM_LABEL = f"{LABEL_PREFIX}platform"
AT_REST = frozenset({"created", "exited", "dead"})
# Names that the runbook's readers know. They move by themselves, and hold back what they stand for.
FLOATING_TAGS = frozenset({"latest", "previous"})
NAMELESS = frozenset({"<none>:<none>", "<none>@<none>"})
GONE, IN_USE = 404, 409  # how the engine answers a removal (Docker Engine API 1.41)


@dataclass(frozen=True)
class HostContainer:
    """Any container of the host. ``release`` is '' for one that is in no slot of this platform."""

    name: str
    image_id: str
    release: str
    at_rest: bool


@dataclass(frozen=True)
class HostImage:
    id: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class Holdings:
    """What a host has that releases may be made of. ``unfinished`` are names of records that were cut short."""

    containers: tuple[HostContainer, ...] = ()
    images: tuple[HostImage, ...] = ()
    unfinished: tuple[str, ...] = ()


def observe_holdings(client: Any, platform: str, root: str) -> Holdings:
    """From ``GET /containers/json`` and ``GET /images/json`` (Docker Engine API 1.41).

    On a host that is shared with another platform no image counts: what its records name is not known here.
    """
    listed = client.containers(all=True)
    platforms = {(entry["Labels"] or {}).get(PLATFORM_LABEL, platform) for entry in listed}
    return Holdings(
        tuple(_container(entry, platform) for entry in listed),
        tuple(_image(entry) for entry in client.images()) if platforms <= {platform} else (),
        tuple(unfinished_records(root)),
    )


def _container(entry: Mapping[str, Any], platform: str) -> HostContainer:
    labels = entry["Labels"] or {}
    ours = labels.get(PLATFORM_LABEL) == platform and SLOT_LABEL in labels
    return HostContainer(
        name=(entry["Names"] or [entry["Id"]])[0].removeprefix("/"),
        image_id=entry["ImageID"],
        release=labels.get(RELEASE_LABEL, "") if ours else "",
        at_rest=entry["State"] in AT_REST,
    )


def _image(entry: Mapping[str, Any]) -> HostImage:
    references = [*(entry["RepoTags"] or []), *(entry["RepoDigests"] or [])]
    return HostImage(entry["Id"], tuple(reference for reference in references if reference not in NAMELESS))


def plan_retention(staying: set[str], manifests: Mapping[str, Manifest], holdings: Holdings) -> Plan:
    """What to remove, in an order that can be interrupted: a release's record goes last. Not for a host on which a
    transition is under way.

    :param staying: the releases that stay.
    """
    plan = Plan()
    leaving = [c for c in holdings.containers if c.release and c.release not in staying and c.at_rest]
    for container in leaving:
        _remove(plan, "container", container.name, f"container {container.name} of release {container.release}")
    gone = [manifest for release, manifest in sorted(manifests.items()) if release not in staying]
    kept = [manifest for release, manifest in manifests.items() if release in staying]
    held = {container.image_id for container in holdings.containers if container not in leaving}
    for reference in _doomed_references(gone, kept, held, holdings.images):
        _remove(plan, "image", reference, f"image {reference}, which no release that stays is made of,")
    for manifest in gone:
        _remove(plan, "manifest", manifest.id, f"the record of release {manifest.id}")
    for name in holdings.unfinished:
        _remove(plan, "unfinished", name, f"the unfinished record {name}")
    return plan


def _remove(plan: Plan, what: str, subject: str, described: str) -> None:
    plan.differences.append(Difference(f"{what} {subject}", "present", None))
    plan.add(f"remove_{what}", subject, f"{described} is removed")


def _doomed_references(
    gone: Iterable[Manifest], kept: Iterable[Manifest], held: set[str], images: Iterable[HostImage]
) -> list[str]:
    """Names of images that only releases on their way out are made of."""
    named = {_plain(reference) for manifest in gone for reference in manifest.images.values()}
    needed: set[str] = set()
    for manifest in kept:
        needed |= {*map(_plain, manifest.images.values()), *manifest.image_ids.values()}
    return [
        reference
        for image in images
        if image.id not in held | needed and needed.isdisjoint(image.references)
        for reference in image.references
        if _names_of_one(reference, image, named)
    ]


def _names_of_one(reference: str, image: HostImage, named: set[str]) -> bool:
    """Whether the reference goes with one of the image's that a leaving release names. A digest and its tags do: the
    engine keeps the image until the last of them is gone."""
    repositories = {_repository(each) for each in named.intersection(image.references)}
    return _repository(reference) in repositories and _tag(reference) not in FLOATING_TAGS


def _plain(reference: str) -> str:
    """``name:tag@digest`` is known to the engine as ``name@digest``."""
    name, at, digest = reference.partition("@")
    return f"{_repository(name)}@{digest}" if at else reference


def _repository(reference: str) -> str:
    name = reference.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"


def _tag(reference: str) -> str:
    return reference.removeprefix(_repository(reference)).removeprefix(":")


def apply_retention(client: Any, root: str, plan: Plan) -> None:
    """:raises PlatformError: for what the engine refuses, other than to remove what is in use or gone by now."""
    for action in plan.actions:
        subject = action.subject
        with engine.explained(f"{subject} could not be removed"):
            if action.kind == "remove_container":
                _unless_taken(client.remove_container, subject, v=True)
            elif action.kind == "remove_image":
                _unless_taken(client.remove_image, subject)
            elif action.kind == "remove_manifest":
                remove_manifest(root, subject)
            elif action.kind == "remove_unfinished":
                remove_unfinished(root, subject)


def _unless_taken(remove: Callable[..., object], subject: str, **options: bool) -> None:
    """Never with force: what somebody has begun to use, or was faster to remove, is left at that."""
    try:
        remove(subject, **options)
    except engine.docker_errors.APIError as error:
        if error.status_code not in (GONE, IN_USE):
            raise
