"""HTTP/1.1 over TLS as thin as it gets: one connection, one request at a time, and never a second try.

A client library would hide what is measured here: it retries on a connection that the server has just closed, and
takes a body that ends early for a whole one.
"""

from __future__ import annotations

import asyncio
import math
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

CONNECT_SECONDS = 10.0
# A server's word for how long it keeps an idle connection (RFC 2068, section 19.7.1), and how much earlier a client
# gives it up: both may act at the same moment, and the request is lost then. Node's own client does just this.
_IDLE_LIMIT = re.compile(rb"timeout=(\d+)")
EARLIER_SECONDS = 1.0


class RequestFailedError(Exception):
    """A request that got no whole answer; the text says how."""


@dataclass(frozen=True)
class Server:
    """Where to connect to, and the name that its certificate must be valid for."""

    address: str
    port: int
    hostname: str
    context: ssl.SSLContext


@dataclass(frozen=True)
class Response:
    """A whole answer. The server closes the connection after it unless ``keep_alive``; ``idle_limit`` is for how many
    seconds it says that it will keep it when nothing is asked (infinity where it does not say)."""

    status: int
    body: bytes
    keep_alive: bool
    idle_limit: float = math.inf


class ResponseReader:
    """Takes the bytes of one answer as they come (RFC 9112, sections 6 and 7)."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._body = bytearray()
        self._received = 0
        self._status = 0
        self._keep_alive, self._idle_limit = True, math.inf
        self._chunked = False
        self._length: int | None = None
        self.complete = False

    def feed(self, data: bytes) -> None:
        """:raises RequestFailedError: for bytes that are no HTTP."""
        self._received += len(data)
        self._bytes += data
        try:
            if self._status or self._read_head():
                self._read_body()
        except (ValueError, IndexError):
            raise RequestFailedError("the answer is no HTTP") from None

    def response(self) -> Response:
        return Response(self._status, bytes(self._body), self._keep_alive, self._idle_limit)

    def closed(self) -> None:
        """The connection has ended.

        :raises RequestFailedError: unless that is how this answer tells its end.
        """
        if self.complete:
            return
        if self._status and not self._chunked and self._length is None:
            self.complete, self._keep_alive = True, False
            return
        if not self._received:
            raise RequestFailedError("closed without an answer")
        of = f" of {self._length}" if self._length is not None else ""
        raise RequestFailedError(f"cut short: {len(self._body)}{of} bytes of the body came")

    def _read_head(self) -> bool:
        end = self._bytes.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *lines = bytes(self._bytes[:end]).split(b"\r\n")
        del self._bytes[: end + 4]
        if not first.startswith(b"HTTP/1."):
            raise ValueError(first)
        headers = dict(_header(line) for line in lines)
        self._status = int(first.split(b" ", 2)[1])
        self._keep_alive = headers.get(b"connection") != b"close"
        if limit := _IDLE_LIMIT.search(headers.get(b"keep-alive", b"")):
            self._idle_limit = float(limit[1])
        self._chunked = headers.get(b"transfer-encoding") == b"chunked"
        if self._status in (204, 304):
            self._length = 0
        elif b"content-length" in headers:
            self._length = int(headers[b"content-length"])
        return True

    def _read_body(self) -> None:
        if self._chunked:
            self._read_chunks()
            return
        self._body += self._bytes
        self._bytes.clear()
        if self._length is not None and len(self._body) > self._length:
            raise ValueError(self._length)
        self.complete = len(self._body) == self._length

    def _read_chunks(self) -> None:
        while not self.complete:
            line = self._bytes.find(b"\r\n")
            if line < 0:
                return
            size = int(self._bytes[:line].partition(b";")[0], 16)
            begin, end = line + 2, line + 2 + size
            if len(self._bytes) < end + 2:
                return
            self._body += self._bytes[begin:end]
            del self._bytes[: end + 2]
            self.complete = size == 0


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.lower(), value.strip().lower()


class Connection(asyncio.Protocol):
    """One connection. ``on_loss`` hears of a reset that hit it while nothing was under way ('' for an orderly end)."""

    def __init__(self, on_loss: Callable[[Connection, str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_loss = on_loss
        self._transport: asyncio.Transport | None = None
        self._reader: ResponseReader | None = None
        self._last = False
        self._answer: asyncio.Future[Response] | None = None
        self._ended_here = False
        self.alive = True
        self.opened = self._loop.time()
        self._given_up_at = math.inf

    @property
    def age(self) -> float:
        """Seconds since it was opened."""
        return self._loop.time() - self.opened

    @property
    def reusable(self) -> bool:
        """Whether a request may be sent on it: the server has not closed it, and is not about to."""
        return self.alive and self._loop.time() < self._given_up_at

    async def exchange(self, request: bytes, timeout: float, *, last: bool = False) -> Response:
        """Send the request once and wait for its whole answer; the connection ends with the ``last`` one.

        :raises RequestFailedError: when that does not come.
        """
        assert self._transport is not None
        assert self._answer is None, "one request at a time"
        self._reader, self._answer, self._last = ResponseReader(), self._loop.create_future(), last
        clock = self._loop.call_later(timeout, self._fail, "no whole answer in time")
        try:
            self._transport.write(request)
            return await self._answer
        finally:
            clock.cancel()
            self._reader = self._answer = None

    def close(self) -> None:
        self.alive, self._ended_here = False, True
        if self._transport is not None:
            self._transport.close()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._reader is None or self._answer is None or self._answer.done():
            self._abort()
            self._on_loss(self, "an answer that nobody had asked for")
            return
        try:
            self._reader.feed(data)
        except RequestFailedError as error:
            self._fail(str(error))
            return
        if self._reader.complete:
            response = self._reader.response()
            self._answer.set_result(response)
            self._given_up_at = self._loop.time() + response.idle_limit - EARLIER_SECONDS
            if self._last or not response.keep_alive:
                self.close()  # here, so that the server, which closes too, is never seen to be first

    def eof_received(self) -> None:
        self.alive = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive = False
        if self._answer is not None:
            self._end_answer(exc)
        elif not self._ended_here:
            self._on_loss(self, f"reset while idle ({type(exc).__name__})" if exc else "")

    def _end_answer(self, exc: Exception | None) -> None:
        assert self._reader is not None
        assert self._answer is not None
        if self._answer.done():
            return
        try:
            if exc is not None:
                raise RequestFailedError(f"reset ({type(exc).__name__})")
            self._reader.closed()
        except RequestFailedError as error:
            self._answer.set_exception(error)
        else:
            self._answer.set_result(self._reader.response())

    def _fail(self, error: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(RequestFailedError(error))
        self._abort()

    def _abort(self) -> None:
        self.alive, self._ended_here = False, True
        if self._transport is not None:
            self._transport.abort()


async def connect(server: Server, on_loss: Callable[[Connection, str], None]) -> Connection:
    """:raises RequestFailedError: when no connection comes about, or its certificate is not good."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            made: tuple[Any, Connection] = await loop.create_connection(
                lambda: Connection(on_loss),
                server.address,
                server.port,
                ssl=server.context,
                server_hostname=server.hostname,
            )
    except TimeoutError:
        raise RequestFailedError(f"no connection within {CONNECT_SECONDS:g} s") from None
    except (OSError, ssl.SSLError) as error:
        raise RequestFailedError(f"no connection: {error or type(error).__name__}") from error
    return made[1]
