"""A token as the application signs it, and what it takes that for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import ssl
import time


def token(key: str) -> str:
    """RFC 7519, RFC 7515 section 3.1; HS256."""
    claims = {"sub": "ada", "exp": int(time.time()) + 1800}
    parts = [_encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signature = hmac.digest(key.encode(), ".".join(parts).encode(), hashlib.sha256)
    return ".".join((*parts, _encoded(signature)))


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def user_of(bearer: str, port: int, authority: str) -> str | None:
    """Who is logged in with it at this machine's platform; None where it is refused."""
    context = ssl.create_default_context(cafile=authority)
    connection = http.client.HTTPSConnection("localhost", port, timeout=30, context=context)
    try:
        connection.request("GET", "/api/users/me", headers={"Authorization": f"Bearer {bearer}"})
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    if answer.status not in (200, 401):
        raise AssertionError(f"it answered {answer.status}: {text}")
    return str(json.loads(text)["username"]) if answer.status == 200 else None
