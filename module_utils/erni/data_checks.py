"""What must be true of the stores behind the application, and of the ports of a host."""

from __future__ import annotations

import socket
from typing import Any

from .findings import Finding
from .host_facts import HostFacts

REDIS_TIMEOUT = 5
NO_ANSWER = "Redis does not answer as it should"
REMEDY = "Run make up; make logs SERVICE=redis shows what Redis says."


def redis_refusals(socket_path: str, application_password: str) -> list[Finding]:
    """An unauthenticated client is refused, and the application's user may not do what is dangerous."""
    found = []
    (stranger,) = _redis(socket_path, ["PING"])
    if not stranger.startswith("-NOAUTH"):
        answers = stranger.startswith("+PONG")
        what = "Redis answers a client that gave no password" if answers else NO_ANSWER
        found.append(Finding(what, f"it said '{stranger}'", REMEDY))
    commands = (["AUTH", application_password], ["CONFIG", "GET", "maxmemory"])
    login, config = (_hidden(answer, application_password) for answer in _redis(socket_path, *commands))
    if login.startswith("-"):
        found.append(Finding("Redis refuses the application's password", f"it said '{login}'", REMEDY))
    elif not config.startswith("-NOPERM"):
        answers = config.startswith(("*", "+", "$", "-"))
        what = "The application's Redis user may run CONFIG" if answers else NO_ANSWER
        found.append(Finding(what, f"it said '{config}'", REMEDY))
    return found


def redis_login(socket_path: str, password: str) -> str:
    """What Redis says to the application's user with that password: ``+OK``, or a sentence of its own."""
    (answer,) = _redis(socket_path, ["AUTH", password])
    return _hidden(answer, password)


def _hidden(text: str, password: str) -> str:
    return text.replace(password, "(secret)") if password else text


def _redis(socket_path: str, *commands: list[str]) -> list[str]:
    """The first line of each command's answer in Redis' protocol (RESP2), as no client would show it."""
    answers = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(REDIS_TIMEOUT)
        try:
            connection.connect(socket_path)
            reader = connection.makefile("rb")
            for command in commands:
                words = b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in command)
                connection.sendall(b"*%d\r\n%s" % (len(command), words))
                answers.append(reader.readline().decode(errors="replace").strip())
        except OSError as error:
            answers += [f"no answer ({error})"] * (len(commands) - len(answers))
    return answers


def open_ports(facts: HostFacts, platform: str, allowed: list[int]) -> list[Finding]:
    """Ports that the platform's own containers publish although nobody asked for it."""
    return [
        Finding(
            f"Port {port} is open on this host",
            f"container {container} publishes it",
            "Run make up, which brings the container back to what the inventory says.",
        )
        for port, (container, owner) in sorted(facts.published.items())
        if owner == platform and port not in allowed
    ]


def stored_messages(connected: Any, query: str, conversation: str) -> int:
    """How many rows the query, which has one parameter, finds for the conversation."""
    with connected.cursor() as cursor:
        cursor.execute(query, (conversation,))
        return int(cursor.fetchone()[0])
