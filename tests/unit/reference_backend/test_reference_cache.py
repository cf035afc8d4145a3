"""A connection to Redis that was closed unnoticed costs no request, and a Redis that is away no more than its cache."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from erni_backend import cache
from erni_backend.cache import Cache, CacheUnavailableError
from redis.exceptions import ConnectionError as RedisConnectionError

CLOSED = "unable to perform operation on <TCPTransport closed=True>; the handler is closed"


@dataclass
class FakeRedis:
    """Answers after so many failures."""

    failures: list[Exception]
    let_go: list[bool] = field(default_factory=list)

    @property
    def connection_pool(self) -> FakeRedis:
        return self

    async def disconnect(self, *, inuse_connections: bool) -> None:
        self.let_go.append(inuse_connections)

    async def ping(self) -> bool:
        if self.failures:
            raise self.failures.pop(0)
        return True


def asked(monkeypatch: pytest.MonkeyPatch, *failures: Exception) -> FakeRedis:
    redis = FakeRedis(list(failures))
    monkeypatch.setattr(cache, "_client", lambda _url: redis)

    async def ask() -> Any:
        await Cache("redis://somewhere").check()

    asyncio.run(ask())
    return redis


def test_a_connection_that_was_closed_unnoticed_is_let_go_and_redis_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert asked(monkeypatch, RuntimeError(CLOSED)).let_go == [False], "connections in use are left alone"


@pytest.mark.parametrize(
    "failures",
    [[RuntimeError(CLOSED), RuntimeError(CLOSED)], [RedisConnectionError("refused")], [OSError("no route to host")]],
)
def test_a_redis_that_is_away_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch, failures: list[Exception]) -> None:
    with pytest.raises(CacheUnavailableError, match="Redis does not answer: "):
        asked(monkeypatch, *failures)
