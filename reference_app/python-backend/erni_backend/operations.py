"""What operators and machines ask: is it alive, can it work, what has it counted, which agents are there."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from erni_backend import metrics
from erni_backend.cache import CacheUnavailableError
from erni_backend.chat import Chat
from erni_backend.database import DatabaseUnavailableError

# The product's version is a constant too: which release answers is proven from outside.
VERSION = "1.0.0"
SERVICE = "erni-building-agents"

router = APIRouter(tags=["operations"])


@router.get("/health")
async def health(request: Request) -> dict[str, str]:
    """Answer whenever the process can: liveness, and nothing beyond."""
    chat: Chat = request.app.state.chat
    return {
        "status": "healthy",
        "timestamp": _now(),
        "version": VERSION,
        "environment": chat.settings.environment,
        "service": SERVICE,
    }


@router.get("/readiness")
async def readiness(request: Request) -> JSONResponse:
    """Ask everything that a chat needs; 503 with the checks unless all of it works. Writes nothing."""
    chat: Chat = request.app.state.chat
    postgresql, redis, sessions = await asyncio.gather(
        _outcome(chat.database.check(), "answers"),
        _outcome(chat.cache.check(), "answers"),
        _outcome(chat.check_sessions(), "can be written"),
    )
    openai = {"ok": True, "detail": "answers by rule; OpenAI is not called"}
    checks = {"postgresql": postgresql, "redis": redis, "sessions": sessions, "openai": openai}
    ready = all(check["ok"] for check in checks.values())
    content = {"status": "ready" if ready else "not_ready", "timestamp": _now(), "checks": checks}
    return JSONResponse(content, 200 if ready else 503)


@router.get("/metrics")
def read_metrics(request: Request) -> Response:
    """Prometheus' text format, if ENABLE_METRICS is true."""
    if not request.app.state.chat.settings.enable_metrics:
        raise HTTPException(404)
    return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


@router.get("/agents")
async def agents(request: Request) -> dict[str, list[dict[str, Any]]]:
    """List the agents of this release's data."""
    chat: Chat = request.app.state.chat
    return {"agents": [asdict(agent) for agent in chat.catalogue.agents]}


async def _outcome(check: Awaitable[None], success: str) -> dict[str, Any]:
    try:
        await check
    except (DatabaseUnavailableError, CacheUnavailableError) as error:
        return {"ok": False, "detail": str(error)}
    except (sqlite3.Error, OSError) as error:
        return {"ok": False, "detail": f"The file at SESSIONS_DB_PATH cannot be written: {error}."}
    return {"ok": True, "detail": success}


def _now() -> str:
    return datetime.now(UTC).isoformat()
