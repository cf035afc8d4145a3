"""Tokens: `POST /auth/token` trades a name and a password for one, `GET /users/me` says whose it is."""

from __future__ import annotations

import hmac
import time
from typing import Annotated, Any

import jwt
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm

from erni_backend import metrics
from erni_backend.settings import Settings

ALGORITHM = "HS256"
LIFETIME_SECONDS = 1_800

router = APIRouter(tags=["authentication"])
_bearer = OAuth2PasswordBearer(tokenUrl="auth/token", auto_error=False)


@router.post("/auth/token")
def issue_token(request: Request, form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, str | int]:
    """Issue a token to a demo user. Users exist only if DEMO_USERS names them."""
    settings: Settings = request.app.state.chat.settings
    if not settings.jwt_secret_key:
        raise HTTPException(503, "JWT_SECRET_KEY is not set, so that no token can be signed.")
    known = _password_fits(settings, form.username, form.password)
    _count("password", known)
    if not known:
        raise _unauthorized("Name or password is wrong.")
    claims = {"sub": form.username, "exp": int(time.time()) + LIFETIME_SECONDS}
    token = jwt.encode(claims, settings.jwt_secret_key, ALGORITHM)
    return {"access_token": token, "token_type": "bearer", "expires_in": LIFETIME_SECONDS}


def current_user(request: Request, token: Annotated[str | None, Depends(_bearer)]) -> str:
    """The name in the request's token; 401 without a valid one."""
    settings: Settings = request.app.state.chat.settings
    keys = (settings.jwt_secret_key, settings.previous_jwt_secret_key)
    name = next((name for key in keys if (name := _name_in(token, key))), None)
    _count("token", name is not None)
    if name is None:
        raise _unauthorized("A valid bearer token is needed; get one from /auth/token.")
    return name


def user_if_required(request: Request, token: Annotated[str | None, Depends(_bearer)]) -> str | None:
    """The name in the token where REQUIRE_AUTH asks for one, else nobody's."""
    return current_user(request, token) if request.app.state.chat.settings.require_auth else None


@router.get("/users/me")
def read_own_name(name: Annotated[str, Depends(current_user)]) -> dict[str, str]:
    """Say whose token came with the request."""
    return {"username": name}


def _password_fits(settings: Settings, name: str, password: str) -> bool:
    expected = settings.demo_users.get(name)
    # Compared even for a name that nobody has: an answer's time must not tell which names exist.
    equal = hmac.compare_digest((expected or "").encode(), password.encode())
    return expected is not None and equal


def _name_in(token: str | None, key: str) -> str | None:
    if not token or not key:
        return None
    try:
        claims: dict[str, Any] = jwt.decode(token, key, [ALGORITHM], options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError:
        return None
    return str(claims["sub"])


def _count(method: str, succeeded: bool) -> None:
    metrics.AUTHENTICATION_ATTEMPTS.labels(method, "success" if succeeded else "failure").inc()


def _unauthorized(detail: str) -> HTTPException:
    return HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})
