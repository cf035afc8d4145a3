"""Recovery of a platform from nothing but a backup set: what is begun, gone on with, or done already. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from . import moment
from .backup_set import POSTGRES, RELEASE, SECRETS, Manifest
from .errors import PlatformError
from .release_record import Manifest as ReleaseManifest
from .release_source import SERVICES
from .text_table import text_table

GIT, INVENTORY = "git:", "inventory"
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


@dataclass(frozen=True)
class Recovery:
    """What the host remembers of it. Moments are seconds since the epoch; ``finished`` is 0 while it is not.

    ``points`` tell for each kind of part the moment whose state it is, the earliest where there are several.
    """

    set: str
    environment: str
    began: float
    points: Mapping[str, float] = field(default_factory=dict)
    finished: float = 0.0


class Course(Enum):
    """What a run of it does."""

    BEGIN = "begin"
    GO_ON = "go on"
    DONE = "done"


def course(known: Recovery | None, volumes: Sequence[str], wanted: str) -> Course:
    """What there is to do on hosts with these data volumes.

    :param known: what an earlier run has noted.
    :param wanted: the id of the set that was asked for, or ''.
    :raises PlatformError: where the hosts have data that no recovery has brought.
    """
    if not volumes:
        return Course.BEGIN
    if known is None:
        raise _not_bare(f"there are data already ({', '.join(volumes)})")
    if not known.finished:
        return Course.GO_ON
    if wanted not in ("", known.set):
        raise _not_bare(f"it was recovered from set {known.set} at {moment.told(known.finished)}")
    return Course.DONE


def _not_bare(why: str) -> PlatformError:
    return PlatformError(
        "This platform is not to be recovered from nothing",
        why,
        "Nothing was touched. make restore brings a set into a platform that is there; make destroy removes one.",
    )


def set_to_take(known: Recovery | None, what: Course, wanted: str) -> str:
    """The id; '' for the newest. A run that goes on stays with the set of the one before, whatever is newer by now."""
    return wanted or (known.set if known is not None and what is not Course.BEGIN else "")


def recovery_from(manifest: Manifest, now: float, known: Recovery | None) -> Recovery:
    """What is noted before the first of it is done. One that goes on began when it was begun."""
    goes_on = known is not None and not known.finished and known.set == manifest.id
    points: dict[str, float] = {}
    for part in manifest.parts:
        if part.files:
            points[part.kind] = min(points.get(part.kind, part.taken), part.taken)
    return Recovery(manifest.id, manifest.environment, known.began if known and goes_on else now, points)


def release_wanted(recorded: ReleaseManifest | None) -> tuple[str, str]:
    """What RELEASE has to be for the recorded release to serve, '' for the inventory's; and a sentence about one that
    cannot be had again, or ''."""
    if recorded is None or recorded.source == INVENTORY:
        return "", ""
    if recorded.source.startswith(GIT):
        return recorded.commit, ""
    images = [recorded.images.get(service, "") for service in SERVICES]
    if not all(images) or any(image.startswith("sha256:") for image in images):  # an id: it came from no registry
        return "", (
            f"Release {recorded.id} was made of images that only its host had; the inventory's release takes its place."
        )
    return ",".join(f"{service}={image}" for service, image in zip(SERVICES, images, strict=True)), ""


def holds(manifest: Manifest, kind: str) -> bool:
    return any(part.files for part in manifest.part(kind))


def report(recovery: Recovery, steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was done, how long each step took, and which state the data are of.

    :param steps: ``name`` and ``seconds`` of each.
    """
    total = sum(float(step["seconds"]) for step in steps)
    rows = [
        {"step": str(step["name"]), "seconds": f"{float(step['seconds']):.1f}"}
        for step in (*steps, {"name": "all of it", "seconds": total})
    ]
    told = [f"The platform is recovered from set {recovery.set} of the environment {recovery.environment}.", ""]
    told += [*text_table(rows).splitlines(), ""]
    of_data = {kind: taken for kind, taken in recovery.points.items() if kind not in (SECRETS, RELEASE)}
    if (point := of_data.pop(POSTGRES, None)) is not None:
        lost = duration(recovery.began - point)
        told.append(f"The recovery point is {moment.told(point)}, {lost} before the recovery began.")
    told += [f"The state of {kind} is of {moment.told(taken)}." for kind, taken in sorted(of_data.items())]
    return told


def duration(seconds: float) -> str:
    """In its two largest units: ``3 h 12 min``."""
    rest, told = max(0, round(seconds)), list[str]()
    for unit, size in _UNITS:
        if rest >= size and len(told) < 2:
            told.append(f"{rest // size} {unit}")
            rest %= size
    if len(told) < 2 and seconds < 3_600:
        told.append(f"{rest} s")
    return " ".join(told)
