"""Send what ``notification`` has built. What cannot be sent is a warning, never a failure of what it tells about."""

from __future__ import annotations

import http.client
import json
import smtplib
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

from .errors import PlatformError
from .excerpts import hidden, one_line
from .notification import Notice, chat_body, mail

TIMEOUT = 10  # seconds, for each step of a conversation with a server
RETRY_PAUSE = 1.0
LONGEST_ANSWER = 300  # bytes of a refusal that are read

WEBHOOK_FAILED = "The notification could not be sent to the webhook"
WEBHOOK_REMEDY = "Check notify_webhook in the environment's vault (ansible-vault edit) and the way out."
MAIL_REMEDY = "Check release_notify_smtp, notify_smtp_password in the vault, and the mail server's log."


@dataclass(frozen=True)
class MailServer:
    """``security`` is ``starttls``, ``tls`` (from the first byte), or ``plain`` (no encryption, the password too)."""

    host: str
    port: int
    security: str = "starttls"
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Targets:
    """Who is told. ``webhook`` is a secret in itself: whoever has the URL can post."""

    webhook: str = field(default="", repr=False)
    email_to: tuple[str, ...] = ()
    email_from: str = ""
    server: MailServer = MailServer("", 0)


@dataclass
class Delivery:
    """``sent`` names the ways that worked, ``warnings`` holds a sentence for each that did not."""

    sent: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def notify(notice: Notice, targets: Targets) -> Delivery:
    """Tell everybody; the one way is tried whatever became of the other."""
    delivery = Delivery()
    if targets.webhook:
        _attempt(delivery, "webhook", lambda: post(targets.webhook, chat_body(notice)))
    if targets.email_to:
        _attempt(delivery, "e-mail", lambda: _mail_all(notice, targets))
    return delivery


def _attempt(delivery: Delivery, way: str, send: Callable[[], None]) -> None:
    try:
        send()
        delivery.sent.append(way)
    except PlatformError as error:
        delivery.warnings.append(str(error))


def _mail_all(notice: Notice, targets: Targets) -> None:
    if not targets.server.host:
        raise PlatformError(
            "The notification could not be sent by e-mail",
            "release_notify_email_to names recipients and release_notify_smtp no host",
            "Set release_notify_smtp.host, or empty the list of recipients.",
        )
    send_mail(mail(notice, targets.email_from, list(targets.email_to), datetime.now(UTC)), targets.server)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST becomes a GET without its body: it would look delivered."""

    def redirect_request(self, *_arguments: Any) -> None:
        return None


def post(url: str, body: dict[str, Any], timeout: float = TIMEOUT) -> None:
    """POST as JSON, once more when the connection fails.

    :raises PlatformError: saying why, without the URL.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError("no web address")
        request = urllib.request.Request(  # noqa: S310 (the scheme is checked above)
            url, json.dumps(body).encode(), {"Content-Type": "application/json", "User-Agent": "erni-release"}
        )
    except ValueError:  # its text would show what it could not parse
        raise PlatformError(WEBHOOK_FAILED, "notify_webhook is no http or https URL", WEBHOOK_REMEDY) from None
    try:
        _twice(lambda: _post_once(request, timeout), (urllib.error.URLError, ConnectionError))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise PlatformError(WEBHOOK_FAILED, told_without(url, error, timeout), WEBHOOK_REMEDY) from None


def _post_once(request: urllib.request.Request, timeout: float) -> None:
    opener = urllib.request.build_opener(_NoRedirect)
    with opener.open(request, timeout=timeout):
        pass


def _twice(action: Callable[[], Any], connection_failed: tuple[type[Exception], ...]) -> Any:
    """Again after a connection that failed; not after an answer, nor after waiting for one in vain."""
    try:
        return action()
    except urllib.error.HTTPError:
        raise
    except connection_failed:
        time.sleep(RETRY_PAUSE)
        return action()


def told_without(url: str, error: Exception, timeout: float) -> str:
    """The reason in words that cannot hold the URL, or from which it is taken out."""
    if isinstance(error, urllib.error.HTTPError):
        parts = urlsplit(url)
        answer = hidden(_answer(error), [url, parts.path, parts.query, *parts.path.split("/")])
        return f"it answered {error.code} {one_line(answer)}".strip()
    if isinstance(error, urllib.error.URLError):
        return _reason(error.reason) if isinstance(error.reason, Exception) else "no connection"
    if isinstance(error, TimeoutError):
        return f"it did not answer within {timeout:g} s"
    return f"it gave no whole answer ({type(error).__name__})"


def _answer(error: urllib.error.HTTPError) -> str:
    with suppress(OSError, http.client.HTTPException), error:
        return error.read(LONGEST_ANSWER).decode(errors="replace")
    return ""


def send_mail(message: EmailMessage, server: MailServer, timeout: float = TIMEOUT) -> None:
    """Hand a message to a mail server, which gets a second chance when the connection fails.

    :raises PlatformError: also when some recipients were refused.
    """
    what = f"The notification could not be sent by e-mail through {server.host}:{server.port}"
    try:
        with _twice(lambda: _connected(server, timeout), (OSError,)) as connection:
            refused = _hand_over(connection, message, server)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise PlatformError(what, hidden(_reason(error), [server.password]), MAIL_REMEDY) from None
    if refused:
        raise PlatformError("The notification did not reach everybody", f"refused: {', '.join(refused)}", MAIL_REMEDY)


def _connected(server: MailServer, timeout: float) -> smtplib.SMTP:
    if server.security == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(server.host, server.port, timeout=timeout, context=context)
    return smtplib.SMTP(server.host, server.port, timeout=timeout)


def _hand_over(connection: smtplib.SMTP, message: EmailMessage, server: MailServer) -> list[str]:
    """The recipients that were refused while others were not."""
    if server.security == "starttls":
        connection.starttls(context=ssl.create_default_context())  # raises where the server has none
    if server.username:
        connection.login(server.username, server.password)
    return list(connection.send_message(message))


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "all recipients were refused"
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        return one_line(f"it answered {error.smtp_code} {said}")
    if isinstance(error, ssl.SSLCertVerificationError):
        return one_line(f"its certificate is refused ({error.verify_message})")
    if isinstance(error, OSError) and error.strerror:
        return one_line(error.strerror)
    return one_line(str(error)) or type(error).__name__
