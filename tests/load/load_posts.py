"""Was every POST applied exactly once? The database knows.

A POST carries a fresh conversation id and no message id: with one, the application would store a repetition once and
so hide that the proxy sent it twice. Without, each delivery leaves a question and an answer of its own in its
conversation.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence

# As many ids as fit an argument of a program (128 KiB on Linux) several times over: psql gets the statement as one.
BATCH = 1000


def posts_applied_exactly_once(ids: Iterable[str], query: Callable[[str], str]) -> list[str]:
    """A sentence for each conversation that does not hold one question and one answer; [] is what one wants to see.

    :param query: runs SQL on the application's database and returns rows as lines with fields between ``|``
        (``psql --no-align --tuples-only``).
    """
    wanted = [str(uuid.UUID(post)) for post in ids]  # nothing but ids gets into the statement
    stored = {}
    for batch in _batches(wanted):
        for row in query(_statement(batch)).splitlines():
            conversation, questions, answers = row.split("|")
            stored[conversation] = (int(questions), int(answers))
    counts = ((post, stored.get(post, (0, 0))) for post in wanted)
    return [f"{post}: {_told(*count)} instead of one each" for post, count in counts if count != (1, 1)]


def _batches(wanted: Sequence[str]) -> Iterator[Sequence[str]]:
    return (wanted[start : start + BATCH] for start in range(0, len(wanted), BATCH))


def _statement(batch: Sequence[str]) -> str:
    conversations = ", ".join(f"'{post}'" for post in batch)
    counted = "count(*) FILTER (WHERE role = 'user'), count(*) FILTER (WHERE role = 'assistant')"
    chosen = f"WHERE conversation_id IN ({conversations}) GROUP BY conversation_id"
    return f"SELECT conversation_id, {counted} FROM messages {chosen}"  # noqa: S608 - nothing but UUIDs


def _told(questions: int, answers: int) -> str:
    return f"{questions} question{'s' * (questions != 1)} and {answers} answer{'s' * (answers != 1)}"
