"""Whether passwords open what they should: new sessions at PostgreSQL and Redis, over their sockets."""

from __future__ import annotations

from . import data_checks, database_apply
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
