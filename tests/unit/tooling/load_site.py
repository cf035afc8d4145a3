"""A small site with TLS that offers what the load asks for, and misbehaves once where it is told to."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import own_certificate
from cryptography import x509

ASSET = "/_next/static/chunks/main-0a1b2c.js"
PAGE = f'<html><script src="{ASSET}"></script><link href="/_next/static/css/x.css"></html>'.encode()
WAIT_SECONDS = 0.2  # for whatever "wait" asks for
ABORTIVE_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends a reset


@dataclass(frozen=True)
class Certificate:
    """A certificate for localhost that is its own authority, and its key."""

    certificate: Path
    key: Path


def make_certificate(folder: Path, name: str = "localhost") -> Certificate:
    made = Certificate(folder / "site.crt", folder / "site.key")
    certificate, key = own_certificate.self_signed(x509.DNSName(name))
    made.certificate.write_bytes(certificate)
    made.key.write_bytes(key)
    return made


class Site:
    """Misbehaves once: with the first request for ``path`` after ``spared`` others.

    ``posts`` counts how often each conversation's message was delivered, ``requests`` what was asked for by path.
    """

    def __init__(
        self, certificate: Certificate, fault: str = "", path: str = "", spared: int = 0, idle_limit: int = 0
    ) -> None:
        """:param idle_limit: seconds that it says it will keep an idle connection; 0 says nothing of it."""
        self._certificate = certificate
        self._idle_limit = idle_limit
        self._fault, self._path, self._spared = fault, path, spared
        self.misbehaved = False
        self.port = 0
        self.connections = 0
        self.posts: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._certificate.certificate, self._certificate.key)
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=context, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        # A client that goes away ends the connection, as it should.
        with suppress(OSError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1])) if length else b""
                await self._answer(head, body, writer)
                if "connection: close" in head.lower():
                    writer.close()
        writer.close()

    async def _answer(self, head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        path = head.split(" ", 2)[1]
        self.requests[path] += 1
        told = json.loads(body) if body else {}
        if told:
            self.posts[told["conversation_id"]] += 1
            if "wait" in told["message"]:
                await asyncio.sleep(WAIT_SECONDS)
        whole = _whole_answer(path, told)
        if self._fault and path == self._path and not self.misbehaved:
            if self._spared == 0:
                self.misbehaved = True
                await FAULTS[self._fault](writer, whole)
                return
            self._spared -= 1
        if self._idle_limit:
            whole = whole.replace(b"\r\n", f"\r\nKeep-Alive: timeout={self._idle_limit}\r\n".encode(), 1)
        writer.write(whole)
        await writer.drain()


def _whole_answer(path: str, told: dict[str, str]) -> bytes:
    if path == "/":
        return _chunked([PAGE[:20], PAGE[20:]])
    if path.startswith("/_next/static/"):
        return _sized(path.encode() * 1000)
    if path == "/api/chat/stream":
        return _chunked(
            [b'event: chunk\ndata: {"text": "Walls"}\n\n', f"event: done\ndata: {json.dumps(told)}\n\n".encode()]
        )
    return _sized(json.dumps(told or {"status": "healthy"}).encode())


def _sized(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _chunked(pieces: list[bytes]) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in [*pieces, b""])


# How a site can misbehave: each is given the connection and the whole answer that it owes.


async def _reset_before_the_answer(writer: asyncio.StreamWriter, _whole: bytes) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORTIVE_CLOSE)
    writer.transport.abort()


async def _reset_while_idle(writer: asyncio.StreamWriter, whole: bytes) -> None:
    writer.write(whole)
    await writer.drain()
    await asyncio.sleep(0.02)  # the answer has arrived, the next request has not
    await _reset_before_the_answer(writer, whole)


async def _close_while_idle(writer: asyncio.StreamWriter, whole: bytes) -> None:
    writer.write(whole)
    writer.close()


async def _close_without_an_answer(writer: asyncio.StreamWriter, _whole: bytes) -> None:
    writer.close()


async def _cut_the_answer(writer: asyncio.StreamWriter, whole: bytes) -> None:
    writer.write(whole[:-8])
    writer.close()


async def _answer_502(writer: asyncio.StreamWriter, _whole: bytes) -> None:
    writer.write(_sized(b"<html>Bad Gateway</html>", "502 Bad Gateway"))


async def _answer_something_else(writer: asyncio.StreamWriter, _whole: bytes) -> None:
    writer.write(_sized(b"It works!"))


async def _never_answer(_writer: asyncio.StreamWriter, _whole: bytes) -> None:
    await asyncio.sleep(60)


async def _answer_twice(writer: asyncio.StreamWriter, whole: bytes) -> None:
    writer.write(whole)
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.write(whole)


async def _speak_no_http(writer: asyncio.StreamWriter, _whole: bytes) -> None:
    writer.write(b"220 mail.example ESMTP\r\n\r\n")


FAULTS: dict[str, Callable[[asyncio.StreamWriter, bytes], Awaitable[None]]] = {
    "resets before the answer": _reset_before_the_answer,
    "resets while idle": _reset_while_idle,
    "closes while idle": _close_while_idle,
    "closes without an answer": _close_without_an_answer,
    "cuts the answer": _cut_the_answer,
    "answers 502": _answer_502,
    "answers something else": _answer_something_else,
    "never answers": _never_answer,
    "answers twice": _answer_twice,
    "speaks no HTTP": _speak_no_http,
}
