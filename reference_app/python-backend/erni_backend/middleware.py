"""What wraps every request: the correlation id, the access log and the request metrics."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from erni_backend import metrics
from erni_backend.logs import correlation_id

HEADER = "X-Correlation-ID"
# Asked every few seconds by machines: neither counted nor logged, so that an idle platform is silent.
UNCOUNTED = ("/health", "/metrics")

_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
log = logging.getLogger("erni_backend.access")


class RequestRecord:
    """Outermost, around the framework's own error handling, so that a 500 carries the header and is counted too."""

    def __init__(self, app: ASGIApp, known_paths: Collection[str]) -> None:
        self._app = app
        self._known_paths = frozenset(known_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _correlation_id(scope)
        token = correlation_id.set(request_id)
        # 499, as in nginx's log: nothing was answered, for the client has gone.
        status, started = 499, time.perf_counter()

        async def send_with_header(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_header)
        finally:
            self._record(scope, status, time.perf_counter() - started)
            correlation_id.reset(token)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        path, method = scope["path"], scope["method"]
        if path in UNCOUNTED:
            return
        # Names that clients invent would make a time series each.
        handler = path if path in self._known_paths else "none"
        method = method if method in _METHODS else "other"
        metrics.HTTP_REQUESTS.labels(method, handler, f"{status // 100}xx").inc()
        metrics.HTTP_DURATION.labels(method, handler).observe(seconds)
        # The path without its query, which may hold what nobody should read later.
        log.info("%s %s %d %.0f ms %s", method, path, status, seconds * 1_000, _client(scope))


def _correlation_id(scope: Scope) -> str:
    offered = Headers(scope=scope).get(HEADER, "")
    return offered if _WELL_FORMED.fullmatch(offered) else str(uuid.uuid4())


def _client(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else "unknown"
