"""The order of a recovery from nothing, and how long each step took.

The release comes before the data: a database belongs to the release that wrote it, and another one may not know its
schema.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from . import ROOT
from .environment import Environment
from .options import Options
from .steps import Step


@dataclass(frozen=True)
class Found:
    """What the first step tells the others: the set, and what RELEASE has to be ('' for the inventory's)."""

    done: bool
    set: str
    release: str


def steps(environment: Environment, wanted: Options) -> Iterator[Step]:
    """Each is run to its end before the next is asked for; one that fails is the last."""
    path = ROOT / ".run" / f"recovery-{environment.name}.json"
    path.unlink(missing_ok=True)
    times: list[dict[str, Any]] = []

    def timed(name: str, step: Step) -> Iterator[Step]:
        began = time.monotonic()
        yield step
        times.append({"name": name, "seconds": round(time.monotonic() - began, 1)})

    path.parent.mkdir(parents=True, exist_ok=True)
    yield from timed("the set is here, and whole", Step("recover", wanted, {"erni_recovery_file": str(path)}))
    if wanted.check:  # what follows cannot be told of hosts that are bare
        return
    found = Found(**json.loads(path.read_text(encoding="utf-8")))
    if found.done:
        return
    recovering = {"erni_recovering": True}
    plain = replace(wanted, set=None, source_environment=None)
    yield from timed("the platform serves, empty", Step("up", plain, recovering))
    if found.release:
        reason = wanted.reason or f"recovery from set {found.set}"
        deploy = replace(plain, release=found.release, reason=reason)
        yield from timed("the set's release serves", Step("deploy", deploy, {"release_backup": False} | recovering))
    restore = replace(wanted, set=found.set)
    yield from timed("its data serve, compared and verified", Step("restore", restore, recovering))
    yield Step("shared/recovered", wanted, {"erni_recovery_steps": json.dumps(times)})
