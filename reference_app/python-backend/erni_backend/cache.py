"""Redis: the guardrails' cache and the shared counters of the rate limits. Its outages slow no answer down for long."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from erni_backend.rate_limit import Window

TIMEOUT_SECONDS = 2.0
# After a failure Redis is left alone for so long, or every one of a chat's questions would wait out its own timeout.
REST_SECONDS = 5.0


class CacheUnavailableError(Exception):
    """Redis did not do what was asked; the text is a sentence without secrets."""


class Cache:
    """One worker's connections to Redis, made when first needed."""

    def __init__(self, url: str) -> None:
        self._redis = _client(url) if url else None
        self._rests_until = 0.0

    async def close(self) -> None:
        """Close all connections."""
        if self._redis is not None:
            await self._redis.aclose()

    async def check(self) -> None:
        """Raise `CacheUnavailableError` unless Redis answers now; success ends a rest."""
        self._rests_until = 0.0
        await self._ask(lambda redis: redis.ping())

    async def judgement(self, guardrail: str, message: str) -> bool | None:
        """A guardrail's earlier judgement of this message, if it is remembered."""
        value = await self._ask(lambda redis: redis.get(_key(guardrail, message)))
        return None if value is None else value == "passed"

    async def remember_judgement(self, guardrail: str, message: str, passed: bool, seconds: int) -> None:
        """Keep a judgement for `seconds`."""
        value = "passed" if passed else "refused"
        await self._ask(lambda redis: redis.set(_key(guardrail, message), value, ex=seconds))

    async def count(self, touched: list[Window]) -> list[int]:
        """Add one request to each window and return the new counts, which all workers share."""

        async def increment(redis: Redis) -> list[Any]:
            async with redis.pipeline(transaction=True) as pipeline:
                for window in touched:
                    pipeline.incr(window.key)
                    pipeline.expireat(window.key, window.ends_at + 1)
                return await pipeline.execute()

        return [int(count) for count in (await self._ask(increment))[::2]]

    async def _ask(self, question: Callable[[Redis], Awaitable[Any]]) -> Any:
        if self._redis is None:
            raise CacheUnavailableError("REDIS_URL is not set; give it to the container's environment.")
        if time.monotonic() < self._rests_until:
            raise CacheUnavailableError("Redis did not answer a moment ago and is asked again in a few seconds.")
        try:
            return await _answer(self._redis, question)
        except (RedisError, OSError, RuntimeError) as error:
            self._rests_until = time.monotonic() + REST_SECONDS
            cause = str(error).rstrip(".") or type(error).__name__
            raise CacheUnavailableError(f"Redis does not answer: {cause}.") from error


async def _answer(redis: Redis, question: Callable[[Redis], Awaitable[Any]]) -> Any:
    """Ask, and once more where the connection has been closed unnoticed: uvloop tells that by a RuntimeError, before
    anything is sent, which the driver takes for no outage and does not retry."""
    try:
        return await question(redis)
    except RuntimeError:
        await redis.connection_pool.disconnect(inuse_connections=False)
        return await question(redis)


def _client(url: str) -> Redis:
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        # One immediate second try for a connection that died with the last Redis; none for a Redis that is silent.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )


def _key(guardrail: str, message: str) -> str:
    return f"guardrail:{guardrail}:{hashlib.sha256(message.encode()).hexdigest()}"
