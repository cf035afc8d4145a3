"""Tell a watchdog outside that a job has begun, ended or failed: whoever waits in vain for it raises the alarm.

The convention is healthchecks.io's ("Pinging API"): the URL itself for success, below it ``/start`` and ``/fail``.
The URL is a secret: whoever has it can make the watchdog believe that all is well.
"""

from __future__ import annotations

import http.client
import threading
import urllib.request
from urllib.parse import urlsplit, urlunsplit

from .errors import PlatformError
from .notification_send import told_without

STARTED, SUCCEEDED, FAILED = SIGNALS = ("start", "", "fail")
STEP_SECONDS = 10.0  # for each step of the conversation
WHOLE_SECONDS = 20.0  # for all of it, the search for the name included, which knows no limit of its own


def address(url: str, signal: str) -> str:
    """Where the signal goes.

    :raises PlatformError: without the URL, when it is none.
    """
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise _not_sent(signal, "its address is no http or https URL")
    path = parts.path.rstrip("/") + (f"/{signal}" if signal else "")
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def beat(url: str, signal: str, step: float = STEP_SECONDS, whole: float = WHOLE_SECONDS) -> None:
    """Send a signal.

    :raises PlatformError: saying why it did not arrive, without the URL.
    """
    target = address(url, signal)
    troubles: list[str] = []
    sending = threading.Thread(target=_send, args=(target, step, troubles), daemon=True)
    sending.start()
    sending.join(whole)
    if sending.is_alive():
        raise _not_sent(signal, f"it was not done within {whole:g} s")
    if troubles:
        raise _not_sent(signal, troubles[0])


def _send(target: str, step: float, troubles: list[str]) -> None:
    request = urllib.request.Request(target, headers={"User-Agent": "erni-schedule"})  # noqa: S310 (checked in address)
    try:
        with urllib.request.urlopen(request, timeout=step):  # noqa: S310 (likewise)
            pass
    except (OSError, http.client.HTTPException, ValueError) as error:
        troubles.append(told_without(target, error, step))


def _not_sent(signal: str, why: str) -> PlatformError:
    return PlatformError(
        f"The heartbeat '{signal or 'success'}' could not be sent",
        why,
        "Check its URL in the environment's vault (ansible-vault edit) and the way out.",
    )
