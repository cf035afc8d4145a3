"""What opens what: database logins, Redis passwords and tokens, tried as whoever has them would."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

import e2e_web
import psycopg2
import redis
from e2e_platform import PLATFORM_ROOT

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


def redis_opens(password: str) -> bool:
    client = redis.Redis(unix_socket_path=str(PLATFORM_ROOT / "run" / "redis" / "redis.sock"), password=password)
    try:
        return bool(client.ping())
    except redis.AuthenticationError:
        return False
    finally:
        client.close()


def token(key: str) -> str:
    """As the application signs it (RFC 7519, RFC 7515 section 3.1; HS256)."""
    claims = {"sub": "ada", "exp": int(time.time()) + 1800}
    parts = [_encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signature = hmac.digest(key.encode(), ".".join(parts).encode(), hashlib.sha256)
    return ".".join((*parts, _encoded(signature)))


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def user_of(bearer: str) -> str | None:
    """Whom the application takes for logged in, None where it refuses the token."""
    answer = e2e_web.secure("GET", "/api/users/me", headers={"Authorization": f"Bearer {bearer}"})
    assert answer.status in (200, 401), answer
    return str(answer.json()["username"]) if answer.status == 200 else None
