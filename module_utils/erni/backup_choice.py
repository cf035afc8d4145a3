"""Which set a restore takes, and whether it may. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from .backup_set import POSTGRES, REDIS, SECRETS, SESSIONS, Manifest, Part, newest
from .errors import PlatformError

DATA, ALL = "data", ""
KINDS = {
    ALL: (POSTGRES, REDIS, SESSIONS),
    POSTGRES: (POSTGRES,),
    REDIS: (REDIS,),
    DATA: (SESSIONS,),
    SECRETS: (SECRETS,),
}


def choose(sets: Iterable[Manifest], wanted: str, folder: str) -> Manifest:
    """The set of that id; without one the newest, those aside that were made of what a restore has replaced.

    :raises PlatformError: when there is none.
    """
    there = list(sets)
    found = next((one for one in there if one.id == wanted), None) if wanted else newest(there)
    if found is None:
        raise PlatformError(
            f"There is no set {wanted}" if wanted else "There is no set to restore from",
            f"{folder} has {len(there)} others" if wanted else f"{folder} has none",
            "Nothing was touched. make backups lists those there are.",
        )
    return found


def require_identity_of(manifest: Manifest, environment: str, said: str) -> None:
    """A set of another environment is restored only where that one was named.

    :raises PlatformError: otherwise.
    """
    if manifest.environment not in (environment, said):
        raise PlatformError(
            f"Set {manifest.id} is of the environment {manifest.environment}, and this is {environment}",
            "its data would replace that of another environment",
            f"Nothing was touched. If that is meant: FROM={manifest.environment}.",
        )
    if said and said != manifest.environment:
        raise PlatformError(
            f"Set {manifest.id} is of the environment {manifest.environment}, not of {said}",
            "FROM names another one",
            "Nothing was touched. make backups lists the sets.",
        )


def parts_for(manifest: Manifest, kind: str, hosts: list[str]) -> dict[str, Part]:
    """What each of the kind's hosts gets: that which it gave, or, where there is one host and one part, that.

    :raises PlatformError: where a host would get nothing, or a part would go nowhere.
    """
    parts = [part for part in manifest.part(kind) if part.files]
    if len(parts) == 1 and len(hosts) == 1:
        return {hosts[0]: parts[0]}
    by_host = {part.host: part for part in parts}
    if parts and set(by_host) != set(hosts):
        raise PlatformError(
            f"Whose {kind} are whose cannot be told",
            f"set {manifest.id} has them of {', '.join(sorted(by_host))}, and here are {', '.join(hosts)}",
            "Nothing was touched. Restore into an inventory with the same hosts, or without this: ONLY=postgres.",
        )
    return by_host
