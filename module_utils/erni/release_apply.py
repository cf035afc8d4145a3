"""Carry out a transition: a release begins to serve, and no request is lost, whatever happens on the way.

Until the switch nothing that serves is touched; a failure removes the candidate and leaves all else as it was. The
switch is one file operation in the proxy's live folder. A failure after it switches back. A revert is never reverted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import engine
from .errors import PlatformError
from .live_folder import LiveElsewhere, LiveFolder
from .release_candidates import (
    drain,
    give_weight,
    keep_logs,
    remove,
    rename_all,
    require_images,
    start_candidates,
    stop,
)
from .release_diary import Diary
from .release_plan import HEAL, NOTHING, REPLACE, RETURN, ReleasePlan
from .release_proxy import Proxy, Upstream, prove, reachable, shown
from .release_world import Instance, Renaming, World, canonical_names, displacements, observe_world, renamings
from .replicas import on_one_host, service_of
from .service_apply import Transition, observe_service
from .service_spec import ServiceSpec
from .slots import CANDIDATE_SHARES, DISPLACED_SUFFIX, address_in, in_slot

# Whatever can go wrong on the way. Where the engine is away (EngineAwayError) nothing is judged, and nothing undone.
FAILURES = (PlatformError, engine.docker_errors.DockerException, OSError)


@dataclass(frozen=True)
class Site:
    """The host that a transition happens on. ``root`` is the folder of the releases' records; ``proxy`` is None where
    it is on another host, which then switches and proves."""

    client: Any
    platform: str
    root: str
    live: LiveFolder | LiveElsewhere
    proxy: Proxy | None
    upstreams: Mapping[str, Upstream]

    def prove(self, slot: str, release: str, services: Iterable[str]) -> None:
        """:raises PlatformError: when users do not get the release."""
        if self.proxy is not None:
            seen = shown(services, maintenance=self.live.in_maintenance())
            prove(self.client, self.proxy, slot, release, seen)

    def folder(self, release: str) -> str:
        return os.path.join(self.root, release)


@dataclass(frozen=True)
class Rules:
    """``drain_seconds``: how long requests in flight may take before their container is told to end. ``warm_seconds``:
    how long the former release goes on running, ready to serve again; with 0 it is stopped at once. ``keep``: how many
    good releases stay on the host."""

    drain_seconds: float
    warm_seconds: float
    keep: int = 5


def nothing() -> None:
    return None


@dataclass(frozen=True)
class Moments:
    """What else happens at certain moments of a transition. ``before`` and ``bake`` may raise; the others must not."""

    before: Callable[[], None] = nothing
    switched: Callable[[], None] = nothing
    bake: Callable[[], None] = nothing
    done: Callable[[], None] = nothing
    failed: Callable[[], None] = nothing


@dataclass
class ReleaseTransition:
    """One transition to the release ``release`` with the services ``specs``, from ``world``, as ``plan`` says."""

    site: Site
    rules: Rules
    release: str
    specs: dict[str, ServiceSpec]
    world: World
    plan: ReleasePlan
    diary: Diary
    moments: Moments = field(default_factory=Moments)

    def run(self, *, until_gated: bool = False) -> None:
        """:param until_gated: leave the switch to the proxy's host, and what follows to a later recovery.
        :raises PlatformError: after what had to be undone has been undone; it says what serves."""
        if self.plan.mode == NOTHING:
            return
        remove(self.site.client, self.world.strangers())
        if self.plan.mode == HEAL:
            self._heal()
            return
        self.diary.note("begun", self.plan.mode)
        self._until_the_switch()
        if until_gated and self.plan.switches:
            return
        if self.plan.switches:
            self._switch_and_prove()
        self._settle()

    def _heal(self) -> None:
        """Containers of the release that serves are set right in place; each passes its gate or is undone."""
        for service, plan in self.plan.services.items():
            if plan.changed:
                spec, state = observe_service(self.site.client, self._spec(service, self.world.live))
                Transition(self.site.client, spec, state).run(plan)

    def _until_the_switch(self) -> None:
        try:
            require_images(self.site.client, self.specs.values())
            self.moments.before()
            self.diary.note("prepared", ",".join(i.name for i in self._occupants(self.plan.slot) if i.running))
            if self.plan.mode == REPLACE:
                self._displace()
            self._candidates_pass()
            self.site.live.name_release(self.plan.slot, self.release, on_one_host(self.specs))
        except engine.EngineAwayError:
            raise  # without it nothing can be undone; the journal is left open, and the next run does
        except FAILURES as error:
            raise self._abandoned(error) from error

    def _displace(self) -> None:
        """The occupants of the slot end gracefully and are set aside, to come back should the candidate fail."""
        self._end(self._occupants(self.plan.slot))
        rename_all(self.site.client, displacements(self._look(), self._canonical(), self.plan.slot))
        self.diary.note("displaced")

    def _candidates_pass(self) -> None:
        # Written before there is anything to be found: what carries this release in this slot is then a candidate.
        self.diary.note("candidate")
        specs = {service: self._spec(service, self.plan.slot) for service in self.specs}
        if self.plan.mode == REPLACE:
            specs = {service: replace(spec, cpu_shares=CANDIDATE_SHARES) for service, spec in specs.items()}
        started = start_candidates(self.site.client, specs)
        for transition in started.values():
            transition.pass_gate()
        if self.plan.switches and self.site.proxy is not None:
            self._reachable_from(self.site.proxy)
        self.diary.note("gated")

    def _reachable_from(self, proxy: Proxy) -> None:
        for service, spec in self.specs.items():
            address = address_in(spec, self.plan.slot)
            reached, why = reachable(self.site.client, proxy, address, self.site.upstreams[service_of(service)])
            if not reached:
                what = f"The candidate of {service} at {address} cannot be reached from {proxy.container}"
                raise PlatformError(what, why)

    def _switch_and_prove(self) -> None:
        try:
            self.diary.note("switching")
            self.site.live.switch(self.plan.slot)
            give_names(self.site, self._canonical())
            self.diary.note("switched")
            self.site.prove(self.plan.slot, self.release, self.specs)
            self.diary.note("proven")
            self.moments.switched()
            self.moments.bake()
            self.diary.note("baked")
        except engine.EngineAwayError:
            raise  # that says nothing of the release, which may well serve; the next run proves it
        except FAILURES as error:
            raise self._reverted(error) from error

    def end_idle(self) -> None:
        """The release in the slot that does not serve is stopped; going back to it then takes a start."""
        self._end(self._occupants(self.world.idle))

    def _settle(self) -> None:
        remove(self.site.client, self._look().displaced())
        if self.plan.switches and not self.rules.warm_seconds:
            self._end(self._occupants(self.world.live))  # which serves no more
            self.diary.note("drained")
        self.moments.done()
        self.diary.note("done")

    def _abandoned(self, error: Exception) -> PlatformError:
        """Nothing of the candidate stays but its last words; whoever was set aside for it comes back."""
        kept = self._withdraw()
        restore_displaced(self.site, self._look(), self._ran_before())
        failure = _sentence(error, f"Release {self.release} did not come up")
        self.diary.note("failed", failure.what)
        self.moments.failed()
        serves = ", ".join(sorted(self.world.releases_in(self.world.live)))
        still = f"Release {serves} serves as before; nothing else was touched." if serves else "No release serves."
        return PlatformError(failure.what, failure.why, _joined(still, _where(kept), failure.remedy))

    def _withdraw(self) -> list[str]:
        if "candidate" not in dict(self.diary.lines):  # whoever carries this release there waits, by a former secret
            return []
        candidates = [i for i in self._occupants(self.plan.slot) if i.release == self.release]
        if self.plan.mode != RETURN:
            return self._remove_candidates(candidates)
        self._end([i for i in candidates if i.name not in self._ran_before()])
        return self._keep_logs(candidates)

    def _reverted(self, error: Exception) -> PlatformError:
        failure = _sentence(error, f"Release {self.release} did not prove itself")
        former = ", ".join(sorted(self.world.releases_in(self.world.live)))
        try:
            self.site.live.switch(self.world.live)
            give_names(self.site, self._canonical())
            self.site.prove(self.world.live, former, self.specs)
        except engine.EngineAwayError:
            raise
        except FAILURES as second:
            return self._stuck(failure, former, second)
        kept = self._take_back()
        self.diary.note("reverted", failure.what)
        self.moments.failed()
        back = f"Release {former} serves again; {self.release} is quarantined."
        return PlatformError(failure.what, failure.why, _joined(back, _where(kept), failure.remedy))

    def _take_back(self) -> list[str]:
        """The release that failed ends once nobody waits for it; a warm one that was returned to stays, stopped."""
        failed = self._occupants(self.plan.slot)
        self._end(failed)
        if self.plan.mode != REPLACE:
            return self._keep_logs(failed)
        kept = self._remove_candidates(failed)
        restore_displaced(self.site, self._look(), self._ran_before())
        return kept

    def _stuck(self, failure: PlatformError, former: str, second: Exception) -> PlatformError:
        """Both releases stay as they are: a person has to look, and nothing that might serve is removed."""
        why = _sentence(second, "the switch back failed")
        self.diary.note("stuck", failure.what)
        self.moments.failed()
        return PlatformError(
            f"{failure.what}, and going back to release {former} failed as well: {why.what}",
            _joined(failure.why, why.why),
            "Both are left as they are. Look at `make status` and `make logs`, mend the cause, then run make up, which "
            "finishes or undoes what it finds.",
        )

    def _remove_candidates(self, candidates: list[Instance]) -> list[str]:
        kept = self._keep_logs(candidates)
        remove(self.site.client, candidates)
        return kept

    def _keep_logs(self, instances: list[Instance]) -> list[str]:
        hide = [value for spec in self.specs.values() for value in spec.secret_values]
        return keep_logs(self.site.client, self.site.folder(self.release), instances, hide)

    def _end(self, instances: list[Instance]) -> None:
        end(self.site, instances, self.rules.drain_seconds, lambda i: self.specs[service_of(i.service)].stop_timeout)

    def _occupants(self, slot: str) -> list[Instance]:
        return self._look().occupants(slot)

    def _ran_before(self) -> set[str]:
        return {i.name for i in self.world.instances if i.running and i.slot == self.plan.slot}

    def _spec(self, service: str, slot: str) -> ServiceSpec:
        return in_slot(self.specs[service], slot, self.release, serving=slot == self.world.live)

    def _canonical(self) -> dict[str, str]:
        return canonical_names(self.site.platform, self.specs)

    def _look(self) -> World:
        return observe_world(self.site.client, self.site.platform, self.specs, self.site.live.slot())


def end(site: Site, instances: Iterable[Instance], drain_seconds: float, grace: Callable[[Instance], int]) -> None:
    """Requests in flight first, as far as the budget goes; then each container's own graceful end.

    :param grace: seconds that a container has for it."""
    running = [instance for instance in instances if instance.running]
    ports = [(instance, site.upstreams[service_of(instance.service)].port) for instance in running]
    drain(site.client, ports, drain_seconds)
    for instance in running:
        stop(site.client, instance.name, grace(instance))


def give_names(site: Site, canonical: Mapping[str, str]) -> list[Renaming]:
    """What serves has the canonical names, and its full share of the processors; all else has its slot's names."""
    needed = renamings(observe_world(site.client, site.platform, canonical, site.live.slot()), canonical)
    rename_all(site.client, needed)
    give_weight(site.client, [name for name in canonical.values() if name in {r.wanted for r in needed}])
    return needed


def restore_displaced(site: Site, world: World, ran_before: set[str]) -> None:
    """Whoever was set aside gets the name back, and nginx's word for it; those that ran before run again."""
    for instance in world.displaced():
        site.client.rename(instance.name, instance.name.removesuffix(DISPLACED_SUFFIX))
    now = observe_world(site.client, site.platform, site.upstreams, world.live)
    there = on_one_host(instance.service for instance in now.occupants(now.idle))
    site.live.name_release(now.idle, next(iter(sorted(now.releases_in(now.idle))), ""), there)
    for name in ran_before & {instance.name for instance in now.instances}:
        site.client.start(name)


def _sentence(error: Exception, what: str) -> PlatformError:
    if isinstance(error, PlatformError):
        return error
    return PlatformError(what, engine.explanation(error))


def _where(kept: list[str]) -> str:
    return f"Its last log lines are in {' and '.join(kept)}." if kept else ""


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)
