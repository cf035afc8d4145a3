"""SCRAM-SHA-256 verifiers as PostgreSQL stores them, so that no clear-text password reaches the server's log.

Sources: RFC 5802 section 3, RFC 7677, and PostgreSQL's ``src/common/scram-common.c`` (``scram_build_secret``).
SASLprep (RFC 4013) leaves printable ASCII as it is; the platform's passwords are that, and others are refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re

from .errors import PlatformError

ITERATIONS = 4096
_STORED = re.compile(r"^SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)$")


def verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """The string that ``ALTER ROLE … PASSWORD`` takes in place of the password."""
    if not (password and password.isascii() and password.isprintable()):
        raise PlatformError(
            "A database password has characters that are not printable ASCII",
            "its SCRAM verifier would depend on the client's Unicode normalisation",
            "Choose one of printable ASCII characters (make secrets does).",
        )
    salt = os.urandom(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    parts = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${iterations}:{parts[0]}${parts[1]}:{parts[2]}"


def matches(password: str, stored: str | None) -> bool:
    """Whether a stored verifier was made from the password."""
    found = _STORED.match(stored or "")
    if not found:
        return False
    again = verifier(password, base64.b64decode(found[2]), int(found[1]))
    return hmac.compare_digest(again, found[0])
