"""What comes back through the proxy proves which release serves, or says why it does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import engine, release_apply, release_proxy
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.live_folder import LiveFolder
from ansible.module_utils.erni.release_apply import Site
from ansible.module_utils.erni.release_proxy import (
    PROOF_PASSES,
    PROOF_SECONDS,
    Answer,
    Proxy,
    Upstream,
    ask,
    disagreement,
    prove,
    reachable,
    read_answer,
)

OLD, NEW = "ba9876543210", "0123456789ab"
PROXY = Proxy("erni-nginx", "erni-gruppe.ch", {"backend": "/health", "frontend": "/"})

# As curl 7.88 writes them of nginx 1.22.

HTTP_2 = """HTTP/2 200 \r
server: nginx/1.22.1\r
date: Fri, 02 Jan 2026 03:04:05 GMT\r
content-type: application/json\r
content-length: 2\r
strict-transport-security: max-age=63072000\r
x-erni-release: 0123456789ab\r
x-erni-slot: green\r
\r
"""
HTTP_1 = """HTTP/1.1 200 OK\r
Server: nginx/1.22.1\r
Date: Fri, 02 Jan 2026 03:04:05 GMT\r
Content-Type: application/json\r
Content-Length: 2\r
Connection: keep-alive\r
X-Erni-Release: 0123456789ab\r
X-Erni-Slot: green\r
\r
"""
MAINTENANCE = HTTP_2.replace("HTTP/2 200 ", "HTTP/2 503 ")
OF_NGINX = """HTTP/2 502 \r
server: nginx/1.22.1\r
date: Fri, 02 Jan 2026 03:04:05 GMT\r
content-type: text/html\r
content-length: 157\r
\r
"""


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        (HTTP_2, Answer(200, "green", NEW)),
        (HTTP_2.strip(), Answer(200, "green", NEW)),  # as what runs in a container gives it back
        (HTTP_1, Answer(200, "green", NEW)),
        (MAINTENANCE, Answer(503, "green", NEW)),
        (OF_NGINX, Answer(502, "", "")),
        (HTTP_2.replace(f" {NEW}", ""), Answer(200, "green", "")),  # a release without a name
        (HTTP_2.replace("x-erni-slot", "x-erni-slots"), Answer(200, "", NEW)),
        (HTTP_2.replace("server:", "link: </a>; x-erni-slot: blue,"), Answer(200, "green", NEW)),
        ("", Answer(0, "", "")),
        ("curl: (7) Failed to connect to 127.0.0.1 port 443: Connection refused", Answer(0, "", "")),
    ],
)
def test_status_slot_and_release_are_read_from_what_curl_writes(headers: str, answer: Answer) -> None:
    assert read_answer(headers) == answer


@pytest.mark.parametrize(
    ("answer", "objection"),
    [
        (Answer(200, "green", NEW), ""),
        (Answer(200, "blue", OLD), f"/health is answered by release {OLD} in slot blue"),
        (Answer(200, "blue", NEW), f"/health is answered by release {NEW} in slot blue"),
        (Answer(200, "green", OLD), f"/health is answered by release {OLD} in slot green"),
        (Answer(200, "", ""), "/health is answered by release (none) in slot (none)"),
        (Answer(503, "green", NEW), "/health answers with 503"),
        (Answer(308, "", ""), "/health answers with 308"),
        (Answer(0, "", ""), "/health answers with nothing"),
    ],
)
def test_only_a_good_answer_of_the_release_in_its_slot_proves_that_it_serves(answer: Answer, objection: str) -> None:
    assert disagreement("/health", answer, "green", NEW) == objection


@dataclass
class PublicSite:
    """The public site as asked from within the proxy's container; each request takes ``seconds`` of a fake clock."""

    answers: Iterator[str]
    seconds: float = 0.0
    now: float = 1000.0
    asked: list[str] = field(default_factory=list)

    def run_inside(self, _client: Any, container: str, command: tuple[str, ...]) -> tuple[int, str]:
        assert container == PROXY.container
        self.asked.append(command[-1])
        self.now += self.seconds
        return 0, next(self.answers)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def public(monkeypatch: pytest.MonkeyPatch, answers: Any, seconds: float = 0.0) -> PublicSite:
    site = PublicSite(iter(answers), seconds)
    monkeypatch.setattr(engine, "run_inside", site.run_inside)
    monkeypatch.setattr(release_proxy, "time", site)
    return site


def endless(*texts: str) -> Iterator[str]:
    while True:
        yield from texts


def test_a_proof_takes_several_good_answers_of_each_service_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    site = public(monkeypatch, endless(HTTP_2))
    prove(None, PROXY, "green", NEW, ["backend", "frontend"])
    assert site.asked == ["https://erni-gruppe.ch/health", "https://erni-gruppe.ch/"] * PROOF_PASSES
    assert site.now == 1000.0, "nobody waits between good answers"


def test_one_answer_of_another_release_begins_the_row_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    of_the_old = HTTP_2.replace(NEW, OLD).replace("green", "blue")
    site = public(monkeypatch, [HTTP_2, HTTP_2, of_the_old, HTTP_2, HTTP_2, HTTP_2])
    prove(None, PROXY, "green", NEW, ["backend"])
    assert len(site.asked) == 6


def test_a_service_that_is_not_asked_for_proves_nothing_and_needs_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    site = public(monkeypatch, endless(HTTP_2))
    prove(None, PROXY, "green", NEW, ["backend"])
    assert set(site.asked) == {"https://erni-gruppe.ch/health"}


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([OF_NGINX], "/health answers with 502"),
        ([""], "/health answers with nothing"),
        ([HTTP_2.replace("green", "blue")], f"/health is answered by release {NEW} in slot blue"),
        ([HTTP_2, HTTP_2, OF_NGINX], "/health answers with 502"),  # never enough in a row
    ],
)
def test_a_release_that_does_not_prove_itself_in_time_is_told_with_what_came_instead(
    monkeypatch: pytest.MonkeyPatch, answers: list[str], why: str
) -> None:
    site = public(monkeypatch, endless(*answers))
    with pytest.raises(PlatformError) as failed:
        prove(None, PROXY, "green", NEW, ["backend"])
    assert str(failed.value) == f"Through the proxy release {NEW} does not answer: {why}."
    assert PROOF_SECONDS < site.now - 1000.0 < PROOF_SECONDS + 1


def test_a_site_that_answers_well_but_slowly_is_given_the_time_for_its_last_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = public(monkeypatch, endless(HTTP_2), seconds=PROOF_SECONDS - 1)
    prove(None, PROXY, "green", NEW, ["backend"])
    assert len(site.asked) == PROOF_PASSES


def test_a_user_is_imitated_over_tls_by_the_public_name_on_the_proxy_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, ...]] = []
    monkeypatch.setattr(engine, "run_inside", lambda _, __, command: (told.append(command), (0, HTTP_1))[1])
    assert ask(None, PROXY, "/health") == Answer(200, "green", NEW)
    (command,) = told
    assert command[command.index("--resolve") + 1] == "erni-gruppe.ch:443:127.0.0.1"
    assert command[command.index("--max-time") + 1] == "6"


@pytest.mark.parametrize(("code", "reached"), [(0, True), (7, False), (22, False), (28, False)])
def test_a_candidate_is_asked_at_its_own_address_past_the_one_that_serves(
    monkeypatch: pytest.MonkeyPatch, code: int, reached: bool
) -> None:
    told: list[tuple[str, ...]] = []
    monkeypatch.setattr(engine, "run_inside", lambda _, __, command: (told.append(command), (code, "its words"))[1])
    assert reachable(None, PROXY, "172.30.10.30", Upstream(8000, "/readiness")) == (reached, "its words")
    assert told[0][-1] == "http://172.30.10.30:8000/readiness"
    assert "--fail" in told[0], "an error page is no answer"


@pytest.mark.parametrize(
    ("proxy", "maintenance", "shown"),
    [(PROXY, False, [["backend", "frontend"]]), (PROXY, True, [["backend"]]), (None, False, [])],
)
def test_during_maintenance_no_page_is_asked_for_and_without_a_proxy_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, proxy: Proxy | None, maintenance: bool, shown: list[list[str]]
) -> None:
    live = LiveFolder(str(tmp_path))
    live.set_maintenance(maintenance)
    asked: list[list[str]] = []
    monkeypatch.setattr(release_apply, "prove", lambda *arguments: asked.append(list(arguments[-1])))
    Site(None, "erni", str(tmp_path), live, proxy, {}).prove("green", NEW, ["backend", "frontend"])
    assert asked == shown
