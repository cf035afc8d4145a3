"""What is known about the copies at the target without asking it: a file beside the sets."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from .files import File, write_atomically

NAME = ".offsite.json"


@dataclass(frozen=True)
class Memory:
    """``where`` the target is, ``read``: when each set was last read back and found whole, ``complete``: when all sets
    that should be there last were (seconds since the epoch; 0 for never), ``sets``: how many were there then."""

    where: str
    read: Mapping[str, float] = field(default_factory=dict)
    complete: float = 0.0
    sets: int = 0


def recall(folder: str, where: str) -> Memory:
    """Of another target, or of a file that cannot be read, nothing is known: all is read again."""
    try:
        with open(os.path.join(folder, NAME), encoding="utf-8") as file:
            found = Memory(**json.load(file))
    except (OSError, ValueError, TypeError):
        return Memory(where)
    return found if found.where == where else Memory(where)


def remember(folder: str, memory: Memory) -> None:
    content = json.dumps(asdict(memory), indent=2, sort_keys=True) + "\n"
    write_atomically(File(os.path.join(folder, NAME), content, 0o600))
