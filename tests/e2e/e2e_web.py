"""The platform as a browser or a script sees it from outside: over its published ports, certificates checked."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from e2e_platform import HTTP_PORT, HTTPS_PORT, PLATFORM_ROOT

JSON = {"Content-Type": "application/json"}
AUTHORITY = PLATFORM_ROOT / "authority" / "ca.crt"


@dataclass(frozen=True)
class Answer:
    """Header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: str

    def json(self) -> Any:
        return json.loads(self.body)


def secure(method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
    return _ask(_secure_connection(), method, path, body, headers)


def plain(path: str) -> Answer:
    return _ask(http.client.HTTPConnection("localhost", HTTP_PORT, timeout=30), "GET", path, None, None)


def certificate(authority: Path = AUTHORITY) -> bytes:
    """What a new connection gets, in DER; checked against the authority (the local one) like every other."""
    connection = _secure_connection(authority)
    try:
        connection.connect()
        return cast("ssl.SSLSocket", connection.sock).getpeercert(binary_form=True) or b""
    finally:
        connection.close()


def _secure_connection(authority: Path = AUTHORITY) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=str(authority))
    return http.client.HTTPSConnection("localhost", HTTPS_PORT, timeout=30, context=context)


def _ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, headers: dict[str, str] | None
) -> Answer:
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, text)
    finally:
        connection.close()


def chat(message: str) -> dict[str, Any]:
    """Send a message through nginx; the answer names its conversation."""
    answer = secure("POST", "/api/chat", json.dumps({"message": message}).encode(), JSON)
    assert answer.status == 200, answer
    return dict(answer.json())


def stream_chat(message: str) -> list[float]:
    """When each piece of the streamed answer arrived, in seconds since the request."""
    connection = _secure_connection()
    try:
        begin = time.monotonic()
        body = json.dumps({"message": message})
        connection.request("POST", "/api/chat/stream", body, JSON)
        response = connection.getresponse()
        assert response.status == 200
        arrivals = []
        while response.read1(65536):
            arrivals.append(time.monotonic() - begin)
        return arrivals
    finally:
        connection.close()


def handshake(*options: str) -> subprocess.CompletedProcess[str]:
    """openssl's own client against the published port; its exit code tells whether a session came about."""
    words = ["openssl", "s_client", "-connect", f"127.0.0.1:{HTTPS_PORT}", "-servername", "localhost"]
    words += ["-CAfile", str(AUTHORITY), "-verify_return_error", *options]
    # The server may already speak HTTP/2, which is no text.
    return subprocess.run(words, input="", capture_output=True, text=True, errors="replace", timeout=30, check=False)
