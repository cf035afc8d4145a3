"""What is told to people when a release begins, ends, fails or goes back: a chat message and an e-mail. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import Any

from .errors import PlatformError
from .excerpts import one_line

STARTED, SUCCEEDED, FAILED, ROLLED_BACK, REMINDER = EVENTS = (
    *("started", "succeeded", "failed", "rolled_back"),
    "reminder",
)
ENDINGS = {
    STARTED: "has begun",
    SUCCEEDED: "succeeded",
    FAILED: "failed",
    ROLLED_BACK: "was rolled back: what served before serves again",
    REMINDER: "reminds of what is soon to be done",
}
COLORS = {STARTED: "#439fe0", SUCCEEDED: "good", FAILED: "danger", ROLLED_BACK: "warning", REMINDER: "#764fa5"}
# What browsers take for one, too (HTML standard, section 4.10.5.1.5): RFC 5322 without its quoting and comments.
ADDRESS = re.compile(
    r"(?P<user>[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+)@(?P<domain>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)"
)
LONGEST_ERROR = 2000  # characters; Slack cuts longer fields where it likes


@dataclass(frozen=True)
class Notice:
    """One event of one transition. ``seconds`` is how long it has taken, 0 where it has only begun."""

    event: str
    environment: str
    verb: str
    operator: str
    release: str = ""
    from_release: str = ""
    reason: str = ""
    seconds: float = 0.0
    error: str = ""


def headline(notice: Notice) -> str:
    """One sentence without a line break: ``production: deploy of 0123456789ab failed after 12 s.``"""
    subject = f"{notice.verb} of {notice.release}" if notice.release else notice.verb
    duration = f" after {_duration(notice.seconds)}" if notice.seconds and notice.event != STARTED else ""
    if notice.event == ROLLED_BACK:  # the duration would stand behind another sentence
        return one_line(f"{notice.environment}: {subject}{duration} {ENDINGS[notice.event]}.")
    return one_line(f"{notice.environment}: {subject} {ENDINGS[notice.event]}{duration}.")


def facts(notice: Notice) -> dict[str, str]:
    """What else there is to know, without what is empty; the error last, because it may be long."""
    named = {
        "Environment": notice.environment,
        "Release": notice.release,
        "Release before": notice.from_release,
        "Operator": notice.operator,
        "Reason": notice.reason,
    }
    told = {name: one_line(value) for name, value in named.items() if value.strip()}
    error = notice.error.strip()
    shown = error if len(error) <= LONGEST_ERROR else error[:LONGEST_ERROR] + " …"
    return told | ({"Error": shown} if shown else {})


def chat_body(notice: Notice) -> dict[str, Any]:
    """The body of an incoming webhook, as Slack documents it ("Sending messages using incoming webhooks")."""
    fields = [
        {"title": name, "value": _plain(value), "short": name != "Error" and len(value) < 40}
        for name, value in facts(notice).items()
    ]
    text = _plain(headline(notice))
    return {"text": text, "attachments": [{"color": COLORS[notice.event], "fallback": text, "fields": fields}]}


def mail(notice: Notice, sender: str, recipients: list[str], sent: datetime) -> EmailMessage:
    """An e-mail of RFC 5322. A value can neither end its header nor add one.

    :raises PlatformError: for an address that is none.
    """
    message = EmailMessage(policy=SMTP)
    message["From"] = address(sender)
    message["To"] = [address(recipient) for recipient in recipients]
    message["Subject"] = f"[{one_line(notice.environment)}] {headline(notice)}"
    message["Date"] = format_datetime(sent)
    message["Message-ID"] = make_msgid(domain=address(sender).domain)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: so that no absence notice answers
    lines = [headline(notice), "", *(f"{name}: {value}" for name, value in facts(notice).items())]
    message.set_content("\n".join(lines) + "\n")
    return message


def address(text: str) -> Address:
    """An address without a display name: ``someone@example.org``."""
    parts = ADDRESS.fullmatch(text.strip(" "))
    if not parts:
        raise PlatformError(
            f"'{one_line(text)}' is no e-mail address",
            "one looks like someone@example.org",
            "Correct release_notify_email_to or release_notify_email_from.",
        )
    return Address(username=parts["user"], domain=parts["domain"])


def _plain(text: str) -> str:
    """Slack's three control characters, escaped as its documentation says: nothing links, nobody is called."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _duration(seconds: float) -> str:
    """``3 min 5 s``"""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
