"""HTTP(S) as a client from outside sees it: by public name, certificate checked, at an address of choice."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass, field
from typing import Any

TIMEOUT = 20


@dataclass(frozen=True)
class Answer:
    """``headers`` with lower-case names."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""

    def json(self) -> dict[str, Any]:
        """The body as a JSON object, or an empty one where it is none."""
        try:
            told = json.loads(self.body)
        except ValueError:
            return {}
        return told if isinstance(told, dict) else {}


@dataclass(frozen=True)
class Site:
    """A site at an address. ``authority`` is a PEM file to trust in place of the system's ('' for those)."""

    hostname: str
    address: str
    http_port: int
    https_port: int
    authority: str = ""

    def plain(self, path: str) -> Answer:
        connection = http.client.HTTPConnection(self.address, self.http_port, timeout=TIMEOUT)
        return self._ask(connection, "GET", path, None)

    def secure(self, path: str, body: dict[str, Any] | None = None) -> Answer:
        """GET, or POST with a JSON body. The certificate must be valid for the host name.

        :raises OSError: when no answer comes; ``ssl.SSLCertVerificationError`` among them.
        """
        context = ssl.create_default_context(cafile=self.authority or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        connection = http.client.HTTPSConnection(self.hostname, self.https_port, timeout=TIMEOUT, context=context)
        raw = socket.create_connection((self.address, self.https_port), timeout=TIMEOUT)
        try:
            connection.sock = context.wrap_socket(raw, server_hostname=self.hostname)
        except OSError:
            raw.close()
            raise
        return self._ask(connection, "GET" if body is None else "POST", path, body)

    def _ask(self, connection: http.client.HTTPConnection, method: str, path: str, body: Any) -> Answer:
        headers = {"Host": self.hostname, "User-Agent": "erni-verify"}
        payload = None
        if body is not None:
            payload = json.dumps(body)
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, payload, headers)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, text)
        except http.client.HTTPException as error:
            raise ConnectionError(f"the answer is no whole HTTP answer ({type(error).__name__})") from error
        finally:
            connection.close()
