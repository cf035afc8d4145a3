"""A web server and a mail server (RFC 5321, with STARTTLS and AUTH) of the tests' own, on the loopback interface."""

from __future__ import annotations

import base64
import ipaddress
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import own_certificate
from cryptography import x509

LOOPBACK = "127.0.0.1"


def self_signed(path: Path) -> ssl.SSLContext:
    """A server's side of TLS; who trusts the file ``path`` trusts the server."""
    path.write_bytes(b"".join(own_certificate.self_signed(x509.IPAddress(ipaddress.ip_address(LOOPBACK)))))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@dataclass
class Web:
    """Requests as they came in. ``answers`` are used up in order: a status, or None to hang up without one."""

    port: int = 0
    answers: list[int | None] = field(default_factory=list)
    body: str = "ok"
    seen: list[tuple[str, str, str, bytes]] = field(default_factory=list)


@contextmanager
def web_server(tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            web.seen.append(("POST", self.path, self.headers["Content-Type"], content))
            status = web.answers.pop(0) if web.answers else 200
            if status is None:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(web.body.encode())

        def do_GET(self) -> None:
            web.seen.append(("GET", self.path, "", b""))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    web.port = server.server_address[1]
    with _serving(server):
        yield web


@dataclass(frozen=True)
class Mail:
    sender: str
    recipients: tuple[str, ...]
    content: bytes
    encrypted: bool
    user: str


@dataclass
class MailBox:
    """What arrived. ``drops`` connections are closed before a greeting; ``refused`` recipients are not taken."""

    port: int = 0
    starttls: ssl.SSLContext | None = None
    login: tuple[str, str] = ("", "")
    drops: int = 0
    refused: set[str] = field(default_factory=set)
    arrived: list[Mail] = field(default_factory=list)
    connections: int = 0


@contextmanager
def mail_server(tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None) -> Iterator[MailBox]:
    """:param tls: encrypts from the first byte; ``starttls`` after a greeting."""
    box = MailBox(starttls=starttls)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            box.connections += 1
            if box.connections > box.drops:
                Conversation(self.request, box).hold()

    server = socketserver.ThreadingTCPServer((LOOPBACK, 0), Handler)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    box.port = server.server_address[1]
    with _serving(server):
        yield box


class Conversation:
    """One client's: a command a line, an answer for each."""

    def __init__(self, connection: ssl.SSLSocket, box: MailBox) -> None:
        self.box, self.connection = box, connection
        self.reader = connection.makefile("rb")
        self.user, self.sender = "", ""
        self.recipients: list[str] = []

    def hold(self) -> None:
        self.say("220 here")
        while line := self.reader.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            if verb.upper() == "QUIT":
                self.say("221 bye")
                return
            getattr(self, f"on_{verb.lower()}", self.on_unknown)(rest)

    def say(self, answer: str) -> None:
        self.connection.sendall(f"{answer}\r\n".encode())

    @property
    def encrypted(self) -> bool:
        return isinstance(self.connection, ssl.SSLSocket)

    def on_unknown(self, _rest: str) -> None:
        self.say("502 not known")

    def on_ehlo(self, _rest: str) -> None:
        self.say("250-here")
        if self.box.starttls and not self.encrypted:
            self.say("250-STARTTLS")
        self.say("250 AUTH PLAIN")

    def on_starttls(self, _rest: str) -> None:
        if self.box.starttls is None:
            self.say("454 no TLS")
            return
        self.say("220 go on")
        self.connection = self.box.starttls.wrap_socket(self.connection, server_side=True)
        self.reader = self.connection.makefile("rb")

    def on_auth(self, rest: str) -> None:
        _, user, password = base64.b64decode(rest.split()[1]).decode().split("\0")
        if (user, password) == self.box.login:
            self.user = user
            self.say("235 welcome")
        else:
            self.say(f"535 {password} is wrong")

    def on_mail(self, rest: str) -> None:
        if self.box.login != ("", "") and not self.user:
            self.say("530 log in first")
            return
        self.sender = between_brackets(rest)
        self.say("250 ok")

    def on_rcpt(self, rest: str) -> None:
        recipient = between_brackets(rest)
        if recipient in self.box.refused:
            self.say("550 nobody of that name")
            return
        self.recipients.append(recipient)
        self.say("250 ok")

    def on_rset(self, _rest: str) -> None:
        self.recipients.clear()
        self.say("250 ok")

    def on_data(self, _rest: str) -> None:
        self.say("354 go on")
        lines = []
        while (line := self.reader.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        content = b"".join(lines)
        self.box.arrived.append(Mail(self.sender, tuple(self.recipients), content, self.encrypted, self.user))
        self.say("250 taken")


def between_brackets(text: str) -> str:
    return text.partition("<")[2].partition(">")[0]


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
