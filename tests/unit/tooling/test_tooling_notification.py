"""Notifications through real servers: what arrives, and that what does not arrive is a warning without a secret."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.erni import notification_send
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.notification import FAILED, Notice
from ansible.module_utils.erni.notification_send import Delivery, MailServer, Targets, notify, post
from small_project import BIN, ROOT, Project
from small_servers import LOOPBACK, MailBox, Web, mail_server, self_signed, web_server

KEY = "B0T0K3N"
PATH = f"/services/T000/{KEY}?key={KEY}"
PASSWORD = "correct-horse-battery"
NOTICE = Notice(FAILED, "staging", "deploy", "anna", "0123456789ab", error="It broke.", seconds=3)
ANNA, BEN = "anna@example.org", "ben@example.org"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, no_proxy: None) -> None:  # noqa: ARG001 (it takes effect by being asked for)
    monkeypatch.setattr(notification_send, "RETRY_PAUSE", 0.01)


@pytest.fixture
def box() -> Iterator[MailBox]:
    with mail_server() as running:
        yield running


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return tmp_path / "loopback.pem"


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    return self_signed(certificate)


def url(port: int, scheme: str = "http") -> str:
    return f"{scheme}://{LOOPBACK}:{port}{PATH}"


def unused_port() -> int:
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        return int(free.getsockname()[1])


def by_mail(box: MailBox, security: str = "plain", to: tuple[str, ...] = (ANNA,), **server: Any) -> Delivery:
    mail = MailServer(LOOPBACK, box.port, security, **server)
    return notify(NOTICE, Targets(email_to=to, email_from="erni@example.org", server=mail))


def refusal(address: str, timeout: float = 2) -> str:
    with pytest.raises(PlatformError) as refused:
        post(address, {"text": "x"}, timeout)
    said = str(refused.value)
    assert KEY not in said
    assert said.startswith("The notification could not be sent to the webhook: ")
    return said


def test_a_webhook_gets_json_in_one_post(web: Web) -> None:
    assert notify(NOTICE, Targets(url(web.port))) == Delivery(["webhook"], [])
    ((method, path, kind, content),) = web.seen
    assert (method, path, kind) == ("POST", PATH, "application/json")
    assert json.loads(content)["text"] == "staging: deploy of 0123456789ab failed after 3 s."


def test_nobody_to_tell_is_nothing_to_send() -> None:
    assert notify(NOTICE, Targets()) == Delivery([], [])


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, "no_service", "it answered 404 no_service. Check notify_webhook"),
        (403, f"no token {KEY} here", "it answered 403 no token (secret) here."),
        (500, "", "it answered 500."),
        (302, "", "it answered 302."),
    ],
)
def test_a_refusal_is_told_and_not_tried_again(web: Web, status: int, body: str, said: str) -> None:
    web.answers, web.body = [status], body
    assert said in refusal(url(web.port))
    assert len(web.seen) == 1, "neither repeated nor redirected"


def test_a_connection_that_breaks_is_tried_once_more(web: Web) -> None:
    web.answers = [None]
    assert notify(NOTICE, Targets(url(web.port))).sent == ["webhook"]
    web.answers = [None, None, 200]
    assert "Remote" in refusal(url(web.port))
    assert len(web.seen) == 4


def test_an_answer_that_does_not_come_is_not_waited_for_twice() -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:
        assert "it did not answer within 0.3 s" in refusal(url(silent.getsockname()[1]), timeout=0.3)
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):  # no second one came
            silent.accept()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (f"http://{LOOPBACK}:{{port}}{PATH}", "Connection refused"),
        (f"file:///etc/passwd?{KEY}", "notify_webhook is no http or https URL"),
        (f"ftp://{LOOPBACK}/{KEY}", "notify_webhook is no http or https URL"),
        (f"http://[{KEY}", "notify_webhook is no http or https URL"),
        (f"http://{LOOPBACK}:{{port}}/a b\r\n{KEY}", "it gave no whole answer (InvalidURL)"),
        (f"http://{LOOPBACK}:{KEY}/", "it gave no whole answer (InvalidURL)"),
        (KEY, "notify_webhook is no http or https URL"),
    ],
)
def test_an_address_that_cannot_be_reached_is_never_shown(address: str, said: str) -> None:
    assert said in refusal(address.replace("{port}", str(unused_port())))


def test_a_webhook_over_tls_wants_a_certificate_that_is_trusted(
    certificate: Path, server_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with web_server(server_tls) as web:
        assert "its certificate is refused (self-signed certificate)" in refusal(url(web.port, "https"))
        assert web.seen == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        post(url(web.port, "https"), {"text": "x"})
        assert len(web.seen) == 1


def test_a_mail_reaches_everybody_in_one_conversation(box: MailBox) -> None:
    assert by_mail(box, to=(ANNA, BEN)) == Delivery(["e-mail"], [])
    (mail,) = box.arrived
    assert (mail.sender, mail.recipients, mail.encrypted) == ("erni@example.org", (ANNA, BEN), False)
    message = message_from_bytes(mail.content, policy=policy.default)
    assert message["Subject"] == "[staging] staging: deploy of 0123456789ab failed after 3 s."
    assert "Error: It broke." in message.get_content()


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_is_handed_over_encrypted_after_logging_in(
    security: str, certificate: Path, server_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(**{security: server_tls}) as box:
        box.login = ("erni", PASSWORD)
        assert by_mail(box, security, username="erni", password=PASSWORD) == Delivery(["e-mail"], [])
        assert (box.arrived[0].encrypted, box.arrived[0].user) == (True, "erni")


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_no_password_goes_to_a_mail_server_that_is_not_trusted(security: str, server_tls: ssl.SSLContext) -> None:
    with mail_server(**{security: server_tls}) as box:
        delivery = by_mail(box, security, username="erni", password=PASSWORD)
        assert delivery.sent == []
        assert "its certificate is refused (self-signed certificate)" in delivery.warnings[0]
        assert box.arrived == []


def test_a_mail_server_without_encryption_gets_neither_password_nor_mail(box: MailBox) -> None:
    delivery = by_mail(box, "starttls", username="erni", password=PASSWORD)
    assert "STARTTLS extension not supported by server" in delivery.warnings[0]
    assert box.arrived == []


def test_a_refused_login_is_told_without_the_password(box: MailBox) -> None:
    box.login = ("erni", "another one")
    (warning,) = by_mail(box, username="erni", password=PASSWORD).warnings
    assert f"through {LOOPBACK}:{box.port}: it answered 535 (secret) is wrong. Check release_notify_smtp" in warning


def test_recipients_that_are_refused_are_named(box: MailBox) -> None:
    box.refused = {BEN}
    partly = by_mail(box, to=(ANNA, BEN))
    assert [mail.recipients for mail in box.arrived] == [(ANNA,)]
    assert partly.warnings[0].startswith(f"The notification did not reach everybody: refused: {BEN}.")
    assert "all recipients were refused" in by_mail(box, to=(BEN,)).warnings[0]


def test_a_mail_server_that_hangs_up_gets_a_second_chance(box: MailBox) -> None:
    box.drops = 1
    assert by_mail(box).sent == ["e-mail"]
    assert (box.connections, len(box.arrived)) == (2, 1)
    box.drops = 99
    assert "Connection unexpectedly closed" in by_mail(box).warnings[0]
    assert box.connections == 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"server": MailServer("", 587)}, "release_notify_smtp no host"),
        ({"server": MailServer(LOOPBACK, 1)}, "Connection refused"),
        ({"email_to": ("nobody",)}, "'nobody' is no e-mail address"),
        ({"email_from": "erni@example.org\r\nBcc: x@example.org"}, "is no e-mail address"),
    ],
)
def test_a_mail_that_cannot_be_sent_is_a_warning(box: MailBox, changes: dict[str, Any], said: str) -> None:
    server = MailServer(LOOPBACK, box.port, "plain")
    targets = replace(Targets(email_to=(ANNA,), email_from="erni@example.org", server=server), **changes)
    delivery = notify(NOTICE, targets)
    assert delivery.sent == []
    assert said in delivery.warnings[0]
    assert box.arrived == []


def test_one_way_that_is_broken_does_not_keep_the_other_from_working(web: Web, box: MailBox) -> None:
    web.answers = [500]
    targets = Targets(url(web.port), (ANNA,), "erni@example.org", MailServer(LOOPBACK, box.port, "plain"))
    delivery = notify(NOTICE, targets)
    assert (delivery.sent, len(delivery.warnings), len(box.arrived)) == (["e-mail"], 1, 1)


# The role's entry, with the module, through the real ansible-playbook.


def tell(project: Project, *flags: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    shared = yaml.safe_load((ROOT / "group_vars" / "all" / "releases.yml").read_text())
    given = {
        **{name: value for name, value in shared.items() if name.startswith("release_notify_")},
        "erni_env": "staging",
        "erni_verb": "deploy",
        "erni_operator": "anna",
        "erni_reason": "ticket 17",
        "erni_secrets": {},
        "platform_public_hostname": "example.org",
        "release_notice": {"event": "failed", "release": "0123456789ab", "error": "It broke.", "seconds": 3},
        **variables,
    }
    play = {"name": "p", "hosts": "all", "gather_facts": False, "vars": given}
    play["tasks"] = [{"include_role": {"name": "release", "tasks_from": "notify"}}]
    (project.folder / "book.yml").write_text(yaml.safe_dump([play]))
    (project.folder / "hosts").write_text("one ansible_connection=local\n")
    return subprocess.run(
        [
            BIN / "ansible-playbook",
            "-i",
            "hosts",
            "book.yml",
            "-e",
            f"ansible_python_interpreter={sys.executable}",
            *flags,
        ],
        cwd=project.folder,
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_role_tells_by_both_ways_and_shows_no_secret(project: Project, web: Web, box: MailBox) -> None:
    box.login = ("erni", PASSWORD)
    told = tell(
        project,
        "-vvv",
        erni_secrets={"notify_webhook": url(web.port), "notify_smtp_password": PASSWORD},
        release_notify_email_to=[ANNA],
        release_notify_smtp={"host": LOOPBACK, "port": box.port, "security": "plain", "username": "erni"},
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert (len(web.seen), len(box.arrived)) == (1, 1)
    assert "ticket 17" in web.seen[0][3].decode()
    assert KEY not in told.stdout + told.stderr
    assert PASSWORD not in told.stdout + told.stderr


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"release_notify_webhook": f"http://{LOOPBACK}:1{PATH}"}, "Warning: The notification could not be sent to"),
        (
            {"release_notify_webhook": f"http://{LOOPBACK}:1{PATH}", "release_notice": {"event": "misspelt"}},
            "Warning: the notification was not sent: value of event must be one of",
        ),
        (
            {"release_notify_webhook": f"http://{LOOPBACK}:1{PATH}", "release_notify_smtp": {"port": "many"}},
            "Warning: the notification was not sent:",
        ),
        ({"release_notify_webhook": f"http://{LOOPBACK}:1{PATH}", "release_notice": {}}, "Warning: the notification"),
    ],
)
def test_what_cannot_be_sent_never_fails_the_run(project: Project, variables: dict[str, Any], said: str) -> None:
    told = tell(project, **variables)
    assert told.returncode == 0, told.stdout + told.stderr
    assert said in told.stdout
    assert KEY not in told.stdout + told.stderr


def test_check_mode_and_an_environment_that_tells_nobody_send_nothing(project: Project, web: Web) -> None:
    told = tell(project, "--check", release_notify_webhook=url(web.port))
    assert told.returncode == 0, told.stdout + told.stderr
    assert web.seen == []
    assert tell(project).returncode == 0
