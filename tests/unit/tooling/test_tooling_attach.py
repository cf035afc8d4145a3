from __future__ import annotations

from typing import Any

import pytest

from erni_cli.attach import CLIENTS, follow_logs, is_interactive, reach, run_client
from erni_cli.errors import PlatformError
from erni_cli.options import Options

LOCAL: dict[str, Any] = {
    "platform": "erni",
    "docker": "docker",
    "connection": "local",
    "host": "here",
    "user": "",
    "port": "",
    "key": "",
    "ssh_arguments": " ",
    "become": False,
    "command": ["psql", "-U", "a b"],
}
REMOTE = LOCAL | {"connection": "ssh", "host": "10.0.0.5", "user": "ops", "port": 2222, "key": "/k", "become": True}


@pytest.mark.parametrize(
    ("verb", "options", "expected"),
    [
        ("psql", Options(), True),
        ("psql", Options(query="select 1"), False),
        ("redis-cli", Options(), True),
        ("logs", Options(), False),
        ("logs", Options(follow=True), True),
        ("status", Options(follow=True), False),
    ],
)
def test_some_verbs_talk_to_the_terminal(verb: str, options: Options, expected: bool) -> None:
    assert is_interactive(verb, options) is expected


def test_a_client_runs_in_its_container() -> None:
    assert run_client(LOCAL, CLIENTS["psql"], terminal=True) == [
        *("docker", "exec", "-it", "erni-postgres", "psql", "-U", "a b"),
    ]
    assert run_client(LOCAL, CLIENTS["redis-cli"], terminal=False)[2:4] == ["-i", "erni-redis"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Options(), ["docker", "logs", "--follow", "--tail", "100", "erni-nginx"]),
        (Options(tail=0), ["docker", "logs", "--follow", "--tail", "0", "erni-nginx"]),
        (
            Options(grep="a'; rm -rf /"),
            [
                *("/bin/sh", "-c"),
                "docker logs --follow --tail 100 erni-nginx 2>&1 | grep --line-buffered -E -e 'a'\"'\"'; rm -rf /'",
            ],
        ),
    ],
)
def test_logs_are_followed(options: Options, expected: list[str]) -> None:
    assert follow_logs(LOCAL, "nginx", options) == expected


@pytest.mark.parametrize(
    ("target", "terminal", "expected"),
    [
        (LOCAL, True, ["docker", "ps", "a b"]),
        (LOCAL | {"become": True}, True, ["sudo", "docker", "ps", "a b"]),
        (REMOTE, True, ["ssh", "-t", "-p", "2222", "-i", "/k", "ops@10.0.0.5", "--", "sudo docker ps 'a b'"]),
        (
            LOCAL | {"connection": "ssh", "ssh_arguments": "-J 'jump host' "},
            False,
            ["ssh", "-J", "jump host", "here", "--", "docker ps 'a b'"],
        ),
    ],
)
def test_a_command_reaches_its_host(target: dict[str, Any], terminal: bool, expected: list[str]) -> None:
    assert reach(target, ["docker", "ps", "a b"], terminal) == expected


def test_a_connection_without_a_terminal_is_told() -> None:
    with pytest.raises(PlatformError, match="over the connection 'podman'"):
        reach(LOCAL | {"connection": "podman"}, [], terminal=True)
