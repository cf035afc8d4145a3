"""What people are told about a release, and what cannot be smuggled into it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.notification import (
    EVENTS,
    FAILED,
    LONGEST_ERROR,
    ROLLED_BACK,
    STARTED,
    SUCCEEDED,
    Notice,
    chat_body,
    facts,
    headline,
    mail,
)

NOTICE = Notice(
    event=SUCCEEDED,
    environment="staging",
    verb="deploy",
    operator="anna <anna@example.org>",
    release="0123456789ab",
    from_release="ba9876543210",
    reason="ticket 17",
    seconds=65.4,
)
SENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SENDER, TEAM = "erni@example.org", ["anna@example.org", "ben@example.org"]


def as_received(notice: Notice, recipients: list[str] = TEAM) -> EmailMessage:
    """What a mail program makes of the bytes that go over the wire."""
    sent = mail(notice, SENDER, recipients, SENT).as_bytes(policy=policy.SMTP)
    received = message_from_bytes(sent, policy=policy.default)
    assert isinstance(received, EmailMessage)
    return received


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"event": STARTED}, "staging: deploy of 0123456789ab has begun."),
        ({}, "staging: deploy of 0123456789ab succeeded after 1 min 5 s."),
        ({"seconds": 0.0}, "staging: deploy of 0123456789ab succeeded."),
        ({"event": FAILED, "seconds": 12.2}, "staging: deploy of 0123456789ab failed after 12 s."),
        ({"event": FAILED, "release": "", "seconds": 0.4}, "staging: deploy failed after 0 s."),
        (
            {"event": ROLLED_BACK, "seconds": 40.0},
            "staging: deploy of 0123456789ab after 40 s was rolled back: what served before serves again.",
        ),
        ({"verb": "rollback", "seconds": 3600.0}, "staging: rollback of 0123456789ab succeeded after 60 min 0 s."),
        ({"environment": "a\r\nb\x00c", "seconds": 0.0}, "a b c: deploy of 0123456789ab succeeded."),
    ],
)
def test_an_event_is_told_in_one_sentence(changes: dict[str, str], expected: str) -> None:
    assert headline(replace(NOTICE, **changes)) == expected


def test_every_event_has_its_words_and_its_colour() -> None:
    bodies = [chat_body(replace(NOTICE, event=event)) for event in EVENTS]
    assert len({body["text"] for body in bodies}) == len(EVENTS)
    assert len({body["attachments"][0]["color"] for body in bodies}) == len(EVENTS)


def test_only_what_is_known_is_listed_and_the_error_comes_last() -> None:
    assert list(facts(replace(NOTICE, error="It broke."))) == [
        "Environment",
        "Release",
        "Release before",
        "Operator",
        "Reason",
        "Error",
    ]
    bare = Notice(FAILED, "staging", "deploy", "anna", reason="  ")
    assert facts(bare) == {"Environment": "staging", "Operator": "anna"}


def test_an_error_keeps_its_lines_and_is_cut_where_it_is_endless() -> None:
    assert facts(replace(NOTICE, error="It broke:\nline 1\nline 2\n"))["Error"] == "It broke:\nline 1\nline 2"
    assert len(facts(replace(NOTICE, error="x" * 9000))["Error"]) == LONGEST_ERROR + 2


def test_a_chat_message_is_what_slack_takes() -> None:
    body = json.loads(json.dumps(chat_body(replace(NOTICE, event=FAILED, error="It broke."))))
    assert body["text"] == "staging: deploy of 0123456789ab failed after 1 min 5 s."
    (attachment,) = body["attachments"]
    assert (attachment["color"], attachment["fallback"]) == ("danger", body["text"])
    assert {"title": "Release", "value": "0123456789ab", "short": True} in attachment["fields"]
    assert {"title": "Error", "value": "It broke.", "short": False} in attachment["fields"]


def test_a_chat_message_calls_nobody_and_links_nowhere() -> None:
    body = chat_body(replace(NOTICE, environment="<!here>", reason="<!channel> & <https://example.org|click>"))
    text = json.dumps(body)
    assert "<" not in text
    assert "&lt;!channel&gt; &amp; &lt;https://example.org|click&gt;" in text


def test_a_mail_says_who_what_and_when() -> None:
    received = as_received(replace(NOTICE, error="It broke:\nschön\n"))
    assert received["Subject"] == "[staging] staging: deploy of 0123456789ab succeeded after 1 min 5 s."
    assert received["From"] == SENDER
    assert received["To"] == "anna@example.org, ben@example.org"
    assert received["Date"] == "Fri, 02 Jan 2026 03:04:05 +0000"
    assert received["Message-ID"].endswith("@example.org>")
    assert received["Auto-Submitted"] == "auto-generated"
    assert received.get_content().replace("\r\n", "\n") == (
        "staging: deploy of 0123456789ab succeeded after 1 min 5 s.\n\n"
        "Environment: staging\nRelease: 0123456789ab\nRelease before: ba9876543210\n"
        "Operator: anna <anna@example.org>\nReason: ticket 17\nError: It broke:\nschön\n"
    )


@pytest.mark.parametrize("ending", ["\r\n", "\n", "\r", "\x0b", "\u2028", "\x00\r\n"])
@pytest.mark.parametrize("name", ["environment", "verb", "release"])
def test_no_value_adds_a_header(name: str, ending: str) -> None:
    received = as_received(replace(NOTICE, **{name: f"x{ending}Bcc: thief@example.org{ending}{ending}body"}))
    assert received["Bcc"] is None
    assert received.keys() == as_received(NOTICE).keys()
    assert "Bcc: thief@example.org" in received["Subject"]


def test_a_long_subject_is_folded_and_comes_out_whole() -> None:
    release = "registry.example.org/" + "x" * 300
    assert release in as_received(replace(NOTICE, release=release))["Subject"].replace(" ", "")


@pytest.mark.parametrize(
    "bad",
    [
        *("", "anna", "anna@", "@example.org", "anna@example.org\r\nBcc: thief@example.org", "a@b, c@d"),
        *("Anna <anna@example.org>", "anna@example.org\x00", "anna smith@example.org"),
    ],
)
def test_an_address_that_is_none_is_refused_in_a_sentence(bad: str) -> None:
    with pytest.raises(PlatformError, match="is no e-mail address") as refused:
        mail(NOTICE, SENDER, ["anna@example.org", bad], SENT)
    assert "\n" not in str(refused.value)
    with pytest.raises(PlatformError, match="is no e-mail address"):
        mail(NOTICE, bad, TEAM, SENT)
