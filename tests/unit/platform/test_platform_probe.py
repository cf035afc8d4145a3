"""What a client from outside sees, asked of real servers with real certificates."""

from __future__ import annotations

import datetime as dt
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import probe
from ansible.module_utils.erni.probe import Answer, Site
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAME = "app.example.org"  # never looked up: the address is given
LOOPBACK = "127.0.0.1"
DAY = dt.timedelta(days=1)

# OpenSSL's verdicts (its x509_vfy.h), so that a test can tell one refusal from another.
EXPIRED, UNKNOWN_ISSUER, WRONG_NAME = 10, 20, 62


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(self.key, self.name, DAY, [(x509.BasicConstraints(ca=True, path_length=0), True)])
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(certificate)

    def issue(self, hostname: str, valid_for: dt.timedelta = DAY) -> ssl.SSLContext:
        """A server's side of TLS with a certificate for the name."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(hostname)])
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hostname)])
        pair = self.folder / f"{hostname}-{valid_for.days}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        pair.write_bytes(private + self._sign(key, subject, valid_for, [(names, False)]))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair)
        return context

    def _sign(
        self,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        valid_for: dt.timedelta,
        extensions: list[tuple[x509.ExtensionType, bool]],
    ) -> bytes:
        now = dt.datetime.now(dt.UTC)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 9 * DAY)
            .not_valid_after(now + valid_for)
            .add_extension(identifier, critical=False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@dataclass
class Seen:
    """What a server was asked, and the names that clients wanted to speak to."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    seen: Seen

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.seen.requests.append(
            {
                "method": self.command,
                "path": self.path,
                "host": self.headers.get_all("Host"),
                "type": self.headers.get("Content-Type"),
                "body": self.rfile.read(length),
            }
        )
        self._answer(*ANSWERS.get(self.path, (404, {}, b"no such page")))

    def do_POST(self) -> None:
        self.do_GET()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: a test's output is about its failure."""


ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/": (200, {"Content-Type": "text/html", "X-Erni-Release": "3f391f4"}, "<p>Zürich</p>".encode()),
    "/broken-text": (200, {}, b"Z\xfcrich"),
    "/moved": (301, {"Location": "/"}, b""),
    "/api/chat": (200, {"Content-Type": "application/json"}, b'{"conversation_id": "c1"}'),
    "/readiness": (503, {}, b'{"checks": {}}'),
    "/cut": (200, {"Content-Length": "1000"}, b"<p>the rest is mis"),
}


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[tuple[int, Seen]]:
    """A server on a free port, with TLS where a context is given."""
    seen = Seen()
    server = ThreadingHTTPServer((LOOPBACK, 0), type("Bound", (Handler,), {"seen": seen}))
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is no news
    if context is not None:
        context.sni_callback = lambda _socket, name, _context: seen.names.append(str(name))
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "someone-else")


@pytest.fixture
def secure_site(authority: Authority) -> Iterator[tuple[Site, Seen]]:
    with serving(authority.issue(NAME)) as (port, seen):
        yield Site(NAME, LOOPBACK, 1, port, str(authority.file)), seen


@pytest.fixture
def plain_site() -> Iterator[tuple[Site, Seen]]:
    with serving() as (port, seen):
        yield Site(NAME, LOOPBACK, port, 1), seen


def test_a_page_with_a_valid_certificate_is_answered_at_the_address_of_choice(secure_site: tuple[Site, Seen]) -> None:
    site, seen = secure_site
    answer = site.secure("/")
    assert (answer.status, answer.body) == (200, "<p>Zürich</p>")
    assert (answer.headers["content-type"], answer.headers["x-erni-release"]) == ("text/html", "3f391f4")
    assert seen.names == [NAME], "the server is told by which public name it is meant"
    assert seen.requests == [{"method": "GET", "path": "/", "host": [NAME], "type": None, "body": b""}]


@pytest.mark.parametrize(
    ("hostname", "days", "trusted", "verdict"),
    [
        ("other.example.org", 1, "ours", WRONG_NAME),
        ("*.app.example.org", 1, "ours", WRONG_NAME),
        (NAME, -1, "ours", EXPIRED),
        (NAME, 1, "someone-else", UNKNOWN_ISSUER),
        (NAME, 1, "", UNKNOWN_ISSUER),
    ],
)
def test_a_certificate_that_a_browser_would_refuse_is_refused(
    authority: Authority, stranger: Authority, hostname: str, days: int, trusted: str, verdict: int
) -> None:
    files = {"ours": str(authority.file), "someone-else": str(stranger.file), "": ""}
    with serving(authority.issue(hostname, days * DAY)) as (port, seen):
        site = Site(NAME, LOOPBACK, 1, port, files[trusted])
        with pytest.raises(ssl.SSLCertVerificationError) as refused:
            site.secure("/")
    assert refused.value.verify_code == verdict
    assert isinstance(refused.value, OSError), "the journey tells these errors as findings"
    assert seen.requests == [], "nothing is sent to whom nobody vouches for"


def test_a_body_is_posted_as_json(secure_site: tuple[Site, Seen]) -> None:
    site, seen = secure_site
    answer = site.secure("/api/chat", {"message": "Grüezi"})
    assert answer.json() == {"conversation_id": "c1"}
    (request,) = seen.requests
    assert (request["method"], request["type"]) == ("POST", "application/json")
    assert json.loads(request["body"]) == {"message": "Grüezi"}


def test_an_empty_body_is_a_body(secure_site: tuple[Site, Seen]) -> None:
    site, seen = secure_site
    site.secure("/api/chat", {})
    assert [(request["method"], request["body"]) for request in seen.requests] == [("POST", b"{}")]


def test_port_80_is_asked_without_encryption_by_the_public_name(plain_site: tuple[Site, Seen]) -> None:
    site, seen = plain_site
    assert site.plain("/").status == 200
    assert [(request["path"], request["host"]) for request in seen.requests] == [("/", [NAME])]


def test_a_redirect_is_told_and_not_followed(plain_site: tuple[Site, Seen], secure_site: tuple[Site, Seen]) -> None:
    for site, ask in ((plain_site, plain_site[0].plain), (secure_site, secure_site[0].secure)):
        answer = ask("/moved")
        assert (answer.status, answer.headers["location"]) == (301, "/")
        assert [request["path"] for request in site[1].requests] == ["/moved"]


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/readiness", 503)])
def test_a_refusal_is_an_answer_and_no_error(secure_site: tuple[Site, Seen], path: str, status: int) -> None:
    assert secure_site[0].secure(path).status == status


def test_text_in_another_encoding_is_still_shown(secure_site: tuple[Site, Seen]) -> None:
    assert secure_site[0].secure("/broken-text").body == "Z\N{REPLACEMENT CHARACTER}rich"


@pytest.mark.parametrize(
    ("body", "expected"),
    [('{"a": 1}', {"a": 1}), *((other, {}) for other in ("", "<p>", '{"a":', "[1]", '"a"', "null", "7"))],
)
def test_what_is_no_json_object_is_an_empty_one(body: str, expected: dict[str, int]) -> None:
    assert Answer(200, body=body).json() == expected


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("verb", ["plain", "secure"])
def test_a_port_on_which_nobody_listens_is_an_error_of_the_system(verb: str) -> None:
    port = free_port()
    with pytest.raises(ConnectionRefusedError):
        getattr(Site(NAME, LOOPBACK, port, port), verb)("/")


@contextmanager
def greeting(words: bytes, hold: float = 0) -> Iterator[int]:
    """A port behind which something says its words, whatever it is asked, and hangs up."""
    with socket.create_server((LOOPBACK, 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(words)
                if not hold:
                    connection.recv(4096)
                time.sleep(hold)

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join()


@pytest.mark.parametrize("verb", ["plain", "secure"])
def test_a_server_that_says_nothing_does_not_hold_up_the_run(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "TIMEOUT", 0.1)
    with greeting(b"", hold=0.5) as port, pytest.raises(TimeoutError):
        getattr(Site(NAME, LOOPBACK, port, port), verb)("/")


def test_plain_text_where_tls_belongs_is_an_error_of_tls(plain_site: tuple[Site, Seen]) -> None:
    site, _ = plain_site
    with pytest.raises(ssl.SSLError):
        Site(NAME, LOOPBACK, 1, site.http_port).secure("/")


def test_an_authority_that_does_not_exist_is_an_error_of_the_system(secure_site: tuple[Site, Seen]) -> None:
    site, _ = secure_site
    with pytest.raises(FileNotFoundError):
        Site(NAME, LOOPBACK, 1, site.https_port, "/nowhere/ca.crt").secure("/")


def test_an_answer_that_ends_too_early_is_an_error_of_the_system(secure_site: tuple[Site, Seen]) -> None:
    with pytest.raises(OSError, match=r"\w"):
        secure_site[0].secure("/cut")


def test_a_server_of_another_protocol_is_an_error_of_the_system() -> None:
    with greeting(b"SSH-2.0-OpenSSH_9.2\r\n") as port, pytest.raises(OSError, match=r"\w"):
        Site(NAME, LOOPBACK, port, 1).plain("/")
