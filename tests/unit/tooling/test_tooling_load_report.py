"""What a load reports: honest figures from what was counted, and the database's word on every POST."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from dataclasses import replace

import pytest
from load_http import RequestFailedError, Response, ResponseReader
from load_orders import Orders, assets_of
from load_posts import BATCH, posts_applied_exactly_once
from load_report import Failure, Latency, Mark, Recorder, Report, latency
from load_settings import MIXTURE, Settings

BEGIN = 500.0  # of the monotonic clock
SETTINGS = Settings(8443, "ca.crt")


def recorded(*steps: Callable[[Recorder], None], ended: float = 10.0) -> Report:
    """A load of ten seconds in which this happened."""
    recorder = Recorder(BEGIN)
    for step in steps:
        step(recorder)
    return recorder.report(BEGIN + ended, 1_900_000_000.0, 2.5)


def success(at: float, kind: str = "health", due: float | None = None) -> Callable[[Recorder], None]:
    return lambda recorder: recorder.succeeded(kind, BEGIN + (at if due is None else due), BEGIN + at)


def failure(at: float, kind: str = "health", error: str = "status 502") -> Callable[[Recorder], None]:
    return lambda recorder: recorder.failed(Failure(BEGIN + at, 0.1, kind, error))


# Figures


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([3.0], Latency(1, 3.0, 3.0, 3.0, 3.0)),
        ([2.0, 1.0], Latency(2, 1.0, 2.0, 2.0, 2.0)),
        ([float(n) for n in range(100, 0, -1)], Latency(100, 50.0, 95.0, 99.0, 100.0)),
        ([float(n) for n in range(1000)], Latency(1000, 499.0, 949.0, 989.0, 999.0)),
    ],
)
def test_a_latency_is_one_that_was_measured(seconds: list[float], expected: Latency) -> None:
    assert latency(seconds) == expected


def test_latencies_count_from_when_a_request_was_due() -> None:
    report = recorded(success(3.5, due=3.0), success(4.0, "page", due=3.75))
    assert report.latencies["health"] == Latency(1, 0.5, 0.5, 0.5, 0.5)
    assert report.latencies["page"].longest == 0.25


@pytest.mark.parametrize(
    ("successes", "silence"),
    [
        ([], 10.0),
        ([4.0], 6.0),
        ([7.0], 7.0),
        ([2.0, 3.0, 8.0, 9.0], 5.0),
        ([2.5, 5.0, 7.5], 2.5),
    ],
)
def test_the_longest_silence_includes_the_ends_of_the_load(successes: list[float], silence: float) -> None:
    assert recorded(*(success(at) for at in successes)).longest_silence == silence


@pytest.mark.parametrize("kind", ["stream", "slow"])
def test_an_answer_that_began_before_an_outage_does_not_hide_it(kind: str) -> None:
    assert recorded(success(1.0), success(5.0, kind), success(9.0)).longest_silence == 8.0


def test_the_seconds_with_failures_are_those_in_which_the_requests_were_due() -> None:
    report = recorded(failure(0.0), failure(2.1), failure(2.9), failure(7.999))
    assert (report.seconds_with_failures, len(report.failures)) == (3, 4)
    assert recorded().seconds_with_failures == 0


def test_failures_stand_in_the_order_of_time_and_count_from_the_beginning() -> None:
    report = recorded(failure(7.0, "post"), failure(2.0))
    assert [(told.at, told.kind) for told in report.failures] == [(2.0, "health"), (7.0, "post")]


def test_failures_are_summed_up_by_kind_and_error_the_most_frequent_first() -> None:
    report = recorded(failure(1.0, "post", "reset"), failure(2.0), failure(3.0))
    assert list(report.failures_by_kind().items()) == [("health: status 502", 2), ("post: reset", 1)]


def test_the_rate_is_what_was_really_sent() -> None:
    def sending(recorder: Recorder) -> None:
        for _ in range(25):
            recorder.sent("health", BEGIN + 1, BEGIN + 1.25)
        recorder.sent("post", BEGIN + 2, BEGIN + 2, "an id")

    report = recorded(sending)
    assert (report.sent, report.total, report.rate) == ({"health": 25, "post": 1}, 26, 2.6)
    assert (report.posts_sent, report.posts_answered, report.latest_start) == (["an id"], [], 0.25)
    assert report.processor_share == 0.25
    assert recorded(ended=0.0).rate == 0.0


def whole_report() -> Report:
    def others(recorder: Recorder) -> None:
        recorder.sent("health", BEGIN, BEGIN)
        recorder.sent("slow", BEGIN, BEGIN)
        recorder.mark("deploy begins", BEGIN + 1.5)
        recorder.closed_while_idle()

    return recorded(others, success(0.25, due=0.0), failure(2.0, "connection", "reset while idle"))


def test_a_report_survives_being_written_and_read() -> None:
    report = whole_report()
    assert Report.from_json(report.as_json()) == report
    assert report.marks == [Mark(1.5, "deploy begins")]


def test_the_summary_tells_what_failed_beside_what_happened() -> None:
    text = whole_report().as_text()
    assert "2 requests in 10.0 s (0.2/s)\n1 failed, in 1 of the seconds\n" in text
    assert "     1 x connection: reset while idle" in text
    happened = text.splitlines()[-2:]
    assert happened[0].endswith("1.500 s  -- deploy begins")
    assert "connection: reset while idle" in happened[1]
    assert "no request" in happened[1]


def test_a_summary_of_very_many_failures_stays_short_and_says_so() -> None:
    text = recorded(*(failure(n / 100) for n in range(500))).as_text()
    assert len(text.splitlines()) < 40
    assert "500 x health: status 502" in text
    assert text.endswith("and 480 failures more")


# Settings and requests


def test_settings_survive_being_handed_to_another_process() -> None:
    settings = replace(SETTINGS, rate=50.0, idle_pause=(1.0, 2.0), mixture={"post": 1.0}, idle_connections=3)
    assert Settings.from_json(settings.as_json()) == settings
    assert Settings.from_json(settings.as_json(), rate=70.0).rate == 70.0


def test_idle_connections_are_part_of_the_rate_that_was_asked_for() -> None:
    settings = replace(SETTINGS, rate=300.0, idle_connections=110, idle_pause=(2.0, 20.0))
    assert settings.scheduled_rate == 290.0


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"mixture": {"telepathy": 1.0}}, "called telepathy"),
        ({"mixture": {"post": 0.0}}, "Nothing is left"),
        ({"rate": 1.0}, "Nothing is left"),
    ],
)
def test_settings_that_make_no_load_are_refused(others: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Settings.from_json(SETTINGS.as_json(), **others)


def test_the_mixture_has_every_kind_that_can_be_made() -> None:
    for kind in MIXTURE:
        orders = Orders(replace(SETTINGS, mixture={kind: 1.0}))
        orders.assets["/_next/static/a.js"] = 7
        assert orders.any().kind == kind


def test_a_post_carries_a_fresh_conversation_and_no_message_id_that_would_hide_a_repetition() -> None:
    orders = Orders(replace(SETTINGS, mixture={"post": 1.0}))
    first, second = orders.any(), orders.any()
    assert first.post != second.post
    head, _, body = first.request.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert first.post.encode() in body
    assert b"message_id" not in body


def test_an_idle_connection_sends_what_may_be_repeated_and_what_may_not() -> None:
    orders = Orders(SETTINGS)
    assert {orders.idle().request.partition(b" ")[0] for _ in range(100)} == {b"GET", b"POST"}


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (Response(200, b"has the proof inside", keep_alive=True), ""),
        (Response(204, b"proof", keep_alive=True), ""),
        (Response(200, b"", keep_alive=True), "the answer does not hold proof"),
        (Response(301, b"proof", keep_alive=True), "status 301"),
        (Response(429, b"proof", keep_alive=True), "status 429"),
        (Response(502, b"proof", keep_alive=True), "status 502"),
    ],
)
def test_an_answer_is_right_only_with_a_2xx_and_what_was_asked_for(response: Response, problem: str) -> None:
    order = replace(Orders(SETTINGS).page(), proof=b"proof")
    assert order.problem(response) == problem


def test_the_assets_of_a_page_are_found_wherever_they_are_named_and_once() -> None:
    page = (
        b'<link href="/_next/static/css/1.css"><script src="/_next/static/chunks/2-ab.js?v=1"></script>'
        b'<script>push("\\"/_next/static/chunks/2-ab.js\\",\\"/_next/static/media/f.woff2\\"")</script>'
        b'<img src="/_next/image?x"><a href="/static/3.js">'
    )
    assert assets_of(page) == [
        "/_next/static/chunks/2-ab.js",
        "/_next/static/css/1.css",
        "/_next/static/media/f.woff2",
    ]


# Answers, byte by byte

SIZED = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"
CLOSING = b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
UNSIZED = b"HTTP/1.1 200 OK\r\n\r\nhello"


@pytest.mark.parametrize(
    ("answer", "status", "keep_alive"), [(SIZED, 200, True), (CHUNKED, 200, True), (CLOSING, 502, False)]
)
@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_an_answer_is_whole_with_its_last_byte_however_it_arrives(
    answer: bytes, status: int, keep_alive: bool, step: int
) -> None:
    reader = ResponseReader()
    for start in range(0, len(answer), step):
        assert not reader.complete
        reader.feed(answer[start : start + step])
    assert reader.complete
    reader.closed()
    assert reader.response() == Response(status, b"hello", keep_alive)


@pytest.mark.parametrize("answer", [SIZED, CHUNKED, CLOSING])
def test_an_answer_that_ends_early_is_none_wherever_it_ends(answer: bytes) -> None:
    for length in range(len(answer)):
        reader = ResponseReader()
        reader.feed(answer[:length])
        with pytest.raises(RequestFailedError, match="cut short" if length else "closed without an answer"):
            reader.closed()


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    reader = ResponseReader()
    reader.feed(UNSIZED)
    assert not reader.complete
    reader.closed()
    assert reader.response() == Response(200, b"hello", keep_alive=False)


def test_an_answer_without_content_is_whole_with_its_head() -> None:
    reader = ResponseReader()
    reader.feed(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert reader.complete


@pytest.mark.parametrize(
    "answer",
    [
        b"220 mail\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n",
        SIZED + b"!",
    ],
)
def test_what_is_no_http_is_told(answer: bytes) -> None:
    with pytest.raises(RequestFailedError, match="no HTTP"):
        ResponseReader().feed(answer)


# The database's word


class Database:
    """The table that answers are stored in, as far as it matters here."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:")
        self._connection.execute("CREATE TABLE messages (conversation_id text, role text)")
        self.queries = 0

    def store(self, conversation: str, questions: int = 1, answers: int = 1) -> None:
        rows = [(conversation, "user")] * questions + [(conversation, "assistant")] * answers
        self._connection.executemany("INSERT INTO messages VALUES (?, ?)", rows)

    def query(self, statement: str) -> str:
        self.queries += 1
        return "\n".join("|".join(map(str, row)) for row in self._connection.execute(statement))


def fresh(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


def test_posts_that_each_left_a_question_and_an_answer_are_in_order() -> None:
    database, ids = Database(), fresh(2 * BATCH + 1)
    for post in [*ids, *fresh(5)]:
        database.store(post)
    assert posts_applied_exactly_once(ids, database.query) == []
    assert database.queries == 3


@pytest.mark.parametrize(
    ("questions", "answers", "told"),
    [
        (0, 0, "0 questions and 0 answers"),
        (2, 2, "2 questions and 2 answers"),
        (1, 0, "1 question and 0 answers"),
        (1, 2, "1 question and 2 answers"),
    ],
)
def test_a_post_that_was_lost_or_repeated_or_half_applied_is_named(questions: int, answers: int, told: str) -> None:
    database, (good, bad) = Database(), fresh(2)
    database.store(good)
    database.store(bad, questions, answers)
    assert posts_applied_exactly_once([good, bad], database.query) == [f"{bad}: {told} instead of one each"]


def test_no_posts_ask_no_database() -> None:
    database = Database()
    assert posts_applied_exactly_once([], database.query) == []
    assert database.queries == 0


def test_nothing_but_ids_reaches_the_database() -> None:
    with pytest.raises(ValueError, match="badly formed"):
        posts_applied_exactly_once(["'); DROP TABLE messages; --"], Database().query)
