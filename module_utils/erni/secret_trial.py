"""Whether passwords open what they should: new sessions at PostgreSQL and Redis, and what a registry gives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import data_checks, database_apply, engine
from .errors import PlatformError

REMEDY = "What is in use holds on. Run make rotate again, which goes on here; make logs shows what the server says."


def login_opens(socket_folder: str, database: str, login: str, password: str, owner: str) -> None:
    """A session of the login acts as the owner.

    :raises PlatformError: when it cannot be opened, or acts as somebody else.
    """
    with (
        database_apply.connection(socket_folder, database, login, password, wait_seconds=5) as connected,
        connected.cursor() as cursor,
    ):
        cursor.execute("select current_user")
        acts_as = cursor.fetchone()[0]
    if acts_as != owner:
        raise PlatformError(
            f"Sessions of {login} would not own what they make", f"they act as {acts_as}, not as {owner}", REMEDY
        )


def redis_opens(socket_path: str, password: str) -> None:
    """:raises PlatformError: when Redis refuses the application's user with it."""
    answer = data_checks.redis_login(socket_path, password)
    if answer != "+OK":
        raise PlatformError("Redis refuses the successor of redis_password", f"it said '{answer}'", REMEDY)


def registry_gives(client: Any, images: Iterable[str], credentials: dict[str, str]) -> None:
    """Whether an image is on this host does not matter: the registry is asked.

    :raises PlatformError: for the first that it does not give.
    """
    for reference in images:
        reason = engine.missing_in_registry(client, reference, credentials)
        if reason:
            raise PlatformError(
                f"The registry does not give {reference} to {credentials['username']} with the new password",
                reason,
                "What is in use holds on. Nothing was changed; see that FILE holds the right one.",
            )
