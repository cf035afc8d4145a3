"""What must be true of the stores behind the application, and of the ports of a host."""

from __future__ import annotations

import socket
from typing import Any

from .findings import Finding
from .host_facts import HostFacts

REDIS_TIMEOUT = 5


def redis_refusals(socket_path: str, application_password: str) -> list[Finding]:
    """An unauthenticated client is refused, and the application's user may not do what is dangerous."""
    found = []
    answer = _redis(socket_path, ["PING"])
    if not answer.startswith("-NOAUTH"):
        found.append(Finding("Redis answers a client that gave no password", f"it said '{answer}'", "Run make up."))
    answer = _redis(socket_path, ["AUTH", application_password], ["CONFIG", "GET", "maxmemory"])
    if not answer.startswith("-NOPERM"):
        shown = answer.replace(application_password, "(secret)")
        found.append(Finding("The application's Redis user may run CONFIG", f"it said '{shown}'", "Run make up."))
    return found


def _redis(socket_path: str, *commands: list[str]) -> str:
    """The first line of the answer to the last command in Redis' protocol (RESP2), as no client would show it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(REDIS_TIMEOUT)
        try:
            connection.connect(socket_path)
            reader = connection.makefile("rb")
            line = b""
            for command in commands:
                words = b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in command)
                connection.sendall(b"*%d\r\n%s" % (len(command), words))
                line = reader.readline()
            return line.decode(errors="replace").strip()
        except OSError as error:
            return f"no answer ({error})"


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
