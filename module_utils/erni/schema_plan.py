"""Whether a release's migration is still to run, and whether a release can serve with the schema that is there. Pure.

A schema has a version: what the operator's query says, or else the latest digest in the ledger of
``database_apply``. A migration that changes the structure of the database writes the digest of the new one there;
one that changes nothing leaves the version as it was, so that going back stays possible.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field

from .planning import Difference, Plan

ANY_SCHEMA = "*"
RUN_PREFIX = "migration "


@dataclass(frozen=True)
class MigrationSpec:
    """How a release changes the schema. Times in seconds; an empty command changes nothing.

    :param image_id: id of the release's backend image (``sha256:…``): what the command is run from.
    :param lock_wait: how long another schema change is waited for.
    :param lock_timeout: how long one statement may wait for a lock, while others queue behind it.
    :param statement_timeout: how long one statement may take.
    :param timeout: how long all of it may take.
    :param version_query: SQL whose first value is the schema's version; '' for the ledger's latest.
    """

    command: tuple[str, ...]
    image_id: str
    lock_wait: float = 60
    lock_timeout: int = 5
    statement_timeout: int = 300
    timeout: float = 600
    version_query: str = ""
    hide: tuple[str, ...] = field(default=(), repr=False)

    @property
    def run_name(self) -> str:
        """The ledger's name for this command from this image: it runs once in the life of a database."""
        content = "\n".join((self.image_id, *self.command))
        return RUN_PREFIX + hashlib.sha256(content.encode()).hexdigest()[:12]

    @property
    def shown(self) -> str:
        return shlex.join(self.command)


@dataclass(frozen=True)
class SchemaState:
    """``done`` tells whether the ledger knows this command from this image."""

    version: str = ""
    done: bool = False


def plan_schema(command: Iterable[str], state: SchemaState) -> Plan:
    """One action, or none: where there is no command, or where it has run already."""
    plan, words = Plan(), list(command)
    if words and not state.done:
        shown = shlex.join(words)
        plan.differences.append(Difference("schema", state.version or "no version", f"as `{shown}` makes it"))
        plan.add("migrate", shown, f"the schema is changed by `{shown}`, run once from the new backend image")
    return plan


def rollback_allowed(current: str, target: str, supported: Iterable[str], backup: str = "") -> str:
    """'' where a release can serve with the schema as it is, or the sentence that refuses.

    :param current: the schema's version now.
    :param target: the version after the target's own deploy, as its manifest says.
    :param supported: further versions that the target is known to cope with; ``*`` for any.
    :param backup: the backup that was taken before the schema moved on, where one is known.
    """
    known = set(supported)
    if current == target or current in known or ANY_SCHEMA in known:
        return ""
    made_for = f"'{target}'" if target else "one that its manifest does not name"
    restore = (
        f"make restore of the backup {backup}" if backup else "make restore of the backup taken before that deploy"
    )
    return (
        f"The schema is now '{current or 'none'}', and the release to go back to was made for {made_for}: it might "
        f"lose or refuse data. Go back together with the data ({restore}, or make rollback RESTORE_DB=1 SET=<it>), or "
        "list the version in release_supported_schemas where that release is known to work with it."
    )
