"""Watch a release after the switch, for a set time, by what the proxy says users get from it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .bake import BakeRules, Request, Sample, begun_since, described, reservation, sample, undecided, verdict
from .errors import PlatformError
from .proxy_log import read_requests

LOOK_SECONDS = 1.0


@dataclass
class Bake:
    """``slots`` tells the slot of each upstream's address; ``containers`` are those of the new release.

    :param seconds: how long it lasts; the release before it is judged by as long a time before the switch. One that
        begins slowly is watched until it is known if it stays so, or has been warm for as long as it had to become so.
    """

    client: Any
    proxy: str
    slots: Mapping[str, str]
    containers: list[str]
    seconds: float
    rules: BakeRules
    seen: list[Request] = field(default_factory=list)

    def run(self, old_slot: str, new_slot: str) -> list[str]:
        """:returns: sentences about what the judgement rests on.
        :raises PlatformError: as soon as it is clear that the release is not to stay."""
        switched = time.time()
        restarts = self._restarts()
        old = sample(read_requests(self.client, self.proxy, switched - self.seconds, self.slots), old_slot, self.rules)
        while True:
            passed = time.time() - switched
            self._read(switched)
            new = sample(self.seen, new_slot, self.rules)
            warm = sample(begun_since(self.seen, switched + self.rules.warm_up), new_slot, self.rules)
            why = self._trouble() or verdict(old, new, warm, self.rules, self._restarts() - restarts)
            if why:
                raise PlatformError("The new release does not do well", f"{why} {_figures(old, new)}")
            longer = 2 * self.rules.warm_up if undecided(old, new, warm, self.rules) else 0.0
            if passed >= max(self.seconds, longer):
                return [part for part in (_figures(old, new), reservation(old, new, warm, self.rules)) if part]
            time.sleep(min(LOOK_SECONDS, self.seconds))

    def _read(self, switched: float) -> None:
        """Only what is new: the log of a busy minute is long."""
        last = self.seen[-1].time if self.seen else switched
        self.seen += [r for r in read_requests(self.client, self.proxy, last, self.slots) if r.time > last]

    def _restarts(self) -> int:
        return sum(int(self.client.inspect_container(name)["RestartCount"]) for name in self.containers)

    def _trouble(self) -> str:
        for name in self.containers:
            state = self.client.inspect_container(name)["State"]
            if not state["Running"]:
                return f"{name} does not run any more."
            if (state.get("Health") or {}).get("Status") == "unhealthy":
                return f"{name} has become unhealthy."
        return ""


def _figures(old: Sample, new: Sample) -> str:
    return f"Before the switch: {described(old)}; since: {described(new)}."
