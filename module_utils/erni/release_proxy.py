"""Ask from within the proxy's network: is a candidate reachable, and who answers what users ask?"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from .errors import PlatformError
from .network_http import Question, Reply, ask_from

PROOF_PASSES = 3
PROOF_SECONDS = 15.0
POLL_SECONDS = 0.2
HTTPS_PORT = 443  # in the container


@dataclass(frozen=True)
class Upstream:
    """Where a service answers: ``path`` with 200, on ``port`` of its container."""

    port: int
    path: str


@dataclass(frozen=True)
class Proxy:
    """``paths`` maps each service to a path of the public site that it answers, ``slots`` each address behind the
    proxy to its slot."""

    container: str
    hostname: str
    paths: dict[str, str]
    slots: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What came back through the proxy: the status, and the slot and the release that nginx says answered."""

    status: int
    slot: str
    release: str


def reachable(client: Any, proxy: Proxy, address: str, upstream: Upstream) -> tuple[bool, str]:
    """Whether nginx can get the upstream's answer from that very address; and if not, why."""
    objection = _ask(client, proxy, Question(address, upstream.port, upstream.path)).objection(upstream.path)
    return not objection, objection


def ask(client: Any, proxy: Proxy, path: str) -> Answer:
    """One request as a user makes it: over TLS, to the public name. Who issued the certificate is verify's question."""
    reply = _ask(client, proxy, Question("127.0.0.1", HTTPS_PORT, path, host=proxy.hostname, tls=True, timeout=6.0))
    return Answer(reply.status, reply.headers.get("x-erni-slot", ""), reply.headers.get("x-erni-release", ""))


def _ask(client: Any, proxy: Proxy, question: Question) -> Reply:
    return ask_from(int(client.inspect_container(proxy.container)["State"]["Pid"]), question)


def disagreement(path: str, answer: Answer, slot: str, release: str) -> str:
    """Why an answer does not prove that the release serves from the slot, or ''."""
    if answer.status != 200:
        return f"{path} answers with {answer.status or 'nothing'}"
    if (answer.slot, answer.release) != (slot, release):
        return f"{path} is answered by release {answer.release or '(none)'} in slot {answer.slot or '(none)'}"
    return ""


def shown(services: Iterable[str], *, maintenance: bool) -> list[str]:
    """Those whose answers users get: during maintenance they see no page."""
    return [service for service in services if service == "backend" or not maintenance]


def prove(client: Any, proxy: Proxy, slot: str, release: str, services: Collection[str]) -> None:
    """Several answers in a row, of each service, come from the release in the slot.

    :raises PlatformError: when that is not so in time.
    """
    deadline = time.monotonic() + PROOF_SECONDS
    paths = [path for service, path in proxy.paths.items() if service in services]
    passes = 0
    while True:
        objections = [disagreement(path, ask(client, proxy, path), slot, release) for path in paths]
        why = next((objection for objection in objections if objection), "")
        passes = 0 if why else passes + 1
        if passes >= PROOF_PASSES:
            return
        if why and time.monotonic() > deadline:
            raise PlatformError(f"Through the proxy release {release} does not answer", why)
        if why:
            time.sleep(POLL_SECONDS)
