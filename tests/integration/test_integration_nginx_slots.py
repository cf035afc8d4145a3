"""Which slot answers is decided at each request, told with each answer, and true."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
from nginx_lab import NUMBERS, PORTS, REFERENCE, ROOT, NginxLab, eventually, run_in

FORMER, NEW, NEWER = "0123456789ab", "ba9876543210", "cafecafecafe"
ANSWERED_BY = {"blue": ("blue", FORMER), "green": ("green", NEW)}
NOBODY = (None, None)
GUNICORN_KEEP_ALIVE_SECONDS = 2  # by default; others keep idle connections for longer


@pytest.fixture(scope="module", params=["nginx", "nginx_current"])
def started(
    request: pytest.FixtureRequest, image_of: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NginxLab]:
    """With the nginx that Debian ships, and with a current one."""
    with ExitStack() as leftovers:
        yield NginxLab(image_of, request.param, tmp_path_factory.mktemp("nginx-slots"), leftovers)


@pytest.fixture
def lab(started: NginxLab) -> NginxLab:
    """Blue serves, both slots run, users are let in."""
    started.all_run()
    started.live.set_maintenance(False)
    started.live.switch("blue")
    for slot, release in ANSWERED_BY.values():
        started.live.name_release(slot, release)
    return started


def marker() -> str:
    return f"proof-{secrets.token_hex(8)}"


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


@pytest.mark.parametrize("slot", ["blue", "green"])
@pytest.mark.parametrize(("path", "service"), [("/", "frontend"), ("/api/agents", "backend"), ("/docs", "backend")])
def test_the_live_slot_answers_for_both_services(lab: NginxLab, slot: str, path: str, service: str) -> None:
    lab.live.switch(slot)
    answer = lab.ask(path)
    told = answer.told()
    assert (answer.status, told["slot"], told["service"]) == (200, slot, service)
    assert answer.answered_by == ANSWERED_BY[slot]


def test_each_request_sees_the_switch_before_it_and_no_process_changes(lab: NginxLab) -> None:
    processes = lab.processes()
    for slot in ("green", "blue") * 20:
        lab.live.switch(slot)
        assert lab.ask("/api/agents").told()["slot"] == slot
    assert lab.processes() == processes


def test_a_release_gets_another_name_without_a_reload(lab: NginxLab) -> None:
    processes = lab.processes()
    lab.live.name_release("blue", NEWER)
    assert lab.ask("/api/agents").answered_by == ("blue", NEWER)
    lab.live.name_release("blue", "")
    assert lab.ask("/api/agents").answered_by == ("blue", None)
    assert lab.processes() == processes


def test_the_log_says_what_the_header_said_and_nothing_of_the_query(lab: NginxLab) -> None:
    mark = marker()
    answer = lab.ask("/api/agents?token=hidden", X_Correlation_ID=mark)
    entry = lab.log_entry(mark)
    assert (entry["slot"], entry["release"]) == answer.answered_by
    assert (entry["uri"], entry["upstream"]) == ("/api/agents", f"{lab.address(20)}:8000")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_other_slot_stands_in_for_a_dead_one_and_is_named(lab: NginxLab, method: str) -> None:
    lab.slots["backend", "blue"].kill()
    path, mark = f"/{secrets.token_hex(4)}", marker()
    answer = lab.ask(f"/api{path}", method, X_Correlation_ID=mark)
    entry = lab.log_entry(mark)
    assert (answer.status, answer.told()["slot"], answer.answered_by) == (200, "green", ANSWERED_BY["green"])
    assert answer.told()["seen"][f"{method} {path}"] == 1
    assert (entry["slot"], entry["release"]) == ANSWERED_BY["green"]
    assert entry["upstream"] == f"{lab.address(20)}:8000, {lab.address(30)}:8000"


def test_where_no_slot_answers_none_is_named(lab: NginxLab) -> None:
    for slot in ("blue", "green"):
        lab.slots["backend", slot].kill()
    mark = marker()
    answer = lab.ask("/api/agents", X_Correlation_ID=mark)
    entry = lab.log_entry(mark)
    assert answer.status in (502, 504), (
        "refused, or without an answer for three seconds: the kernel decides which comes first"
    )
    assert (answer.answered_by, entry["slot"], entry["release"]) == (NOBODY, "", "")


def test_a_post_that_was_sent_is_not_sent_to_the_other_slot(lab: NginxLab) -> None:
    before = {slot: lab.ask_slot("backend", slot)["seen"].get("POST /dies", 0) for slot in ("blue", "green")}
    answer = lab.ask("/api/dies", "POST")
    after = {slot: lab.ask_slot("backend", slot)["seen"].get("POST /dies", 0) for slot in ("blue", "green")}
    assert (answer.status, answer.answered_by) == (502, NOBODY)
    assert after == before | {"blue": before["blue"] + 1}


@pytest.mark.parametrize(
    "path",
    [
        "x%20y?q=1",
        "",
        "a%2Fb?x=%20",
        "a%3Fb%23c",
        "a%0Ab",
        "a%25b",
        "./b",
        "../api/c",
        "x//y",
        "%C3%A4",
        "p+q?r=s+t%2B",
    ],
)
def test_a_path_arrives_as_a_plain_proxy_pass_sends_it(lab: NginxLab, path: str) -> None:
    assert "proxy_pass http://backend_blue/;" in REFERENCE
    arrived = lab.ask(f"/api/{path}").told()["path"]
    assert arrived == lab.ask_plain(f"/api/{path}", 8081).told()["path"]
    assert arrived.startswith("/")
    assert not arrived.startswith("/api")


def test_a_blank_in_a_path_and_the_query_arrive_as_they_were_sent(lab: NginxLab) -> None:
    assert lab.ask("/api/x%20y?q=1").told()["path"] == "/x%20y?q=1"
    assert lab.ask("/x%20y?q=1").told()["path"] == "/x%20y?q=1"


@pytest.mark.parametrize(("path", "status"), [("/missing", 404), ("/broken", 500)])
def test_an_error_of_the_application_comes_through_as_it_is(lab: NginxLab, path: str, status: int) -> None:
    answer = lab.ask(f"/api{path}")
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    assert (answer.told()["path"], answer.answered_by) == (path, ANSWERED_BY["blue"])


@pytest.mark.parametrize(("service", "path"), [("backend", "/api/agents"), ("frontend", "/")])
def test_replicas_share_the_requests_and_no_address_at_which_nobody_is_asked(
    lab: NginxLab, service: str, path: str
) -> None:
    processes = lab.processes()
    first = {slot: f"{lab.address(NUMBERS[service, slot])}:{PORTS[service]}" for slot in ("blue", "green")}
    with lab.second_replica(service, "blue") as second:
        assert lab.asked(path, 6) == {first["blue"]}, "until nginx is told"
        lab.live.name_release("blue", FORMER, {service: [2]})
        assert lab.asked(path, 20) == {first["blue"], second}
        assert lab.ask(path).answered_by == ANSWERED_BY["blue"]
        lab.live.switch("green")
        assert lab.asked(path, 6) == {first["green"]}, "its release has one"
        lab.live.switch("blue")
        assert lab.asked(path, 20) == {first["blue"], second}
    lab.live.name_release("blue", NEWER)
    assert lab.asked(path, 6) == {first["blue"]}
    assert lab.processes() == processes


def test_the_other_slot_stands_in_for_replicas_that_are_all_dead(lab: NginxLab) -> None:
    lab.live.name_release("blue", FORMER, {"backend": [2]})  # and the second one does not run
    lab.slots["backend", "blue"].kill()
    assert lab.ask("/api/agents").answered_by == ANSWERED_BY["green"]


def test_a_page_of_the_former_release_still_finds_its_files(lab: NginxLab) -> None:
    lab.live.switch("green")
    mine, former = lab.ask("/_next/static/green.js"), lab.ask("/_next/static/blue.js?v=%201")
    assert (mine.status, mine.answered_by) == (200, ANSWERED_BY["green"])
    assert (former.status, former.answered_by) == (200, ANSWERED_BY["blue"])
    assert former.told()["path"] == "/_next/static/blue.js?v=%201"


def test_a_file_that_no_release_has_is_not_found(lab: NginxLab) -> None:
    answer = lab.ask("/_next/static/none.js")
    assert (answer.status, answer.told()["path"]) == (404, "/_next/static/none.js")


def test_a_file_is_not_found_soon_where_the_other_slot_does_not_run(lab: NginxLab) -> None:
    lab.slots["frontend", "green"].kill()
    begin = time.monotonic()
    answer = lab.ask("/_next/static/green.js")
    assert (answer.status, answer.answered_by) == (404, ANSWERED_BY["blue"])
    assert time.monotonic() - begin < 2.5


def test_a_missing_page_is_not_asked_of_the_other_slot(lab: NginxLab) -> None:
    answer = lab.ask("/missing")
    assert (answer.status, answer.answered_by) == (404, ANSWERED_BY["blue"])


def test_a_stream_arrives_as_it_is_made(lab: NginxLab) -> None:
    arrivals = lab.stream("/api/stream")
    assert len(arrivals) == 4
    assert arrivals[0] < 0.3
    assert arrivals[-1] - arrivals[0] > 0.8


@pytest.mark.parametrize("path", ["/nginx-health", "/metrics", "/api/metrics", "/api"])
def test_what_nginx_answers_itself_is_of_no_release(lab: NginxLab, path: str) -> None:
    assert lab.ask(path).answered_by == NOBODY


def test_the_live_slot_is_told_inside_the_container_and_nowhere_else(lab: NginxLab) -> None:
    for slot in ("green", "blue"):
        lab.live.switch(slot)
        assert run_in(lab.nginx, "curl", "-sf", "http://127.0.0.1/erni-slot").strip() == slot
    assert lab.ask_plain("/erni-slot").status == 404
    assert lab.ask("/erni-slot").told()["service"] == "frontend", "over HTTPS it is a page like any other"


def test_in_maintenance_a_page_says_so_in_each_language(lab: NginxLab) -> None:
    lab.live.set_maintenance(True)
    for path in ("/", "/logo.svg", "/_next/static/blue.js", "/docs"):
        answer = lab.ask(path)
        assert (answer.status, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
        assert (answer.headers["retry-after"], answer.answered_by) == ("60", NOBODY)
        assert '<p lang="de">Wir sind &#34;gleich&#34; zurück&#92;</p>' in answer.body
        assert '<p lang="en">It&#39;s &#36;5, &lt;b&gt;soon&lt;/b&gt;</p>' in answer.body
        assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(("path", "method"), [("/api/agents", "GET"), ("/api/chat", "POST"), ("/api", "GET")])
def test_in_maintenance_the_api_says_so_in_json(lab: NginxLab, path: str, method: str) -> None:
    lab.live.set_maintenance(True)
    answer = lab.ask(path, method)
    assert (answer.status, answer.headers["content-type"], answer.headers["retry-after"]) == (
        503,
        "application/json",
        "60",
    )
    assert json.loads(answer.body) == {"detail": 'Wir sind "gleich" zurück\\ It\'s $5, <b>soon</b>'}


def test_in_maintenance_what_watches_the_platform_goes_on(lab: NginxLab) -> None:
    lab.live.set_maintenance(True)
    assert lab.ask("/nginx-health").body == "ok\n"
    assert lab.ask("/health").answered_by == ANSWERED_BY["blue"]
    assert lab.ask("/readiness").told()["path"] == "/readiness"
    assert lab.ask_plain("/nginx-health").body == "ok\n"
    assert lab.ask_plain("/.well-known/acme-challenge/none").status == 404
    assert lab.ask_plain("/").status == 301


def test_a_503_of_the_application_is_not_taken_for_maintenance(lab: NginxLab) -> None:
    answer = lab.ask("/readiness")
    assert (answer.status, answer.told()["slot"]) == (503, "blue")
    assert "retry-after" not in answer.headers


def test_in_maintenance_invited_clients_and_the_platforms_own_proofs_pass(lab: NginxLab) -> None:
    lab.live.set_maintenance(True)
    assert lab.ask_from(("frontend", "blue"), "/api/agents") == 200
    assert lab.ask_from(("frontend", "green"), "/api/agents") == 503
    assert run_in(lab.nginx, "curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "https://127.0.0.1/") == "200"


def test_maintenance_begins_and_ends_with_the_next_request(lab: NginxLab) -> None:
    processes = lab.processes()
    for on in (True, False) * 5:
        lab.live.set_maintenance(on)
        assert (lab.ask("/").status, lab.ask("/api/agents").status) == ((503, 503) if on else (200, 200))
    assert lab.processes() == processes


def test_nginx_complains_of_nothing_that_is_missing(lab: NginxLab) -> None:
    lab.live.name_release("blue", "")
    begin = now()
    for path in ("/", "/api/agents", "/metrics", "/_next/static/none.js", "/nginx-health"):
        lab.ask(path)
    lab.ask_plain("/")
    lab.live.set_maintenance(True)
    lab.ask("/")
    assert lab.complaints(begin) == ""


def test_a_client_is_told_to_give_up_an_idle_connection_before_nginx_closes_it(lab: NginxLab) -> None:
    template = (ROOT / "roles" / "nginx" / "templates" / "nginx.conf.j2").read_text(encoding="utf-8")
    kept, promised = re.findall(r"keepalive_timeout (\d+)s (\d+)s;", template)[0]
    told = lab.ask("/api/agents", Connection="keep-alive").headers["keep-alive"]
    assert told == "timeout=60" == f"timeout={promised}"
    assert int(kept) > 60


def test_nginx_closes_an_idle_connection_before_any_application_does(lab: NginxLab) -> None:
    for _ in range(5):
        lab.ask("/api/agents")
    assert lab.ask_slot("backend", "blue")["connections"] > 1, "nginx keeps one for the next request"
    lab.live.switch("green")
    begin = time.monotonic()
    eventually("the question itself is all", lambda: lab.ask_slot("backend", "blue")["connections"] == 1)
    assert time.monotonic() - begin < GUNICORN_KEEP_ALIVE_SECONDS, "a POST can hit a connection that is just closing"
