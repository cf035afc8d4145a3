"""How the reference backend answers: by rule, from the release's own files, where the product asks a language model."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

TRIAGE = "Triage Agent"
LONGEST_WAIT_SECONDS = 10.0
BY_RULE = "This answer was chosen by rule; no language model was asked."

_WAIT = re.compile(r"\bwait (\d+(?:\.\d+)?)\b", re.IGNORECASE)
_JAILBREAK = ("ignore all previous", "ignore previous instructions", "system prompt", "developer mode")
_OFF_TOPIC = ("write a poem", "lottery numbers", "weather forecast", "football results")

REFUSALS = {
    "jailbreak": "I keep to my instructions and cannot help with that request.",
    "relevance": "I only answer questions about building with timber: projects, costs, appointments.",
}
GUARDRAILS = tuple(REFUSALS)


@dataclass(frozen=True)
class Agent:
    """One specialist: the words that lead to it and the file it answers from."""

    name: str
    description: str
    keywords: tuple[str, ...]
    source: str
    handoffs: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """One fact of a data file, and the words that ask for it."""

    keywords: tuple[str, ...]
    text: str


_Candidate = TypeVar("_Candidate", Agent, Entry)


@dataclass(frozen=True)
class Answer:
    """What is said, by whom, and whether a data file was consulted for it."""

    agent: str
    text: str
    used_tool: bool = False


@dataclass(frozen=True)
class Catalogue:
    """The release's read-only data: the agents and what they know."""

    agents: tuple[Agent, ...]
    sources: dict[str, tuple[Entry, ...]]


def load_catalogue(folder: Path) -> Catalogue:
    """Read the agents and every file that one of them answers from."""
    agents = tuple(
        Agent(item["name"], item["description"], tuple(item["keywords"]), item["source"], tuple(item["handoffs"]))
        for item in _read(folder / "agents.json")["agents"]
    )
    return Catalogue(agents, {agent.source: _entries(folder / f"{agent.source}.json") for agent in agents})


def answer(message: str, catalogue: Catalogue) -> Answer:
    """Choose the agent with the most matching keywords, and its entry that fits best."""
    agent = _best(message, catalogue.agents) or _triage(catalogue)
    entry = _best(message, catalogue.sources[agent.source])
    if entry is None:
        return Answer(agent.name, f"{BY_RULE} {agent.description}")
    return Answer(agent.name, f"{BY_RULE} {entry.text}", used_tool=True)


def refusal(guardrail: str) -> Answer:
    """What the user hears when a guardrail trips."""
    return Answer(TRIAGE, f"{BY_RULE} {REFUSALS[guardrail]}")


def guardrail_passes(guardrail: str, message: str) -> bool:
    """Judge a message by the guardrail's forbidden phrases."""
    phrases = _JAILBREAK if guardrail == "jailbreak" else _OFF_TOPIC
    lowered = message.lower()
    return not any(phrase in lowered for phrase in phrases)


def requested_wait(message: str) -> float:
    """Seconds that the message asks to wait ("wait 5"), capped: how tests get requests as slow as a model's."""
    found = _WAIT.search(message)
    return min(float(found[1]), LONGEST_WAIT_SECONDS) if found else 0.0


def chunks(text: str, count: int) -> list[str]:
    """Cut a text at word boundaries into at most `count` pieces that join to the same text."""
    words = re.findall(r"\S+\s*", text)
    size = max(1, -(-len(words) // count))
    return ["".join(words[start : start + size]) for start in range(0, len(words), size)]


def _triage(catalogue: Catalogue) -> Agent:
    return next(agent for agent in catalogue.agents if agent.name == TRIAGE)


def _best(message: str, candidates: tuple[_Candidate, ...]) -> _Candidate | None:
    words = set(re.findall(r"\w+", message.lower()))
    best = max(candidates, key=lambda candidate: len(words.intersection(candidate.keywords)))
    return best if words.intersection(best.keywords) else None


def _entries(path: Path) -> tuple[Entry, ...]:
    return tuple(Entry(tuple(item["keywords"]), item["text"]) for item in _read(path)["entries"])


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
