"""Which requests the load sends, and what a right answer to each is."""

from __future__ import annotations

import json
import random
import re
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from load_http import Response
from load_settings import IDLE, Settings

QUESTION = "What does a timber extension cost?"
_ASSET = re.compile(rb"/_next/static/[A-Za-z0-9_./~%-]+\.(?:js|css|woff2)")


@dataclass(frozen=True)
class Order:
    """A request to be sent once. ``post`` is the id of what it is to leave in the database ('' for nothing).

    The answer must hold ``proof``, and with a ``checksum`` be that very file. ``last`` is on a connection of its own.
    """

    kind: str
    request: bytes
    correlation_id: str
    timeout: float
    proof: bytes = b""
    post: str = ""
    checksum: int | None = None
    last: bool = False

    def problem(self, response: Response) -> str:
        """What is wrong with an answer that came whole, or ''."""
        if not 200 <= response.status < 300:
            return f"status {response.status}"
        if self.proof not in response.body:
            return f"the answer does not hold {self.proof.decode()}"
        if self.checksum is not None and self.checksum != zlib.crc32(response.body):
            return "another file than before"
        return ""


class Orders:
    """Makes requests. ``assets`` are the files of all pages that were read, with their checksums."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._host = f"{settings.hostname}:{settings.port}"
        self._random = random.Random()  # noqa: S311 - which request comes next is no secret
        self._run, self._count = uuid.uuid4().hex[:6], 0
        self._kinds, self._shares = list(settings.mixture), list(settings.mixture.values())
        self._makers: dict[str, Callable[[], Order]] = {
            "health": lambda: self._get("health", "/health", b'"healthy"'),
            "page": self.page,
            "fresh": lambda: replace(self._get("fresh", "/health", b'"healthy"', "Connection: close\r\n"), last=True),
            "post": lambda: self._post("post", "/api/chat"),
            "slow": lambda: self._post("slow", "/api/chat", settings.slow_seconds),
            "stream": lambda: self._post("stream", "/api/chat/stream", self._random.uniform(*settings.stream_seconds)),
            "asset": lambda: self.asset(self._random.choice(list(self.assets))),
        }
        self.assets: dict[str, int] = {}

    def any(self) -> Order:
        """One of the mixture."""
        return self._makers[self._random.choices(self._kinds, self._shares)[0]]()

    def page(self) -> Order:
        return self._get("page", "/", b"</html>")

    def asset(self, path: str) -> Order:
        return self._get("asset", path, checksum=self.assets.get(path))

    def idle(self) -> Order:
        """On a connection that has waited: a POST half of the time, which no proxy may send again by itself."""
        return (
            self._post(IDLE, "/api/chat") if self._random.random() < 0.5 else self._get(IDLE, "/health", b'"healthy"')
        )

    def pause(self) -> float:
        """How many seconds an idle connection waits before its next request."""
        return self._random.uniform(*self._settings.idle_pause)

    def _get(self, kind: str, path: str, proof: bytes = b"", headers: str = "", checksum: int | None = None) -> Order:
        correlation_id = self._next_id()
        head = self._head("GET", path, correlation_id, headers)
        return Order(kind, head, correlation_id, self._settings.timeout, proof, checksum=checksum)

    def _post(self, kind: str, path: str, seconds: float = 0.0) -> Order:
        correlation_id, conversation = self._next_id(), str(uuid.uuid4())
        message = f"{QUESTION} Please wait {seconds:.1f}" if seconds else QUESTION
        body = json.dumps({"conversation_id": conversation, "message": message})
        headers = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        request = self._head("POST", path, correlation_id, headers) + body.encode()
        # The id of the conversation stands in the last event of a stream, and nowhere before.
        timeout = self._settings.timeout + seconds
        return Order(kind, request, correlation_id, timeout, conversation.encode(), conversation)

    def _head(self, method: str, path: str, correlation_id: str, headers: str) -> bytes:
        return (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nUser-Agent: erni-load\r\n"
            f"X-Correlation-ID: {correlation_id}\r\n{headers}\r\n"
        ).encode()

    def _next_id(self) -> str:
        self._count += 1
        return f"load-{self._run}-{self._count}"


def assets_of(page: bytes) -> list[str]:
    """The files that a page refers to, each once."""
    return sorted({path.decode() for path in _ASSET.findall(page)})
