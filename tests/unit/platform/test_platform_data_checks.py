"""What the stores must refuse, asked over a real socket; and the ports that nobody asked for."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from ansible.module_utils.erni import data_checks
from ansible.module_utils.erni.data_checks import open_ports, redis_refusals, stored_messages
from ansible.module_utils.erni.host_facts import HostFacts

PASSWORD = "Grüezi, \r\n$7 correct horse"  # longer in bytes than in letters, and full of what the protocol uses
OPEN = "Redis answers a client that gave no password"
DANGEROUS = "The application's Redis user may run CONFIG"

HANG_UP = "hang up"  # in place of an answer

Answering = Callable[["Redis", list[str]], str]


@dataclass
class Redis:
    """One connection's view of a server: who has authenticated, and what was asked."""

    needs_password: bool = True
    config_allowed: bool = False
    authenticated: bool = False
    asked: list[list[str]] = field(default_factory=list)

    def answer(self, words: list[str]) -> str:
        """In the words of Redis 7."""
        if words == ["AUTH", PASSWORD]:
            self.authenticated = True
            return "+OK"
        if words[0] == "AUTH":
            return "-WRONGPASS invalid username-password pair or user is disabled."
        if self.needs_password and not self.authenticated:
            return "-NOAUTH Authentication required."
        if words[0] == "CONFIG" and not self.config_allowed:
            return "-NOPERM User default has no permissions to run the 'config|get' command"
        return "*2\r\n$9\r\nmaxmemory\r\n$1\r\n0" if words[0] == "CONFIG" else "+PONG"


def read_command(stream: BinaryIO) -> list[str] | None:
    """An array of bulk strings (RESP2); None at the end."""
    header = stream.readline()
    if not header:
        return None
    assert header[:1] == b"*"
    words = []
    for _ in range(int(header[1:])):
        length = stream.readline()
        assert length[:1] == b"$"
        words.append(stream.read(int(length[1:])).decode())
        assert stream.read(2) == b"\r\n", "the length is counted in bytes"
    return words


@contextmanager
def serving(path: Path, answer: Answering, **settings: Any) -> Iterator[list[Redis]]:
    """A server on a Unix socket; yields what each connection saw."""
    seen: list[Redis] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            seen.append(Redis(**settings))
            with connection, connection.makefile("rb") as stream:
                while (words := read_command(stream)) is not None:
                    seen[-1].asked.append(words)
                    if (told := answer(seen[-1], words)) == HANG_UP:
                        break
                    connection.sendall(told.encode() + b"\r\n" if told else b"")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "redis.sock"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, []),
        ({"needs_password": False}, [(OPEN, "it said '+PONG'")]),
        ({"config_allowed": True}, [(DANGEROUS, "it said '*2'")]),
        (
            {"needs_password": False, "config_allowed": True},
            [(OPEN, "it said '+PONG'"), (DANGEROUS, "it said '*2'")],
        ),
    ],
)
def test_each_thing_that_redis_should_refuse_and_does_not_is_a_finding(
    path: Path, settings: dict[str, bool], expected: list[tuple[str, str]]
) -> None:
    with serving(path, Redis.answer, **settings):
        found = redis_refusals(str(path), PASSWORD)
    assert [(finding.what, finding.why) for finding in found] == expected


def test_the_client_without_a_password_is_another_than_the_one_with_it(path: Path) -> None:
    with serving(path, Redis.answer) as seen:
        redis_refusals(str(path), PASSWORD)
    assert [connection.asked for connection in seen] == [
        [["PING"]],
        [["AUTH", PASSWORD], ["CONFIG", "GET", "maxmemory"]],
    ]


@pytest.mark.parametrize("refusal", ["-ERR unknown command, with args beginning with: '{}'", "+{}", "-{} and {}"])
def test_the_password_stands_in_no_finding_although_the_server_repeats_it(path: Path, refusal: str) -> None:
    password = "correct-horse"
    with serving(path, lambda redis, _: refusal.replace("{}", redis.asked[0][-1])):
        found = redis_refusals(str(path), password)
    assert len(found) == 2
    assert password not in "".join(f"{finding.what} {finding.why} {finding.remedy}" for finding in found)


def test_a_refusal_for_another_reason_does_not_count_as_one(path: Path) -> None:
    with serving(path, lambda _, __: "-ERR max number of clients reached"):
        found = redis_refusals(str(path), PASSWORD)
    assert [finding.why for finding in found] == ["it said '-ERR max number of clients reached'"] * 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("", ["no answer (timed out)", "no answer (timed out)"]),
        (HANG_UP, ["", "no answer ([Errno 32] Broken pipe)"]),
    ],
)
def test_a_server_that_does_not_answer_is_a_finding_and_holds_nothing_up(
    path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, said: list[str]
) -> None:
    monkeypatch.setattr(data_checks, "REDIS_TIMEOUT", 0.1)
    started = time.monotonic()
    with serving(path, lambda _, __: answer):
        found = redis_refusals(str(path), PASSWORD)
    assert [finding.why for finding in found] == [f"it said '{words}'" for words in said]
    assert time.monotonic() - started < 4


def test_a_redis_that_is_not_there_is_a_finding_and_no_crash(path: Path) -> None:
    found = redis_refusals(str(path), PASSWORD)
    assert len(found) == 2
    assert all("no answer ([Errno 2] No such file or directory)" in finding.why for finding in found)


def test_a_redis_that_is_not_there_is_not_said_to_answer(path: Path) -> None:
    assert {finding.what for finding in redis_refusals(str(path), PASSWORD)}.isdisjoint({OPEN, DANGEROUS})


def test_a_password_that_redis_refuses_is_told_as_that(path: Path) -> None:
    with serving(path, Redis.answer):
        (finding,) = redis_refusals(str(path), "an old password")
    assert "WRONGPASS" in finding.why
    assert finding.what != DANGEROUS


@pytest.mark.parametrize(
    ("published", "allowed", "expected"),
    [
        ({}, [], []),
        ({443: ("erni-nginx", "erni")}, [443], []),
        ({5432: ("erni-postgres", "erni")}, [443], [(5432, "erni-postgres")]),
        ({5432: ("erni-postgres", "erni")}, [], [(5432, "erni-postgres")]),
        ({5432: ("other-postgres", "other")}, [443], []),
        ({5432: ("somebodys", "")}, [443], []),
        (
            {6379: ("erni-redis", "erni"), 443: ("erni-nginx", "erni"), 80: ("erni-nginx", "erni")},
            [443],
            [(80, "erni-nginx"), (6379, "erni-redis")],
        ),
    ],
)
def test_only_ports_of_the_platforms_own_containers_that_nobody_asked_for_are_told(
    published: dict[int, tuple[str, str]], allowed: list[int], expected: list[tuple[int, str]]
) -> None:
    facts = HostFacts("Debian", "debian", "12", 4096, 2, 20.0, time_synchronised=True, published=published)
    told = [(finding.what, finding.why) for finding in open_ports(facts, "erni", allowed)]
    assert told == [
        (f"Port {port} is open on this host", f"container {container} publishes it") for port, container in expected
    ]


class Database:
    """A connection whose only cursor counts rows, and remembers how it was asked."""

    def __init__(self, count: Any) -> None:
        self.count = count
        self.executed: list[tuple[Any, ...]] = []

    @contextmanager
    def cursor(self) -> Iterator[Database]:
        yield self

    def execute(self, *statement: Any) -> None:
        self.executed.append(statement)

    def fetchone(self) -> tuple[Any]:
        return (self.count,)


@pytest.mark.parametrize("count", [0, 3])
def test_messages_are_counted_with_the_identifier_as_a_parameter_never_as_text(count: int) -> None:
    database, query = Database(count), "SELECT count(*) FROM messages WHERE conversation = %s"
    assert stored_messages(database, query, "c1'; --") == count
    assert database.executed == [(query, ("c1'; --",))]
