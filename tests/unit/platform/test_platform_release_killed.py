"""Killed after any single operation, the next run finishes or undoes; and at no moment does nothing serve.

The engine is a small model of it; the live folder, the records and the journal are the real ones on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import release_apply, release_diary, release_recover
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.live_folder import LiveFolder
from ansible.module_utils.erni.release_apply import ReleaseTransition, Rules, Site
from ansible.module_utils.erni.release_diary import Diary
from ansible.module_utils.erni.release_history import open_transition
from ansible.module_utils.erni.release_plan import NOTHING, plan_release
from ansible.module_utils.erni.release_proxy import Proxy, Upstream
from ansible.module_utils.erni.release_record import JournalEntry, append_entry, read_journal
from ansible.module_utils.erni.release_world import Instance, Renaming, observe_world
from ansible.module_utils.erni.service_spec import ServiceSpec
from platform_builders import service

OLDER, OLD, NEW = "0" * 12, "1" * 12, "2" * 12
SERVICES = ("backend", "frontend")
OPERATIONS = 26  # of a deploy that is left alone: of the engine, the live folder and the journal
EACH = range(1, OPERATIONS + 1)
CANONICAL = {name: f"erni-{name}" for name in SERVICES}


class Killed(BaseException):
    """Like SIGKILL: no handler of the code under test sees it."""


@dataclass
class Engine:
    """Containers by name, as ``GET /containers/json`` lists them. ``fatal`` is the operation after which it is over."""

    live: LiveFolder
    containers_by_name: dict[str, dict[str, Any]] = field(default_factory=dict)
    operations: int = 0
    fatal: int = -1
    broken: set[str] = field(default_factory=set)  # releases that do not answer through the proxy

    def add(self, name: str, slot: str, release: str) -> None:
        service_name = name.split("-")[1]
        labels = {"service": service_name, "slot": slot, "release": release}
        self.containers_by_name[name] = {
            "State": "running",
            "Labels": {f"ch.erni.{key}": value for key, value in labels.items()},
        }

    def operation(self) -> None:
        self.check_that_something_serves()
        self.operations += 1
        if self.operations == self.fatal:
            raise Killed

    def check_that_something_serves(self) -> None:
        slot = self.live.slot()
        running = [c["Labels"] for c in self.containers_by_name.values() if c["State"] == "running"]
        serving = {labels["ch.erni.service"] for labels in running if labels["ch.erni.slot"] == slot}
        assert serving == set(SERVICES), f"not all of a release serves in {slot}"

    def containers(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Names": [f"/{name}"], **facts} for name, facts in self.containers_by_name.items()]

    def rename(self, current: str, wanted: str) -> None:
        assert wanted not in self.containers_by_name, f"the name {wanted} is taken"
        self.containers_by_name[wanted] = self.containers_by_name.pop(current)
        self.operation()

    def start(self, name: str) -> None:
        self.containers_by_name[name]["State"] = "running"
        self.operation()

    def stop(self, name: str) -> None:
        self.containers_by_name[name]["State"] = "exited"
        self.operation()

    def remove(self, name: str) -> None:
        self.containers_by_name.pop(name, None)
        self.operation()

    def releases(self) -> dict[str, tuple[str, str, str]]:
        """Name to slot, release and state."""
        return {
            name: (c["Labels"]["ch.erni.slot"], c["Labels"]["ch.erni.release"], c["State"])
            for name, c in sorted(self.containers_by_name.items())
        }


@dataclass
class Gated:
    """What the start of a candidate gives back."""

    passes: Callable[[], None]

    def pass_gate(self) -> None:
        self.passes()


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    live = LiveFolder(str(tmp_path / "live"))
    live.complete()
    model = Engine(live)
    for name in SERVICES:
        model.add(f"erni-{name}", "blue", OLD)
        model.add(f"erni-{name}-green", "green", OLDER)
    live.name_release("blue", OLD)
    live.name_release("green", OLDER)

    def start_candidates(_: Any, specs: dict[str, ServiceSpec]) -> dict[str, Gated]:
        for spec in specs.values():
            assert spec.container not in model.containers_by_name
            model.add(spec.container, spec.labels["ch.erni.slot"], spec.labels["ch.erni.release"])
            model.operation()
        return {name: Gated(model.operation) for name in specs}

    def rename_all(_: Any, renamings: Iterable[Renaming]) -> None:
        for renaming in renamings:
            model.rename(renaming.current, renaming.wanted)

    def prove(_: Any, __: Any, slot: str, release: str, ___: Any) -> None:
        model.operation()
        if release in model.broken or (live.slot(), live.release(slot)) != (slot, release):
            raise PlatformError(f"Through the proxy release {release} does not answer")

    def remove(_: Any, instances: Iterable[Instance]) -> None:
        for instance in instances:
            model.remove(instance.name)

    for module in (release_apply, release_recover):
        monkeypatch.setattr(module, "remove", remove)
    monkeypatch.setattr(release_apply, "prove", prove)
    monkeypatch.setattr(release_apply, "start_candidates", start_candidates)
    monkeypatch.setattr(release_apply, "rename_all", rename_all)
    monkeypatch.setattr(release_apply, "stop", lambda _, name, __: model.stop(name))
    monkeypatch.setattr(release_apply, "drain", lambda *_: True)
    monkeypatch.setattr(release_apply, "keep_logs", lambda *_: [])
    monkeypatch.setattr(release_apply, "require_images", lambda *_: None)
    monkeypatch.setattr(release_apply, "reachable", lambda *_: (True, ""))
    monkeypatch.setattr(release_apply, "address_in", lambda *_: "172.30.10.20")

    def appended(root: str, entry: JournalEntry) -> None:
        append_entry(root, entry)
        model.operation()

    monkeypatch.setattr(release_diary, "append_entry", appended)
    switch = live.switch

    def switching(slot: str) -> None:
        switch(slot)
        model.operation()

    monkeypatch.setattr(live, "switch", switching)
    return model


@pytest.fixture
def site(engine: Engine, tmp_path: Path) -> Site:
    upstreams = {name: Upstream(80, "/") for name in SERVICES}
    return Site(engine, "erni", str(tmp_path), engine.live, Proxy("erni-nginx", "localhost", {}), upstreams)


def run(site: Site, release: str, number: int = 1) -> str:
    """One run of the module: recover, plan, carry out. The mode that it found right."""
    release_recover.recover(site, CANONICAL, open_transition(read_journal(site.root)))
    specs = {name: service(name=name, container=f"erni-{name}", networks=()) for name in SERVICES}
    world = observe_world(site.client, "erni", SERVICES, site.live.slot())
    plan = plan_release(release, world, {}, {}, [])
    former = min(world.releases_in(world.live))
    line = JournalEntry("", f"t{number}", "deploy", "", release, plan.slot, former, world.live)
    ReleaseTransition(site, Rules(1, 900), release, specs, world, plan, Diary(site.root, line)).run()
    return plan.mode


def settled(release: str, slot: str, other: str, other_slot: str) -> dict[str, tuple[str, str, str]]:
    names = {f"erni-{name}": (slot, release, "running") for name in SERVICES}
    return dict(sorted((names | {f"erni-{n}-{other_slot}": (other_slot, other, "running") for n in SERVICES}).items()))


def test_a_deploy_that_is_left_alone_ends_with_the_new_release_serving_and_the_old_one_warm(
    site: Site, engine: Engine
) -> None:
    run(site, NEW)
    assert engine.releases() == settled(NEW, "green", OLD, "blue")
    assert engine.live.release("green") == NEW
    phases = [entry.phase for entry in read_journal(site.root)]
    assert phases == [
        *("begun", "prepared", "displaced", "candidate", "gated", "switching", "switched", "proven", "baked", "done"),
    ]
    assert engine.operations == OPERATIONS, "what follows kills after each of them"


@pytest.mark.parametrize("fatal", EACH)
def test_killed_after_any_operation_the_next_run_brings_the_release(site: Site, engine: Engine, fatal: int) -> None:
    engine.fatal = fatal
    with pytest.raises(Killed):
        run(site, NEW, 1)
    run(site, NEW, 2)
    engine.check_that_something_serves()
    serving = {n: c for n, c in engine.releases().items() if n in CANONICAL.values()}
    assert {release for _, release, _ in serving.values()} == {NEW}
    assert {slot for slot, _, _ in serving.values()} == {engine.live.slot()}
    assert not [name for name in engine.containers_by_name if name.endswith("-displaced")]
    assert open_transition(read_journal(site.root)) == []
    assert run(site, NEW, 3) == NOTHING


@pytest.mark.parametrize("fatal", EACH)
def test_killed_after_any_operation_recovery_alone_leaves_one_generation_serving(
    site: Site, engine: Engine, fatal: int
) -> None:
    engine.fatal = fatal
    with pytest.raises(Killed):
        run(site, NEW)
    release_recover.recover(site, CANONICAL, open_transition(read_journal(site.root)))
    engine.check_that_something_serves()
    expected = (
        settled(NEW, "green", OLD, "blue") if engine.live.slot() == "green" else settled(OLD, "blue", OLDER, "green")
    )
    assert engine.releases() == expected


@pytest.mark.parametrize("again", range(1, 26, 2))
@pytest.mark.parametrize("fatal", EACH[::2])
def test_killed_again_while_it_recovers_it_recovers_the_third_time(
    site: Site, engine: Engine, fatal: int, again: int
) -> None:
    engine.fatal = fatal
    with pytest.raises(Killed):
        run(site, NEW, 1)
    engine.operations, engine.fatal = 0, again
    try:
        run(site, NEW, 2)
    except Killed:
        run(site, NEW, 3)
    assert {release for name, (_, release, _) in engine.releases().items() if name in CANONICAL.values()} == {NEW}
    assert run(site, NEW, 4) == NOTHING


def test_a_release_that_does_not_answer_after_the_switch_is_taken_back(site: Site, engine: Engine) -> None:
    engine.broken = {NEW}
    with pytest.raises(PlatformError, match=f"Release {OLD} serves again; {NEW} is quarantined"):
        run(site, NEW)
    assert engine.releases() == settled(OLD, "blue", OLDER, "green")
    assert read_journal(site.root)[-1].phase == "reverted"


@pytest.mark.parametrize("fatal", EACH[:-2])
def test_a_release_that_does_not_answer_never_stays_wherever_its_run_is_killed(
    site: Site, engine: Engine, fatal: int
) -> None:
    engine.broken, engine.fatal = {NEW}, fatal
    with pytest.raises((Killed, PlatformError)):
        run(site, NEW)
    release_recover.recover(site, CANONICAL, open_transition(read_journal(site.root)))
    engine.check_that_something_serves()
    assert {r for name, (_, r, _) in engine.releases().items() if name in CANONICAL.values()} == {OLD}
    assert not [name for name in engine.containers_by_name if name.endswith("-displaced")]


def test_a_revert_is_never_reverted(site: Site, engine: Engine) -> None:
    engine.broken = {NEW, OLD}
    with pytest.raises(PlatformError, match=r"going back to release .* failed as well"):
        run(site, NEW)
    assert read_journal(site.root)[-1].phase == "stuck"
    assert set(engine.containers_by_name) >= set(CANONICAL.values()), "nothing that might serve is removed"
