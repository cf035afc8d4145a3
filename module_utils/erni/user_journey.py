"""What a user and an operator may expect of a platform that serves, checked from outside."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from .findings import Finding
from .probe import Answer, Site

REDIRECTS = (301, 302, 307, 308)
SECURITY_HEADERS = ("x-content-type-options", "x-frame-options", "referrer-policy")
FIGURE_PATHS = ("/metrics", "/api/metrics", "/api//metrics", "/metrics/")
CHAT = "a chat message comes back answered"
_PAUSE = 0.5  # seconds until what failed is asked again
_IDENTIFIER = re.compile(r"^[A-Za-z0-9_-]{1,64}$")


@dataclass(frozen=True)
class Expectations:
    """``page_text`` must stand in the page; ``chat`` sends a message, which is then stored. What is not so is asked
    again for ``patience`` seconds: an application connects to a database that has just been started in its own time. A
    message is sent once only, as it may have been stored."""

    public_url: str
    page_text: str
    release: str
    readiness: bool
    chat: bool
    patience: float = 0.0


@dataclass
class Journey:
    """``passed`` are sentences; ``conversation`` is the id of the message that was sent ('' for none)."""

    passed: list[str]
    findings: list[Finding]
    conversation: str = ""


def travel(site: Site, expected: Expectations) -> Journey:
    """All checks; one that fails does not hide the others. The patience is for all of them together."""
    deadline = time.monotonic() + expected.patience
    journey = Journey([], [])
    steps: list[tuple[str, Callable[[], str]]] = [
        ("port 80 redirects to HTTPS", lambda: _redirects(site, expected)),
        ("the page is served over HTTPS, its certificate checked", lambda: _page(site, expected)),
        ("the security headers are sent", lambda: _headers(site)),
        ("nginx tells the release that serves", lambda: _release(site, expected)),
        ("/health answers", lambda: _status(site.secure("/health"), "/health")),
        ("the figures are not public", lambda: _closed(site)),
    ]
    if expected.readiness:
        steps.append(("/readiness answers", lambda: _ready(site)))
    if expected.chat:
        steps.append((CHAT, lambda: _chat(site, journey)))
    for sentence, step in steps:
        problem = _problem(step) if sentence == CHAT else _lasting_problem(step, deadline)
        if problem:
            journey.findings.append(
                Finding(f"Not so: {sentence}", problem, "`make logs SERVICE=nginx` shows the request.")
            )
        else:
            journey.passed.append(sentence)
    return journey


def _lasting_problem(step: Callable[[], str], deadline: float) -> str:
    while (problem := _problem(step)) and time.monotonic() + _PAUSE < deadline:
        time.sleep(_PAUSE)
    return problem


def _problem(step: Callable[[], str]) -> str:
    try:
        return step()
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"


def _redirects(site: Site, expected: Expectations) -> str:
    answer = site.plain("/some/page?x=1")
    target = answer.headers.get("location", "")
    if answer.status in REDIRECTS and target == f"{expected.public_url}/some/page?x=1":
        return ""
    return f"it answered {answer.status} with location '{target}'"


def _page(site: Site, expected: Expectations) -> str:
    answer = site.secure("/")
    if "text/html" not in answer.headers.get("content-type", ""):
        return f"it answered {answer.status} and no HTML"
    return _status(answer, "/") or (
        "" if expected.page_text in answer.body else f"it does not say '{expected.page_text}'"
    )


def _headers(site: Site) -> str:
    answer = site.secure("/")
    missing = [name for name in SECURITY_HEADERS if name not in answer.headers]
    return f"{', '.join(missing)} are missing" if missing else ""


def _release(site: Site, expected: Expectations) -> str:
    told = site.secure("/").headers.get("x-erni-release", "")
    return "" if told == expected.release or not expected.release else f"it says '{told}', not '{expected.release}'"


def _status(answer: Answer, path: str) -> str:
    return "" if answer.status == 200 else f"{path} answered {answer.status}"


def _ready(site: Site) -> str:
    answer = site.secure("/readiness")
    if answer.status == 200:
        return ""
    checks = answer.json().get("checks")
    checks = checks if isinstance(checks, dict) else {}
    failing = sorted(name for name, check in checks.items() if not _ok(check))
    return f"it answered {answer.status}; not ok: {', '.join(failing) or 'it does not say what'}"


def _ok(check: object) -> bool:
    return bool(check.get("ok")) if isinstance(check, dict) else check in (True, "ok", "healthy")


def _closed(site: Site) -> str:
    opened = [path for path in FIGURE_PATHS if site.secure(path).status == 200]
    return f"{', '.join(opened)} answered 200" if opened else ""


def _chat(site: Site, journey: Journey) -> str:
    answer = site.secure("/api/chat", {"message": "Hello from make verify: which agents are there?"})
    if answer.status != 200:
        return f"it answered {answer.status}"
    told = answer.json()
    identifier = told.get("conversation_id")
    conversation = str(identifier) if isinstance(identifier, str | int) and identifier is not True else ""
    if not _IDENTIFIER.fullmatch(conversation):
        return "the answer names no conversation"
    journey.conversation = conversation
    return "" if told.get("response") or told.get("messages") else "the answer is empty"
