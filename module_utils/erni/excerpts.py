"""What may be shown of what another program said: its last lines, without secrets."""

from __future__ import annotations

from collections.abc import Iterable

from .planning import HIDDEN

LAST_LINES = 15
SHORTEST_SECRET = 4  # hiding shorter values would hide half of every sentence, and tell what they are


def hidden(text: str, hide: Iterable[str]) -> str:
    """The text with every value in ``hide`` blacked out, longest first: one may hold another."""
    values = {line.strip() for value in hide for line in (value, *value.splitlines())}
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= SHORTEST_SECRET:
            text = text.replace(value, HIDDEN)
    return text


def last_lines(text: str, count: int = LAST_LINES) -> str:
    """The last lines that say something."""
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-count:])


def one_line(text: str) -> str:
    """The text without line breaks and other control characters: a sentence, a subject, a name."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
