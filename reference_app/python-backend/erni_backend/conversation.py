"""The chat endpoints: one whole answer, or the same answer as a stream of events."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, BeforeValidator, Field

from erni_backend import auth, rate_limit, rules
from erni_backend.cache import CacheUnavailableError
from erni_backend.chat import Chat
from erni_backend.database import Turn

STREAM_CHUNKS = 8
# Several seconds, as a model takes; "wait n" in the message sets another length, up to the cap of ten seconds.
STREAM_SECONDS = 2.0

log = logging.getLogger("erni_backend.conversation")


def _none_if_empty(value: object) -> object:
    """A page that has no conversation yet may send an empty string."""
    return None if value == "" else value


class ChatRequest(BaseModel):
    """A user's message. The same `message_id` twice is applied once and answered the same."""

    conversation_id: Annotated[uuid.UUID | None, BeforeValidator(_none_if_empty)] = None
    message_id: Annotated[str | None, BeforeValidator(_none_if_empty), Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")] = None
    # PostgreSQL's text cannot hold NUL.
    message: str = Field(min_length=1, max_length=4_000, pattern=r"^[^\x00]*$")


class ChatResponse(BaseModel):
    """The stored answer."""

    conversation_id: uuid.UUID
    message_id: str
    response: str
    agent: str


async def limit_rate(request: Request) -> None:
    """Count the request for its client's address; 429 once a window is full."""
    chat: Chat = request.app.state.chat
    now = time.time()
    client = request.client.host if request.client else "unknown"
    touched = rate_limit.windows(chat.settings, client, now)
    counts = await _count(request, touched, now)
    full = rate_limit.exhausted(list(zip(touched, counts, strict=True)))
    if full:
        seconds = max(1, round(full.ends_at - now))
        detail = f"More than {full.allowed} messages in one {full.name} from this address; try again in {seconds} s."
        raise HTTPException(429, detail, {"Retry-After": str(seconds)})


router = APIRouter(tags=["chat"], dependencies=[Depends(limit_rate), Depends(auth.user_if_required)])


@router.post("/chat")
async def answer_at_once(request: Request, body: ChatRequest) -> ChatResponse:
    """Answer a message; "wait 5" in it makes the answer take five seconds (ten at most)."""
    chat: Chat = request.app.state.chat
    turn = await chat.turn(body.conversation_id or uuid.uuid4(), body.message_id or str(uuid.uuid4()), body.message)
    return _response(turn)


@router.post("/chat/stream")
async def answer_in_pieces(request: Request, body: ChatRequest) -> StreamingResponse:
    """Answer a message as server-sent events: `chunk` several times, then `done` with the whole answer."""
    chat: Chat = request.app.state.chat
    # Stored before the first piece goes out: what fails can still be told by the status.
    turn = await chat.turn(
        body.conversation_id or uuid.uuid4(), body.message_id or str(uuid.uuid4()), body.message, wait=False
    )
    seconds = rules.requested_wait(body.message) or STREAM_SECONDS
    return StreamingResponse(
        _events(_response(turn), seconds),
        media_type="text/event-stream",
        # nginx would hold the pieces back until the stream ends.
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _count(request: Request, touched: list[rate_limit.Window], now: float) -> list[int]:
    chat: Chat = request.app.state.chat
    memory: rate_limit.MemoryCounter = request.app.state.memory_counter
    if chat.settings.rate_limit_storage == "redis":
        try:
            return await chat.cache.count(touched)
        except CacheUnavailableError as error:
            log.warning("Rate limits are counted by each worker for itself. %s", error)
    return memory.count(touched, now)


async def _events(response: ChatResponse, seconds: float) -> AsyncIterator[str]:
    pieces = rules.chunks(response.response, STREAM_CHUNKS)
    for piece in pieces:
        yield _event("chunk", {"text": piece})
        await asyncio.sleep(seconds / len(pieces))
    yield _event("done", response.model_dump(mode="json"))


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _response(turn: Turn) -> ChatResponse:
    return ChatResponse(
        conversation_id=turn.conversation_id,
        message_id=turn.message_id,
        response=turn.answer.text,
        agent=turn.answer.agent,
    )
