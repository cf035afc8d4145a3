"""A rotation: several playbooks, since each has to read what the one before has written into the vault.

Servers take whatever the vault holds, so `up` is what brings a step about: first beside what is in use, then in use.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from ansible.module_utils.erni import rotation_record
from ansible.module_utils.erni.keyring import due

from . import rekey, vault
from .environment import Environment
from .errors import PlatformError
from .options import Options
from .steps import Step

Facts = dict[str, str | int | bool]

CERTIFICATE = "certificate"
KNOWN_TO_NO_SERVER = ("backup_identity", "registry_password")  # whom `up` has nothing to tell about
RENEWED: Facts = {"nginx_certificate_renewed": True}
QUIETLY: Facts = {"erni_status_is_told": False}  # the last one tells how all services are


def steps(verb: str, environment: Environment, wanted: Options) -> Iterator[Step]:
    """Of `rotate`, `rotate-emergency` and `revoke-previous`. A check ends after what it can predict."""
    plain = replace(wanted, secrets=None, file=None, force=False, confirm=None)
    if verb == "rotate-emergency" and not wanted.reason:
        raise PlatformError(
            "make rotate-emergency does not say what has happened",
            "people are told, and the incident's record begins with it",
            "Write REASON='what is suspected, and since when'.",
        )
    if verb == "revoke-previous":
        yield from _revocation(environment, wanted, plain)
        return
    if verb == "rotate-emergency" and not wanted.check:
        yield from _what_was_interrupted(environment, plain)
    names = _names(wanted)
    began: Facts = {"erni_rotation_began": f"{time.time():.3f}"}
    renewed: Facts = RENEWED if CERTIFICATE in names or "all" in names else {}
    # What an interrupted rotation has begun is gone on with, too: its values come into use together with these.
    under_way = {*names, *vault.read_keyring(environment).unfinished}
    servers_take_part = not under_way <= {CERTIFICATE, *KNOWN_TO_NO_SERVER}
    yield Step(verb, wanted)
    if wanted.check:
        return
    if servers_take_part or renewed:
        yield Step("up", plain, QUIETLY | renewed)
    if under_way != {CERTIFICATE}:
        yield Step("shared/rotation_tried", plain)
    if servers_take_part:
        yield Step("up", plain)
    yield Step("shared/rotation_proven", plain, began | renewed)
    if verb == "rotate-emergency":
        yield Step("revoke-previous", replace(plain, force=True))
        yield Step("up", plain)
        yield Step("shared/rotation_forgotten", plain)


def _what_was_interrupted(environment: Environment, plain: Options) -> Iterator[Step]:
    """It ends first: a rotation under way is not begun anew, and in an emergency its values may be known, too."""
    if unfinished := vault.read_keyring(environment).unfinished:
        yield from steps("rotate", environment, replace(plain, secrets=",".join(unfinished)))


def names_the_vault_password(wanted: Options) -> bool:
    """Which is replaced by itself.

    :raises PlatformError: when other secrets are named beside it.
    """
    names = _names(wanted)
    if rekey.NAME in names and len(names) > 1:
        raise PlatformError(
            f"{rekey.NAME} is replaced by itself", "the others are in the vault that it opens", "Name it alone."
        )
    return rekey.NAME in names


def record_vault_password(environment: Environment, operator: str, reason: str) -> None:
    """Beside what playbooks record of the other secrets."""
    path = str(environment.folder / "rotations.jsonl")
    rotation_record.append(path, datetime.now(UTC), environment.name, operator, reason, [f"replace {rekey.NAME}"])


def _names(wanted: Options) -> list[str]:
    return (wanted.secrets or "all").lower().split(",")


def _revocation(environment: Environment, wanted: Options, plain: Options) -> Iterator[Step]:
    """First nobody uses a previous value any more: a release that was gone back to since the rotation may. What a run
    that was killed has revoked ends now."""
    ring = vault.read_keyring(environment)
    due_now = ring.previous if wanted.force else due(ring, datetime.now(UTC))
    ends = bool(due_now or ring.revoked) and not wanted.check
    if ends:
        yield Step("up", plain, QUIETLY)
    yield Step("revoke-previous", wanted)
    if ends:
        yield Step("up", plain)
        yield Step("shared/rotation_forgotten", plain)
