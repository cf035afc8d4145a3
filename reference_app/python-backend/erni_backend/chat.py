"""A chat turn from message to stored answer: guardrails, agent, database, session."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from erni_backend import metrics, rules
from erni_backend.cache import Cache, CacheUnavailableError
from erni_backend.database import Database, Recorded, Turn
from erni_backend.sessions import SessionsFile
from erni_backend.settings import Settings

log = logging.getLogger("erni_backend.chat")


class AnswerTimeoutError(Exception):
    """The answer was not there within AGENT_TIMEOUT_SECONDS."""


@dataclass(frozen=True)
class Chat:
    """Everything a turn needs, shared by all requests of one worker."""

    settings: Settings
    catalogue: rules.Catalogue
    database: Database
    cache: Cache
    sessions: SessionsFile
    # A thread of its own: SQLite blocks, and the file's object serves one thread at a time.
    sessions_thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "sessions"))

    async def turn(self, conversation_id: UUID, message_id: str, message: str, *, wait: bool = True) -> Turn:
        """Answer a message and store both, exactly once per message id; return what is stored."""
        with metrics.ACTIVE_SESSIONS.track_inprogress():
            answer = await self._answer(message, wait=wait)
            recorded = await self.database.record(Turn(conversation_id, message_id, message, answer))
            # Repeated for a known message id too: the first try may have died between the two stores.
            await self._record_session(recorded.turn)
        _count(recorded)
        return recorded.turn

    async def check_sessions(self) -> None:
        """Raise `sqlite3.Error` unless the sessions file can be written."""
        await asyncio.get_running_loop().run_in_executor(self.sessions_thread, self.sessions.check)

    async def close(self) -> None:
        """Give back the sessions file, Redis and PostgreSQL."""
        await asyncio.get_running_loop().run_in_executor(self.sessions_thread, self.sessions.close)
        self.sessions_thread.shutdown()
        await self.cache.close()
        await self.database.close()

    async def _answer(self, message: str, *, wait: bool) -> rules.Answer:
        for guardrail in rules.GUARDRAILS:
            if not await self._passes(guardrail, message):
                metrics.AGENT_EXECUTIONS.labels(rules.TRIAGE, "refused").inc()
                return rules.refusal(guardrail)
        answer = rules.answer(message, self.catalogue)
        async with self._time_limit(answer.agent):
            await asyncio.sleep(rules.requested_wait(message) if wait else 0)
        metrics.AGENT_EXECUTIONS.labels(answer.agent, "success").inc()
        if answer.agent != rules.TRIAGE:
            metrics.AGENT_HANDOFFS.labels(rules.TRIAGE, answer.agent).inc()
        if answer.used_tool:
            metrics.TOOL_EXECUTIONS.inc()
        return answer

    @asynccontextmanager
    async def _time_limit(self, agent: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.settings.agent_timeout_seconds):
                yield
        except TimeoutError as error:
            metrics.AGENT_EXECUTIONS.labels(agent, "timeout").inc()
            raise AnswerTimeoutError(
                f"No answer within {self.settings.agent_timeout_seconds:g} seconds; ask for less, "
                "or raise AGENT_TIMEOUT_SECONDS."
            ) from error

    async def _passes(self, guardrail: str, message: str) -> bool:
        passed = await self._remembered(guardrail, message)
        (metrics.GUARDRAIL_CACHE_MISSES if passed is None else metrics.GUARDRAIL_CACHE_HITS).inc()
        if passed is None:
            passed = rules.guardrail_passes(guardrail, message)
            await self._remember(guardrail, message, passed)
        metrics.GUARDRAIL_CHECKS.labels(guardrail, "passed" if passed else "refused").inc()
        return passed

    async def _remembered(self, guardrail: str, message: str) -> bool | None:
        try:
            return await self.cache.judgement(guardrail, message)
        except CacheUnavailableError as error:
            log.warning("Guardrail %s judges without its cache. %s", guardrail, error)
            return None

    async def _remember(self, guardrail: str, message: str, passed: bool) -> None:
        if self.settings.guardrail_cache_ttl == 0:
            return
        try:
            await self.cache.remember_judgement(guardrail, message, passed, self.settings.guardrail_cache_ttl)
        except CacheUnavailableError as error:
            log.warning("The judgement of guardrail %s is not remembered. %s", guardrail, error)

    async def _record_session(self, turn: Turn) -> None:
        await asyncio.get_running_loop().run_in_executor(
            self.sessions_thread,
            self.sessions.record_turn,
            str(turn.conversation_id),
            turn.message_id,
            turn.message,
            turn.answer.text,
        )


def _count(recorded: Recorded) -> None:
    if recorded.new_conversation:
        metrics.CONVERSATIONS.inc()
    if recorded.applied:
        metrics.MESSAGES.inc(2)
