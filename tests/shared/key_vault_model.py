"""A model of Azure Key Vault, and of the endpoint that gives a machine its token, since no server of either can be had.

Written from the services' references ("Get Secret", "Set Secret", "Authentication, requests and responses", "App
Service managed identity"). It shows that the client is used as it wants to be, not what Azure does beyond that.
"""

from __future__ import annotations

import json
import secrets
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from cryptography import x509
from own_certificate import self_signed


class KeyVault(BaseHTTPRequestHandler):
    """Versions by name. Without a token it says where to get one."""

    versions: dict[str, list[tuple[str, dict[str, Any]]]]
    token: str

    def do_GET(self) -> None:
        if not self._is_let_in():
            return
        name, version = (*urlparse(self.path).path.strip("/").split("/")[1:], "")[:2]
        known = [one for one in self.versions.get(name, []) if version in ("", "versions", one[0])]
        if not known:
            self._answer(404, {"error": {"code": "SecretNotFound", "message": f"{name} is not there"}})
        elif version == "versions":
            self._answer(200, {"value": [self._bundle(name, *one) for one in known], "nextLink": None})
        else:
            self._answer(200, self._bundle(name, *known[-1]))

    def do_PUT(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or b"{}")
        name = urlparse(self.path).path.strip("/").split("/")[1]
        if self._is_let_in():
            made = (secrets.token_hex(16), content)
            self.versions.setdefault(name, []).append(made)
            self._answer(200, self._bundle(name, *made))

    def _is_let_in(self) -> bool:
        if self.headers["Authorization"] == f"Bearer {self.token}":
            return True
        port = self.server.server_address[1]
        self.send_response(401)
        # A client insists that its vault lies below the resource's domain: 127.0.0.1 below "0.0.1".
        challenge = f'Bearer authorization="https://127.0.0.1:{port}/tenant", resource="https://0.0.1:{port}"'
        self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def _bundle(self, name: str, version: str, content: dict[str, Any]) -> dict[str, Any]:
        moment = int(time.time())
        identifier = f"https://127.0.0.1:{self.server.server_address[1]}/secrets/{name}/{version}"
        attributes = {"enabled": True, "created": moment, "updated": moment}
        return {"value": content["value"], "id": identifier, "attributes": attributes}

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        answer_json(self, status, content)

    def log_message(self, *_: object) -> None: ...


class Identity(BaseHTTPRequestHandler):
    """Gives whoever knows the header's value the token."""

    token: str
    secret: str

    def do_GET(self) -> None:
        known = self.headers["X-IDENTITY-HEADER"] == self.secret
        token = {"access_token": self.token, "expires_on": str(int(time.time()) + 3600), "token_type": "Bearer"}
        answer_json(self, 200 if known else 401, token if known else {})

    def log_message(self, *_: object) -> None: ...


def answer_json(handler: BaseHTTPRequestHandler, status: int, content: dict[str, Any]) -> None:
    body = json.dumps(content).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The vault's URL, and the environment of a machine that is let in."""
    certificate, key = self_signed(x509.IPAddress(IPv4Address("127.0.0.1")))
    authority, both = folder / "authority.pem", folder / "both.pem"
    authority.write_bytes(certificate)
    both.write_bytes(certificate + key)
    token, secret = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    vault = ThreadingHTTPServer(("127.0.0.1", 0), type("Vault", (KeyVault,), {"versions": {}, "token": token}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    vault.socket = context.wrap_socket(vault.socket, server_side=True)
    identity = ThreadingHTTPServer(("127.0.0.1", 0), type("Id", (Identity,), {"token": token, "secret": secret}))
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in (vault, identity)]
    for thread in threads:
        thread.start()
    try:
        yield (
            f"https://127.0.0.1:{vault.server_address[1]}",
            {
                "IDENTITY_ENDPOINT": f"http://127.0.0.1:{identity.server_address[1]}/token",
                "IDENTITY_HEADER": secret,
                "REQUESTS_CA_BUNDLE": str(authority),
            },
        )
    finally:
        for server in (vault, identity):
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join()
