"""Conversations and messages in PostgreSQL. Connects lazily, so that the process lives while the database is down."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from psycopg import AsyncConnection, Error
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from erni_backend.rules import Answer
from erni_backend.settings import is_postgresql

# Per worker; four workers of two releases still fit PostgreSQL's default of 100 connections.
SMALLEST_POOL, LARGEST_POOL = 1, 4
CHECKOUT_TIMEOUT_SECONDS = 8.0  # a busy moment, such as another release's start, is no outage
# The whole of a turn's writing, for a server that keeps its connections and says nothing.
RECORD_TIMEOUT_SECONDS = 10.0
# Whoever asks for readiness waits seconds at most and takes silence for a hang.
CHECK_TIMEOUT_SECONDS = 2.0
# The pool doubles its pause after each failed attempt until it gives up and leaves the next try to the next request:
# giving up early keeps the pauses short, and so the recovery after an outage.
RECONNECT_TIMEOUT_SECONDS = 3.0

_Result = TypeVar("_Result")


class DatabaseUnavailableError(Exception):
    """PostgreSQL did not do what was asked; the text is a sentence without secrets."""


@dataclass(frozen=True)
class Turn:
    """A message and its answer, as they are stored."""

    conversation_id: UUID
    message_id: str
    message: str
    answer: Answer


@dataclass(frozen=True)
class Recorded:
    """What the database holds after a turn; `applied` is False if it was there before."""

    turn: Turn
    applied: bool
    new_conversation: bool = False


class Database:
    """The pool of one worker and the statements that run on it."""

    def __init__(self, url: str) -> None:
        self._is_postgresql = is_postgresql(url)
        scheme, _, rest = url.partition(":")
        self._pool = AsyncConnectionPool(
            f"{scheme.partition('+')[0]}:{rest}" if self._is_postgresql else "",
            kwargs={
                "application_name": "erni-backend",
                "connect_timeout": 5,
                "options": f"-c statement_timeout={RECORD_TIMEOUT_SECONDS:g}s",
            },
            min_size=SMALLEST_POOL,
            max_size=LARGEST_POOL,
            timeout=CHECKOUT_TIMEOUT_SECONDS,
            reconnect_timeout=RECONNECT_TIMEOUT_SECONDS,
            check=AsyncConnectionPool.check_connection,
            open=False,
            name="postgresql",
        )

    async def open(self) -> None:
        """Begin to connect in the background."""
        if self._is_postgresql:
            await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def check(self) -> None:
        """Raise `DatabaseUnavailableError` unless the database answers and has the schema. Reads only."""
        if not await self._within(CHECK_TIMEOUT_SECONDS, self._has_schema()):
            raise DatabaseUnavailableError("The table messages does not exist; load scripts/init_db.sql.")

    async def record(self, turn: Turn) -> Recorded:
        """Write message and answer in one transaction, once: a known message id yields what is stored."""
        return await self._within(RECORD_TIMEOUT_SECONDS, self._record(turn))

    async def _has_schema(self) -> bool:
        async with self._pool.connection(CHECK_TIMEOUT_SECONDS) as connection:
            row = await (await connection.execute("SELECT to_regclass('messages') IS NOT NULL")).fetchone()
            return row is not None and bool(row[0])

    async def _record(self, turn: Turn) -> Recorded:
        async with self._pool.connection() as connection:
            return await _write(connection, turn)

    async def _within(self, seconds: float, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Do the work or give up on time. What is given up goes on until the server ends it, and is not cancelled:
        cancelled while it gives its connection back, it would leave the pool one connection short for good."""
        if not self._is_postgresql:
            work.close()
            raise DatabaseUnavailableError("DATABASE_URL does not name a PostgreSQL database; use postgresql://….")
        task = asyncio.create_task(work)
        task.add_done_callback(_notice_failure)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise DatabaseUnavailableError(f"PostgreSQL does not answer: silent for {seconds:g} seconds.")
        try:
            return task.result()
        except (Error, PoolTimeout) as error:
            raise _unavailable(error) from error


async def _write(connection: AsyncConnection[TupleRow], turn: Turn) -> Recorded:
    begun = await connection.execute(
        "INSERT INTO conversations (id) VALUES (%s) ON CONFLICT (id) DO NOTHING", (turn.conversation_id,)
    )
    # A request with the same id that is still under way is waited for here, on the unique index.
    asked = await connection.execute(
        "INSERT INTO messages (conversation_id, message_id, role, content) VALUES (%s, %s, 'user', %s)"
        " ON CONFLICT (message_id) DO NOTHING",
        (turn.conversation_id, turn.message_id, turn.message),
    )
    if asked.rowcount == 0:
        stored = await _stored(connection, turn.message_id)
        # Undoes the conversation that may just have begun for a message which belongs to another one.
        await connection.rollback()
        return Recorded(stored, applied=False)
    await connection.execute(
        "INSERT INTO messages (conversation_id, in_reply_to, role, agent_name, content, metadata)"
        " VALUES (%s, %s, 'assistant', %s, %s, %s)",
        (turn.conversation_id, turn.message_id, turn.answer.agent, turn.answer.text, Jsonb({"answered_by": "rule"})),
    )
    await connection.execute(
        "UPDATE conversations SET current_agent = %s, message_count = message_count + 2 WHERE id = %s",
        (turn.answer.agent, turn.conversation_id),
    )
    return Recorded(turn, applied=True, new_conversation=begun.rowcount == 1)


async def _stored(connection: AsyncConnection[TupleRow], message_id: str) -> Turn:
    cursor = await connection.execute(
        "SELECT asked.conversation_id, asked.content, reply.agent_name, reply.content"
        " FROM messages AS asked JOIN messages AS reply ON reply.in_reply_to = asked.message_id"
        " WHERE asked.message_id = %s",
        (message_id,),
    )
    row = await cursor.fetchone()
    if row is None:
        raise DatabaseUnavailableError("The message is stored without its answer; use another message_id.")
    return Turn(row[0], message_id, row[1], Answer(row[2], row[3]))


def _notice_failure(task: asyncio.Task[Any]) -> None:
    """Nobody asks a task that was given up how it ended; asking here keeps it from being reported as forgotten."""
    if not task.cancelled():
        task.exception()


def _unavailable(error: Exception) -> DatabaseUnavailableError:
    """Drivers spread a message over lines and add hints; its first line is the cause."""
    cause = str(error).strip().partition("\n")[0].rstrip(".")
    return DatabaseUnavailableError(f"PostgreSQL does not answer: {cause or type(error).__name__}.")
