"""What opens what: database logins, Redis passwords and tokens, tried as whoever has them would."""

from __future__ import annotations

import e2e_web
import psycopg2
import redis
from e2e_platform import HTTPS_PORT, PLATFORM_ROOT
from signed_token import token
from signed_token import user_of as user_of_token

LOGINS = ("erni_app_a", "erni_app_b")
REFUSALS = ("authentication failed", "not permitted to log in")


def login_opens(password: str) -> list[str]:
    """The database logins that take it."""
    return [login for login in LOGINS if _session(login, password)]


def _session(login: str, password: str) -> bool:
    folder = str(PLATFORM_ROOT / "run" / "postgres")
    try:
        psycopg2.connect(host=folder, dbname="erni_agents", user=login, password=password).close()
    except psycopg2.OperationalError as error:
        if not any(said in str(error) for said in REFUSALS):
            raise
        return False
    return True


def as_superuser(password: str, statement: str) -> None:
    """With another password than the platform knows."""
    folder = str(PLATFORM_ROOT / "run" / "postgres")
    connected = psycopg2.connect(host=folder, dbname="postgres", user="postgres", password=password)
    try:
        with connected, connected.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connected.close()


def _redis(password: str, user: str | None = None) -> redis.Redis:
    path = str(PLATFORM_ROOT / "run" / "redis" / "redis.sock")
    return redis.Redis(unix_socket_path=path, username=user, password=password)


def as_redis_operator(password: str, *command: str) -> None:
    """With another password than the platform knows, perhaps."""
    with _redis(password, "operator") as client:
        client.execute_command(*command)


def redis_opens(password: str) -> bool:
    with _redis(password) as client:
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            return False


def user_of(bearer: str) -> str | None:
    """Whom the application takes for logged in, None where it refuses the token."""
    return user_of_token(bearer, HTTPS_PORT, str(e2e_web.AUTHORITY))


def assert_opens(values: dict[str, str]) -> None:
    assert len(login_opens(values["db_password"])) == 1
    assert redis_opens(values["redis_password"])
    assert user_of(token(values["jwt_secret_key"])) == "ada"


def assert_refused(values: dict[str, str]) -> None:
    assert login_opens(values["db_password"]) == []
    assert not redis_opens(values["redis_password"])
    assert user_of(token(values["jwt_secret_key"])) is None
