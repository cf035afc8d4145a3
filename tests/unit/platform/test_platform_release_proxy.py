"""What comes back through the proxy proves which release serves, or says why it does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import release_apply, release_proxy
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.live_folder import LiveFolder
from ansible.module_utils.erni.network_http import Question, Reply
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
)

OLD, NEW = "ba9876543210", "0123456789ab"
PROXY = Proxy("erni-nginx", "erni-gruppe.ch", {"backend": "/health", "frontend": "/"})

HEADERS = {"server": "nginx/1.22.1", "x-erni-release": NEW, "x-erni-slot": "green"}
GOOD = Reply(200, HEADERS)
OF_THE_OLD = Reply(200, HEADERS | {"x-erni-release": OLD, "x-erni-slot": "blue"})
FROM_THE_WRONG_SLOT = Reply(200, HEADERS | {"x-erni-slot": "blue"})
OF_NGINX = Reply(502, {"server": "nginx/1.22.1"})
NOTHING = Reply(0, why="127.0.0.1:443 does not answer (timed out)")


class Client:
    """The engine, which tells the process of the proxy's container."""

    def inspect_container(self, name: str) -> dict[str, Any]:
        assert name == PROXY.container
        return {"State": {"Pid": 7}}


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

    answers: Iterator[Reply]
    seconds: float = 0.0
    now: float = 1000.0
    asked: list[str] = field(default_factory=list)

    def ask_from(self, process: int, question: Question) -> Reply:
        assert process == 7
        self.asked.append(question.path)
        self.now += self.seconds
        return next(self.answers)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def public(monkeypatch: pytest.MonkeyPatch, answers: Any, seconds: float = 0.0) -> PublicSite:
    site = PublicSite(iter(answers), seconds)
    monkeypatch.setattr(release_proxy, "ask_from", site.ask_from)
    monkeypatch.setattr(release_proxy, "time", site)
    return site


def endless(*replies: Reply) -> Iterator[Reply]:
    while True:
        yield from replies


def test_a_proof_takes_several_good_answers_of_each_service_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    site = public(monkeypatch, endless(GOOD))
    prove(Client(), PROXY, "green", NEW, ["backend", "frontend"])
    assert site.asked == ["/health", "/"] * PROOF_PASSES
    assert site.now == 1000.0, "nobody waits between good answers"


def test_one_answer_of_another_release_begins_the_row_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    site = public(monkeypatch, [GOOD, GOOD, OF_THE_OLD, GOOD, GOOD, GOOD])
    prove(Client(), PROXY, "green", NEW, ["backend"])
    assert len(site.asked) == 6


def test_a_service_that_is_not_asked_for_proves_nothing_and_needs_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    site = public(monkeypatch, endless(GOOD))
    prove(Client(), PROXY, "green", NEW, ["backend"])
    assert set(site.asked) == {"/health"}


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([OF_NGINX], "/health answers with 502"),
        ([NOTHING], "/health answers with nothing"),
        ([FROM_THE_WRONG_SLOT], f"/health is answered by release {NEW} in slot blue"),
        ([GOOD, GOOD, OF_NGINX], "/health answers with 502"),  # never enough in a row
    ],
)
def test_a_release_that_does_not_prove_itself_in_time_is_told_with_what_came_instead(
    monkeypatch: pytest.MonkeyPatch, answers: list[Reply], why: str
) -> None:
    site = public(monkeypatch, endless(*answers))
    with pytest.raises(PlatformError) as failed:
        prove(Client(), PROXY, "green", NEW, ["backend"])
    assert str(failed.value) == f"Through the proxy release {NEW} does not answer: {why}."
    assert PROOF_SECONDS < site.now - 1000.0 < PROOF_SECONDS + 1


def test_a_site_that_answers_well_but_slowly_is_given_the_time_for_its_last_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = public(monkeypatch, endless(GOOD), seconds=PROOF_SECONDS - 1)
    prove(Client(), PROXY, "green", NEW, ["backend"])
    assert len(site.asked) == PROOF_PASSES


def test_a_user_is_imitated_over_tls_by_the_public_name_on_the_proxy_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Question] = []
    monkeypatch.setattr(release_proxy, "ask_from", lambda _, question: (asked.append(question), GOOD)[1])
    assert ask(Client(), PROXY, "/health") == Answer(200, "green", NEW)
    assert asked == [Question("127.0.0.1", 443, "/health", host="erni-gruppe.ch", tls=True, timeout=6.0)]


@pytest.mark.parametrize(
    ("reply", "reached", "why"),
    [
        (Reply(200), True, ""),
        (Reply(500), False, "/readiness answers with 500"),
        (Reply(302), False, "/readiness answers with 302"),
        (NOTHING, False, NOTHING.why),
    ],
)
def test_a_candidate_is_asked_at_its_own_address_past_the_one_that_serves(
    monkeypatch: pytest.MonkeyPatch, reply: Reply, reached: bool, why: str
) -> None:
    asked: list[Question] = []
    monkeypatch.setattr(release_proxy, "ask_from", lambda _, question: (asked.append(question), reply)[1])
    assert reachable(Client(), PROXY, "172.30.10.30", Upstream(8000, "/readiness")) == (reached, why)
    assert asked == [Question("172.30.10.30", 8000, "/readiness")]


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
