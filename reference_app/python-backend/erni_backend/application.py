"""The parts put together: settings in, an ASGI application out."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp

from erni_backend import auth, conversation, operations
from erni_backend.cache import Cache
from erni_backend.chat import AnswerTimeoutError, Chat
from erni_backend.database import Database, DatabaseUnavailableError
from erni_backend.middleware import HEADER, RequestRecord
from erni_backend.rate_limit import MemoryCounter
from erni_backend.rules import load_catalogue
from erni_backend.sessions import SessionsFile
from erni_backend.settings import Settings

DATA_FOLDER = Path(__file__).parent.parent / "data"

log = logging.getLogger("erni_backend.application")


def build(settings: Settings, data_folder: Path = DATA_FOLDER) -> ASGIApp:
    """Build the application; it connects to nothing before it is started."""
    app = FastAPI(
        title="ERNI Building Agents (reference)",
        description="The reference backend: answers by rule, calls no language model.",
        version=operations.VERSION,
        debug=settings.debug,
        lifespan=_lifespan,
    )
    app.state.memory_counter = MemoryCounter()
    app.state.chat = Chat(
        settings=settings,
        catalogue=load_catalogue(data_folder),
        database=Database(settings.database_url),
        cache=Cache(settings.redis_url),
        sessions=SessionsFile(settings.sessions_db_path),
    )
    for module in (operations, conversation, auth):
        app.include_router(module.router)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(DatabaseUnavailableError, _unavailable)
    app.add_exception_handler(sqlite3.Error, _sessions_unavailable)
    app.add_exception_handler(AnswerTimeoutError, _took_too_long)
    _add_middleware(app, settings)
    return RequestRecord(app, known_paths=[*app.openapi()["paths"], "/docs", "/redoc", "/openapi.json"])


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", HEADER],
            expose_headers=[HEADER],
        )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.allowed_hosts), www_redirect=False)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    chat: Chat = app.state.chat
    log.info(
        "Serving in environment %s. Answers come by rule: the configured models (%s, %s) are not called.",
        chat.settings.environment,
        chat.settings.main_agent_model or "no main agent model",
        chat.settings.guardrail_model or "no guardrail model",
    )
    await chat.database.open()
    yield
    await chat.close()


async def _not_understood(_request: Request, error: Exception) -> JSONResponse:
    """As the framework would say it, without repeating what was sent: that may be long, secret or not even text."""
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    detail = [{key: problem[key] for key in ("type", "loc", "msg")} for problem in problems]
    return JSONResponse({"detail": detail}, 422)


async def _unavailable(_request: Request, error: Exception) -> JSONResponse:
    log.error("A message was not stored. %s", error)
    return JSONResponse({"detail": f"The message was not stored; send it again. {error}"}, 503)


async def _sessions_unavailable(_request: Request, error: Exception) -> JSONResponse:
    log.error("A session's turn was not stored. The file at SESSIONS_DB_PATH cannot be written: %s.", error)
    return JSONResponse({"detail": "The session was not stored; send the message again with its message_id."}, 503)


async def _took_too_long(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 504)
