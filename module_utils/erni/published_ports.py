"""Nobody is refused while an engine starts beside containers that have gone on running.

The engine makes its rules for published ports anew when it starts, and for some tenths of a second there are none:
whoever connects then is refused (libnetwork, drivers/bridge/bridge.go, configure). For as long as it starts, what would
be refused is dropped: TCP asks again after a second (RFC 6298, section 2), and existing connections are not concerned.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PUBLISHED = re.compile(r"^-A DOCKER .*-p tcp .*--dport (\d+) -j DNAT\b", re.MULTILINE)


def published(rules: str) -> list[int]:
    """TCP ports in the engine's chain of the table ``nat``, as ``iptables --list-rules`` writes it (iptables(8))."""
    return sorted({int(port) for port in _PUBLISHED.findall(rules)})


def rule(port: int) -> list[str]:
    """What comes to the host itself has met no rule of the engine's; its own loopback is nobody else's way."""
    return ["INPUT", "!", "--in-interface", "lo", "--protocol", "tcp", "--syn", "--dport", str(port), "--jump", "DROP"]


def iptables(*arguments: str) -> str:
    """What it says; '' where it refuses, as it does for what is not there, or does not exist."""
    try:
        run = subprocess.run(["iptables", "--wait", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return run.stdout if run.returncode == 0 else ""


@contextmanager
def nobody_refused(run: Callable[..., str] = iptables) -> Iterator[None]:
    """Around the start of an engine. What a killed run leaves is met by nobody once the engine's own rules are back."""
    ports = published(run("--table", "nat", "--list-rules", "DOCKER"))
    for port in ports:
        run("--insert", *rule(port))
    try:
        yield
    finally:
        for port in ports:
            run("--delete", *rule(port))
