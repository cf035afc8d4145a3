"""What a user may expect, checked against a site that fails in one way at a time."""

from __future__ import annotations

import http.client
import json
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.erni.probe import Answer
from ansible.module_utils.erni.user_journey import Expectations, travel

URL = "https://app.example.org"
EXPECTED = Expectations(URL, page_text="ERNI", release="3f391f4", readiness=True, chat=True)

REDIRECT = "port 80 redirects to HTTPS"
PAGE = "the page is served over HTTPS, its certificate checked"
HEADERS = "the security headers are sent"
RELEASE = "nginx tells the release that serves"
HEALTH = "/health answers"
FIGURES = "the figures are not public"
READINESS = "/readiness answers"
CHAT = "a chat message comes back answered"
ALL = [REDIRECT, PAGE, HEADERS, RELEASE, HEALTH, FIGURES, READINESS, CHAT]

SECURITY_HEADERS = ("x-content-type-options", "x-frame-options", "referrer-policy")
FIGURE_PATHS = ("/metrics", "/api/metrics", "/api//metrics", "/metrics/")

MOVED = Answer(301, {"location": f"{URL}/some/page?x=1"})
HOME = Answer(
    200,
    {"content-type": "text/html; charset=utf-8", "x-erni-release": "3f391f4"} | dict.fromkeys(SECURITY_HEADERS, "yes"),
    "<h1>ERNI Building Agents</h1>",
)


def told(value: Any, status: int = 200) -> Answer:
    return Answer(status, {"content-type": "application/json"}, json.dumps(value))


REPLY = told({"conversation_id": "c-1", "response": "There are six."})


class FakeSite:
    """A site on which all is well, but for what a test replaces. ``http:`` is what port 80 answers."""

    def __init__(self, broken: dict[str, Answer | Exception] | None = None, *, dead: bool = False) -> None:
        well: dict[str, Answer | Exception] = {"http:": MOVED, "/": HOME, "/health": Answer(200)}
        self.answers = well | {"/readiness": Answer(200), "/api/chat": REPLY} | (broken or {})
        self.dead = dead
        self.posted: list[dict[str, Any]] = []

    def plain(self, path: str) -> Answer:
        assert path == "/some/page?x=1", "a path and a query that the redirect has to keep"
        return self._answer("http:")

    def secure(self, path: str, body: dict[str, Any] | None = None) -> Answer:
        assert (path == "/api/chat") is (body is not None), "only a message is posted"
        if body is not None:
            self.posted.append(body)
        return self._answer(path)

    def _answer(self, path: str) -> Answer:
        answer = ConnectionRefusedError("nobody there") if self.dead else self.answers.get(path, Answer(404))
        if isinstance(answer, Exception):
            raise answer
        return answer


def without(answer: Answer, *headers: str) -> Answer:
    return replace(answer, headers={name: value for name, value in answer.headers.items() if name not in headers})


def test_a_platform_on_which_all_is_well_has_no_findings() -> None:
    journey = travel(FakeSite(), EXPECTED)
    assert journey.findings == []
    assert journey.passed == ALL


@pytest.mark.parametrize(
    ("broken", "sentence", "why"),
    [
        ({"http:": Answer(200)}, REDIRECT, "it answered 200 with location ''"),
        ({"http:": Answer(301)}, REDIRECT, "it answered 301 with location ''"),
        ({"http:": replace(MOVED, status=200)}, REDIRECT, f"it answered 200 with location '{URL}/some/page?x=1'"),
        ({"http:": Answer(301, {"location": f"{URL}/"})}, REDIRECT, f"location '{URL}/'"),
        ({"http:": Answer(301, {"location": f"{URL}/some/page"})}, REDIRECT, f"location '{URL}/some/page'"),
        ({"http:": Answer(301, {"location": "https://evil.example/some/page?x=1"})}, REDIRECT, "evil.example"),
        ({"http:": ConnectionRefusedError("nobody there")}, REDIRECT, "ConnectionRefusedError: nobody there"),
        ({"/": replace(HOME, status=502)}, PAGE, "/ answered 502"),
        ({"/": replace(HOME, body="Welcome to nginx!")}, PAGE, "it does not say 'ERNI'"),
        ({"/": replace(without(HOME, "content-type"), status=502)}, PAGE, "it answered 502 and no HTML"),
        ({"/": without(HOME, "x-frame-options")}, HEADERS, "x-frame-options are missing"),
        ({"/": without(HOME, *SECURITY_HEADERS)}, HEADERS, f"{', '.join(SECURITY_HEADERS)} are missing"),
        ({"/": without(HOME, "x-erni-release")}, RELEASE, "it says '', not '3f391f4'"),
        ({"/": replace(HOME, headers=HOME.headers | {"x-erni-release": "old"})}, RELEASE, "it says 'old'"),
        ({"/health": Answer(500)}, HEALTH, "/health answered 500"),
        ({"/health": TimeoutError("timed out")}, HEALTH, "TimeoutError: timed out"),
        ({"/metrics": Answer(200)}, FIGURES, "/metrics answered 200"),
        ({"/metrics": TimeoutError("timed out")}, FIGURES, "TimeoutError: timed out"),
        ({"/readiness": Answer(503, {}, "<h1>Down</h1>")}, READINESS, "it answered 503; not ok: it does not say what"),
        ({"/readiness": Answer(404)}, READINESS, "it answered 404"),
        ({"/api/chat": Answer(429)}, CHAT, "it answered 429"),
        ({"/api/chat": TimeoutError("timed out")}, CHAT, "TimeoutError: timed out"),
        ({"/api/chat": told({"conversation_id": "c-1"})}, CHAT, "the answer is empty"),
        ({"/api/chat": told({"response": "There are six."})}, CHAT, "the answer names no conversation"),
        ({"/api/chat": Answer(200, {}, "<h1>Hello</h1>")}, CHAT, "the answer names no conversation"),
    ],
)
def test_what_fails_alone_is_the_only_finding_and_hides_no_other_check(
    broken: dict[str, Answer | Exception], sentence: str, why: str
) -> None:
    journey = travel(FakeSite(broken), EXPECTED)
    assert [finding.what for finding in journey.findings] == [f"Not so: {sentence}"]
    assert why in journey.findings[0].why
    assert "make logs SERVICE=nginx" in journey.findings[0].remedy
    assert journey.passed == [other for other in ALL if other != sentence]


def test_a_front_page_that_does_not_answer_is_told_by_every_check_that_needs_it() -> None:
    journey = travel(FakeSite({"/": OSError("certificate verify failed")}), EXPECTED)
    assert [finding.what for finding in journey.findings] == [f"Not so: {name}" for name in (PAGE, HEADERS, RELEASE)]
    assert {finding.why for finding in journey.findings} == {"OSError: certificate verify failed"}


def test_a_dead_platform_fails_every_check_and_passes_none() -> None:
    journey = travel(FakeSite(dead=True), EXPECTED)
    assert [finding.what for finding in journey.findings] == [f"Not so: {sentence}" for sentence in ALL]
    assert (journey.passed, journey.conversation) == ([], "")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_any_redirect_that_keeps_the_path_is_one(status: int) -> None:
    assert REDIRECT in travel(FakeSite({"http:": replace(MOVED, status=status)}), EXPECTED).passed


@pytest.mark.parametrize("path", FIGURE_PATHS)
def test_figures_are_found_whatever_way_leads_to_them(path: str) -> None:
    (finding,) = travel(FakeSite({path: Answer(200, {}, "http_requests_total 1")}), EXPECTED).findings
    assert finding.why == f"{path} answered 200"


def test_all_open_ways_to_the_figures_are_told_at_once() -> None:
    (finding,) = travel(FakeSite(dict.fromkeys(FIGURE_PATHS, Answer(200))), EXPECTED).findings
    assert finding.why == f"{', '.join(FIGURE_PATHS)} answered 200"


@pytest.mark.parametrize(
    ("checks", "failing"),
    [
        ({"openai": {"ok": False}, "database": {"ok": True}}, "openai"),
        ({"openai": "unhealthy", "cache": "ok", "database": "healthy", "disk": True}, "openai"),
        ({"openai": False, "cache": None, "database": {}}, "cache, database, openai"),
        ({}, "it does not say what"),
        (None, "it does not say what"),
    ],
)
def test_a_platform_that_is_not_ready_says_what_is_not(checks: Any, failing: str) -> None:
    (finding,) = travel(FakeSite({"/readiness": told({"checks": checks}, 503)}), EXPECTED).findings
    assert finding.why == f"it answered 503; not ok: {failing}"


@pytest.mark.parametrize(
    ("changes", "left_out"),
    [({"readiness": False}, READINESS), ({"chat": False}, CHAT)],
)
def test_what_an_environment_does_not_expect_is_not_asked(changes: dict[str, bool], left_out: str) -> None:
    path = {READINESS: "/readiness", CHAT: "/api/chat"}[left_out]
    site = FakeSite({path: AssertionError("asked")})
    journey = travel(site, replace(EXPECTED, **changes))
    assert journey.findings == []
    assert journey.passed == [sentence for sentence in ALL if sentence != left_out]


def test_what_comes_in_its_own_time_is_waited_for_as_long_as_the_patience_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = 0.0

    def sleep(seconds: float) -> None:
        nonlocal clock
        clock += seconds
        if clock >= 3:
            site.answers["/readiness"] = Answer(200)

    monkeypatch.setattr("time.monotonic", lambda: clock)
    monkeypatch.setattr("time.sleep", sleep)
    site = FakeSite({"/readiness": Answer(503), "/api/chat": Answer(500)})
    assert [f.what for f in travel(site, replace(EXPECTED, patience=2.0)).findings] == [
        f"Not so: {READINESS}",
        f"Not so: {CHAT}",
    ]
    assert [f.what for f in travel(site, replace(EXPECTED, patience=10.0)).findings] == [f"Not so: {CHAT}"]
    assert len(site.posted) == 2, "once in each journey: it may have been stored"


def test_any_release_will_do_where_none_is_expected() -> None:
    for home in (HOME, without(HOME, "x-erni-release")):
        assert travel(FakeSite({"/": home}), replace(EXPECTED, release="")).findings == []


def test_one_message_is_sent_and_its_conversation_remembered() -> None:
    site = FakeSite()
    assert travel(site, EXPECTED).conversation == "c-1"
    (message,) = site.posted
    assert list(message) == ["message"]
    assert message["message"].startswith("Hello from make verify")


@pytest.mark.parametrize("reply", [{"response": "six"}, {"messages": [{"content": "six"}]}])
def test_an_answer_counts_in_either_form(reply: dict[str, Any]) -> None:
    journey = travel(FakeSite({"/api/chat": told({"conversation_id": "c-1"} | reply)}), EXPECTED)
    assert journey.findings == []


def test_a_conversation_is_remembered_although_its_answer_is_empty() -> None:
    reply = told({"conversation_id": "c-1", "response": "", "messages": []})
    assert travel(FakeSite({"/api/chat": reply}), EXPECTED).conversation == "c-1"


@pytest.mark.parametrize("identifier", ["3f2b8c1e-9d", "A_b-9", "x", "x" * 64, 7])
def test_an_identifier_of_letters_digits_and_dashes_is_taken(identifier: str | int) -> None:
    journey = travel(FakeSite({"/api/chat": told({"conversation_id": identifier, "response": "six"})}), EXPECTED)
    assert (journey.findings, journey.conversation) == ([], str(identifier))


@pytest.mark.parametrize(
    "identifier",
    [
        "",
        " ",
        "x" * 65,
        "two words",
        "' OR '1'='1",
        "c1'; DROP TABLE messages; --",
        "c1%",
        "c1\r\nFLUSHALL",
        "\nc1",
        "$(reboot)",
        "`reboot`",
        "../../etc/passwd",
        "{{ lookup('file', '/etc/passwd') }}",
        "c\u0661",
        "ç1",
        ["c1"],
        {"id": "c1"},
        "c1\n",
        None,
    ],
)
def test_an_identifier_that_could_mean_something_elsewhere_is_refused(identifier: Any) -> None:
    journey = travel(FakeSite({"/api/chat": told({"conversation_id": identifier, "response": "six"})}), EXPECTED)
    assert [finding.why for finding in journey.findings] == ["the answer names no conversation"]
    assert journey.conversation == ""


@pytest.mark.parametrize(
    ("path", "answer", "sentence"),
    [
        ("/api/chat", told(["c-1"]), CHAT),
        ("/api/chat", told("c-1"), CHAT),
        ("/api/chat", told(None), CHAT),
        ("/readiness", told(["openai"], 503), READINESS),
        ("/readiness", told({"checks": ["openai"]}, 503), READINESS),
    ],
)
def test_json_of_another_shape_is_a_finding_and_no_crash(path: str, answer: Answer, sentence: str) -> None:
    journey = travel(FakeSite({path: answer}), EXPECTED)
    assert [finding.what for finding in journey.findings] == [f"Not so: {sentence}"]


@pytest.mark.parametrize(
    "error", [http.client.IncompleteRead(b"half"), http.client.BadStatusLine("SSH-2.0"), http.client.LineTooLong("x")]
)
def test_an_answer_that_is_no_http_is_a_finding_and_no_crash(error: Exception) -> None:
    journey = travel(FakeSite({"/health": error}), EXPECTED)
    assert [finding.what for finding in journey.findings] == [f"Not so: {HEALTH}"]
