"""A host with an engine that is a small model of the real one: containers that are created, started, renamed, removed.

The live folder, the records and the journal are the real ones, on disk; so is all code that decides.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import engine as real_engine
from ansible.module_utils.erni import release_apply, release_candidates, release_diary, release_run
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.live_folder import LiveFolder
from ansible.module_utils.erni.planning import Plan
from ansible.module_utils.erni.release_apply import Rules, Site
from ansible.module_utils.erni.release_choice import Wish
from ansible.module_utils.erni.release_content import content_of
from ansible.module_utils.erni.release_moments import NO_SURROUNDINGS, Surroundings
from ansible.module_utils.erni.release_proxy import Proxy, Upstream
from ansible.module_utils.erni.release_record import read_journal
from ansible.module_utils.erni.release_run import DEPLOY, Author, Outcome, ReleaseRun
from ansible.module_utils.erni.replicas import MOST, ONE_EACH, Replicas, replica, replicated, several
from ansible.module_utils.erni.service_spec import ServiceSpec

SERVICES = ("backend", "frontend")
CANONICAL = {name: f"erni-{name}" for name in SERVICES}
SLOT_OF = {"10.0.0.0": "blue", "10.0.1.0": "green", "10.0.0.1": "blue", "10.0.1.1": "green"}
PASSWORD = "correct horse battery staple"


class Killed(BaseException):
    """Like SIGKILL: no handler of the code under test sees it."""


def wish(level: str, password: str = PASSWORD, reason: str = "", backends: int = 1) -> Wish:
    """What a run is given; another level is another release, another password the same one with a secret replaced."""
    services: dict[str, Any] = {
        name: {
            "name": name,
            "image": f"erni/{name}:0123456789ab",
            "environment": {"LOG_LEVEL": level},
            "health": {"command": ["true"]},
            "limits": {"memory": "1g", "cpus": 1.0, "pids": 10},
            "networks": [{"name": "erni-edge", "addresses": {"blue": f"10.0.0.{n}", "green": f"10.0.1.{n}"}}],
        }
        for n, name in enumerate(SERVICES)
    }
    addresses = [{"blue": f"10.0.2.{n}", "green": f"10.0.3.{n}"} for n in range(MOST)]
    services |= replicated(services["backend"], backends, addresses) if backends > 1 else {}
    return Wish(services, {"backend": {"DB_PASSWORD": password}}, {}, reason=reason)


def release_of(given: Wish) -> str:
    return content_of(given.services, given.secrets, {}).id


@dataclass
class Engine:
    """Containers by name, as ``GET /containers/json`` lists them. ``fatal`` is the operation after which it is over,
    ``last`` the one after which the engine is away; its containers go on running."""

    live: LiveFolder
    by_name: dict[str, dict[str, Any]] = field(default_factory=dict)
    operations: int = 0
    fatal: int = -1
    last: int = -1
    away: bool = False
    broken: set[str] = field(default_factory=set)  # releases that do not answer through the proxy
    never_ready: set[str] = field(default_factory=set)  # releases that do not pass their gate
    has_served: bool = False
    asked: set[str] = field(default_factory=set)  # slots that the proxy has asked
    images_gone: bool = False

    def operation(self) -> None:
        self.check_that_something_serves()
        self.operations += 1
        self.away = self.away or self.operations == self.last
        if self.operations == self.fatal:
            raise Killed

    def answer(self) -> None:
        if self.away:
            raise real_engine.EngineAwayError("it has ended")

    def check_that_something_serves(self) -> None:
        """From the first time on that a release has, one serves: all its containers that nginx asks have passed their
        gates and run."""
        slot = self.live.slot()
        self.asked.add(slot)
        ready = [c["Labels"] for c in self.by_name.values() if c["State"] == "running" and c["passed"]]
        serving = [labels for labels in ready if labels["ch.erni.slot"] == slot]
        serves = self.asked_in(slot) <= {labels["ch.erni.service"] for labels in serving}
        assert serves or not self.has_served, f"not all of a release serves in {slot}"
        assert len({labels["ch.erni.release"] for labels in serving}) <= 1, "two generations serve"
        whole = all(c["passed"] for c in self.by_name.values() if c["Labels"].get("ch.erni.slot") == slot)
        self.has_served = self.has_served or (serves and whole)

    def asked_in(self, slot: str) -> set[str]:
        """The replicas that nginx asks there."""
        numbers = {service: [1] for service in SERVICES} | self.live.replicas(slot)
        return {replica(service, n) for service, (number,) in numbers.items() for n in range(1, number + 1)}

    # What the platform asks of the docker SDK's client.

    def containers(self, **_: Any) -> list[dict[str, Any]]:
        self.answer()
        return [{"Id": n, "ImageID": "sha256:1", "Names": [f"/{n}"], **facts} for n, facts in self.by_name.items()]

    def images(self) -> list[dict[str, Any]]:
        self.answer()
        return []

    def inspect_image(self, reference: str) -> dict[str, Any]:
        self.answer()
        if self.images_gone:
            raise real_engine.docker_errors.ImageNotFound(f"no such image: {reference}")
        return {"Id": f"sha256:of {reference}", "RepoDigests": []}

    def inspect_container(self, _name: str) -> dict[str, Any]:
        self.answer()
        return {"State": {"Pid": 0}, "RestartCount": 0}

    def logs(self, name: str, **_: Any) -> bytes:
        self.answer()
        return f"the last words of {name}, whose password is {PASSWORD}".encode()

    def create(self, spec: ServiceSpec) -> None:
        self.answer()
        assert spec.container not in self.by_name, f"the name {spec.container} is taken"
        environment = {**spec.environment, **spec.secret_environment}
        self.by_name[spec.container] = {
            "State": "running", "Labels": spec.labels, "passed": False, "environment": environment
        }  # fmt: skip
        self.operation()

    def rename(self, current: str, wanted: str) -> None:
        self.answer()
        assert wanted not in self.by_name, f"the name {wanted} is taken"
        self.by_name[wanted] = self.by_name.pop(current)
        self.operation()

    def update_container(self, name: str, cpu_shares: int) -> None:
        self.answer()
        self.by_name[name]["CpuShares"] = cpu_shares
        self.operation()

    def start(self, name: str) -> None:
        self.answer()
        self.by_name[name]["State"] = "running"
        self.operation()

    def stop(self, name: str, **_: Any) -> None:
        self.answer()
        self.by_name[name]["State"] = "exited"
        self.operation()

    def remove_container(self, name: str, **_: Any) -> None:
        self.answer()
        if self.by_name.pop(name, None) is None:
            raise real_engine.docker_errors.NotFound(f"no such container: {name}")
        self.operation()


# What takes the place of a service's own observation, plan and transition.


def observe_service(client: Engine, spec: ServiceSpec) -> tuple[ServiceSpec, dict[str, Any] | None]:
    client.answer()
    return spec, client.by_name.get(spec.container)


def plan_service(spec: ServiceSpec, found: dict[str, Any] | None) -> Plan:
    plan = Plan()
    if found is None:
        plan.add("create", spec.container, f"{spec.container} is created and started from {spec.image}")
    elif found["environment"] != {**spec.environment, **spec.secret_environment}:
        plan.add("replace", spec.container, f"{spec.container} is replaced")
    elif found["State"] != "running":
        plan.add("start", spec.container, f"{spec.container} is started")
    return plan


@dataclass
class Transition:
    client: Engine
    spec: ServiceSpec
    state: dict[str, Any] | None

    def run(self, plan: Plan) -> None:
        self.apply(plan)
        self.pass_gate()

    def apply(self, plan: Plan) -> None:
        for action in plan.actions:
            assert action.kind in ("create", "start"), "what serves is never replaced in place"
            if action.kind == "create":
                self.client.create(self.spec)
            else:
                self.client.start(self.spec.container)

    def pass_gate(self) -> None:
        self.client.answer()
        container = self.client.by_name[self.spec.container]
        if container["Labels"]["ch.erni.release"] in self.client.never_ready:
            raise PlatformError(f"{self.spec.container} did not pass its gate", "it says no")
        container["passed"] = True
        self.client.operation()


@dataclass
class Host:
    """A host on which releases are brought, with all that can be asked of a run."""

    site: Site
    engine: Engine
    rules: Rules = field(default_factory=lambda: Rules(drain_seconds=1, warm_seconds=900))
    surroundings: Surroundings = NO_SURROUNDINGS

    def bring(self, given: Wish, verb: str = DEPLOY, to: str = "", *, check: bool = False) -> Outcome:
        author = Author("ada", "local", given.reason)
        run = ReleaseRun(self.site, self.rules, verb, given, author, to, "erni", surroundings=self.surroundings)
        return run.run(check=check)

    def killed(self, operation: int, given: Wish, verb: str = DEPLOY) -> None:
        """A run that is killed after that many operations from now on."""
        self.engine.operations, self.engine.fatal = 0, operation
        with pytest.raises(Killed):
            self.bring(given, verb)
        self.engine.fatal = -1

    def releases(self) -> dict[str, tuple[str, str, str]]:
        """Slot, release and state of each container, by name."""
        return {
            name: (c["Labels"]["ch.erni.slot"], c["Labels"]["ch.erni.release"], c["State"])
            for name, c in sorted(self.engine.by_name.items())
        }

    def serving(self) -> set[tuple[str, str]]:
        """Slot and release of what has the canonical names."""
        return {found[:2] for name, found in self.releases().items() if name in CANONICAL.values()}

    def phases(self) -> list[str]:
        """Of the last transition."""
        entries = read_journal(self.site.root)
        return [entry.phase for entry in entries if entry.transition == entries[-1].transition]


def settled(release: str, slot: str, other: str, other_slot: str, state: str = "running") -> dict[str, Any]:
    """What :meth:`Host.releases` tells where one release serves and another waits."""
    serving = {f"erni-{name}": (slot, release, "running") for name in SERVICES}
    return dict(sorted((serving | {f"erni-{n}-{other_slot}": (other_slot, other, state) for n in SERVICES}).items()))


def model_host(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host on which nothing has served yet."""
    live = LiveFolder(str(folder / "live"))
    live.complete()
    engine = Engine(live)

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any) -> Any:
            result = real(*arguments)
            engine.operation()
            return result

        return operation

    named = live.name_release

    def name_release(slot: str, release: str, replicas: Replicas = ONE_EACH) -> None:
        if (live.release(slot), live.replicas(slot)) != (release, several(replicas)):
            named(slot, release, replicas)
            engine.operation()

    def prove(_: Any, __: Any, slot: str, release: str, ___: Any) -> None:
        engine.answer()
        engine.operation()
        if release in engine.broken or (live.slot(), live.release(slot)) != (slot, release):
            raise PlatformError(f"Through the proxy release {release} does not answer")

    for module in (release_apply, release_candidates, release_run):
        monkeypatch.setattr(module, "observe_service", observe_service)
    for module in (release_candidates, release_run):
        monkeypatch.setattr(module, "plan_service", plan_service)
    for module in (release_apply, release_candidates):
        monkeypatch.setattr(module, "Transition", Transition)
    monkeypatch.setattr(
        release_candidates, "needs_gate", lambda plan, found: plan.changed or found is None or not found["passed"]
    )
    monkeypatch.setattr(os, "fsync", lambda _: None)  # no test here pulls the plug
    monkeypatch.setattr(release_apply, "prove", prove)
    monkeypatch.setattr(release_apply, "reachable", lambda *_: (True, ""))
    monkeypatch.setattr(release_run, "tag_release", lambda *_: Plan())
    monkeypatch.setattr(release_diary, "append_entry", counted(release_diary.append_entry))
    monkeypatch.setattr(release_run, "write_manifest", counted(release_run.write_manifest))
    monkeypatch.setattr(live, "switch", counted(live.switch))
    monkeypatch.setattr(live, "name_release", name_release)
    upstreams = {name: Upstream(80, "/") for name in SERVICES}
    proxy = Proxy("erni-nginx", "localhost", {}, SLOT_OF)
    site = Site(engine, "erni", str(folder / "releases"), live, proxy, upstreams)
    return Host(site, engine)
