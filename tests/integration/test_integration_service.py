"""A service's container against a real engine: created once, changed gently, never lost."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.erni import engine
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.planning import Plan
from ansible.module_utils.erni.service_apply import Transition, observe_service, recover
from ansible.module_utils.erni.service_plan import needs_gate, plan_service
from ansible.module_utils.erni.service_spec import ServiceSpec, from_params
from container_service import SERVICE

PING = ["sh", "-c", "redis-cli ping | grep -q PONG"]
CONFIGURATION = "bind 127.0.0.1\nappendonly yes\nappendfsync always\ndir /data\n"

# What a replacement asks of the engine, in this order; it may be killed before any of it.
STEPS = ["stop", "remove_container", "rename", "create_container_from_config", "start", "exec_create"]


class KilledError(BaseException):
    """Not an Exception, so that nothing is undone: as SIGKILL would have it."""


class DyingClient:
    """The engine's client of a process that is killed before it asks for ``step``."""

    def __init__(self, client: Any, step: str) -> None:
        self._client, self._step = client, step

    def __getattr__(self, name: str) -> Any:
        if name == self._step:
            raise KilledError(name)
        return getattr(self._client, name)


class Cache:
    """A service made of the Redis image, without a network."""

    def __init__(self, client: Any, image: str, folder: Path) -> None:
        self.client, self.image, self.folder = client, image, folder
        self.platform = f"erni-test-{secrets.token_hex(4)}"
        self.container = f"{self.platform}-cache"

    def spec(self, **changed: Any) -> ServiceSpec:
        service = {
            "name": "cache",
            "image": self.image,
            "user": "999:999",
            "command": ["redis-server", "/etc/erni/redis.conf"],
            "volumes": [{"name": f"{self.platform}-data", "target": "/data"}],
            "folders": [{"path": str(self.folder / "cache")}],
            "binds": [{"source": str(self.folder / "cache"), "target": "/etc/erni"}],
            "files": [{"path": str(self.folder / "cache" / "redis.conf"), "content": CONFIGURATION}],
            "health": {"command": PING, "interval": 1},
            "gate": {"timeout": 20},
            "limits": {"memory": "64m", "cpus": 1, "pids": 32},
            "stop_timeout": 5,
        }
        validated = ArgumentSpecValidator(SERVICE).validate(service | changed)
        assert not validated.error_messages
        return from_params(self.platform, validated.validated_parameters)

    def converge(self, client: Any = None, **changed: Any) -> Plan:
        """What the module does, without its host lock."""
        spec, state = observe_service(self.client, self.spec(**changed))
        if recover(self.client, spec, state):
            spec, state = observe_service(self.client, self.spec(**changed))
        plan = plan_service(spec, state)
        if plan.changed or needs_gate(plan, state):
            Transition(client or self.client, spec, state).run(plan)
        return plan

    @property
    def identity(self) -> tuple[str, str]:
        inspected = self.client.inspect_container(self.container)
        return inspected["Id"], inspected["State"]["StartedAt"]

    def names(self) -> list[str]:
        found = self.client.containers(all=True, filters={"name": self.platform})
        return sorted(container["Names"][0].lstrip("/") for container in found)

    def redis(self, *words: str) -> str:
        return engine.run_inside(self.client, self.container, ("redis-cli", *words))[1]

    def remove(self) -> None:
        for name in self.names():
            engine.remove_if_present(self.client, name)
        engine.remove_volume(self.client, f"{self.platform}-data")


@pytest.fixture
def cache(client: Any, image_of: Callable[[str], str], tmp_path: Path) -> Iterator[Cache]:
    made = Cache(client, image_of("redis"), tmp_path)
    tmp_path.chmod(0o755)
    try:
        yield made
    finally:
        made.remove()


def test_a_service_is_created_and_a_second_run_changes_nothing(cache: Cache) -> None:
    first = cache.converge()
    identity = cache.identity
    second = cache.converge()

    assert first.kinds == ["create_volume", "make_folder", "write_file", "create"]
    assert cache.redis("ping") == "PONG"
    assert not second.changed
    assert cache.identity == identity


def test_every_property_that_is_set_is_the_one_that_the_engine_reports(cache: Cache) -> None:
    options: dict[str, Any] = {
        "labels": {"release": "r1"},
        "environment": {"COLOUR": "blue", "FLAG": True},
        "secret_environment": {"TOKEN": "not shown"},
        "tmpfs": {"/tmp": "size=1m,mode=1777"},
        "extra_hosts": {"far": "192.0.2.1"},
        "init": True,
        "stop_signal": "SIGINT",
        "capabilities": ["CHOWN"],
    }
    cache.converge(**options)
    identity = cache.identity

    assert not cache.converge(**options).changed
    assert cache.identity == identity


def test_limits_change_while_the_container_runs(cache: Cache) -> None:
    cache.converge()
    identity = cache.identity
    limits = {"memory": "80m", "cpus": 0.5, "pids": 40}

    plan = cache.converge(limits=limits)

    host = cache.client.inspect_container(cache.container)["HostConfig"]
    assert plan.kinds == ["update"]
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (80 * 1024**2, 500_000_000, 40)
    assert cache.identity == identity
    assert not cache.converge(limits=limits).changed


def test_another_environment_replaces_the_container_and_keeps_its_data(cache: Cache) -> None:
    cache.converge()
    cache.redis("set", "colour", "blue")
    former = cache.identity

    plan = cache.converge(environment={"RELEASE": "2"})

    assert plan.kinds == ["replace"]
    assert cache.identity[0] != former[0]
    assert cache.names() == [cache.container]
    assert cache.redis("get", "colour") == "blue"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"command": ["sh", "-c", "echo I cannot; exit 3"]}, "I cannot"),
        ({"gate": {"command": ["sh", "-c", "echo not yet; exit 1"], "timeout": 2}, "init": True}, "not yet"),
        ({"command": ["no-such-program"]}, "no-such-program"),
    ],
    ids=["exits", "never-passes", "cannot-start"],
)
def test_a_replacement_that_does_not_come_up_brings_the_former_container_back(
    cache: Cache, change: dict[str, Any], why: str
) -> None:
    cache.converge()
    cache.redis("set", "colour", "blue")
    former = cache.identity[0]

    with pytest.raises(PlatformError, match="The container that served before is back") as failure:
        cache.converge(**change)

    assert why in str(failure.value)
    assert cache.identity[0] == former
    assert cache.names() == [cache.container]
    wait_until(lambda: cache.redis("get", "colour") == "blue")
    assert not cache.converge().changed


def test_a_secret_is_blacked_out_in_the_last_words_of_a_container(cache: Cache) -> None:
    command = ["sh", "-c", 'echo "token is $TOKEN"; exit 1']
    with pytest.raises(PlatformError) as failure:
        cache.converge(command=command, secret_environment={"TOKEN": "s3cr3t-word"})

    assert "token is (secret)" in str(failure.value)
    assert "s3cr3t-word" not in str(failure.value)


def test_a_changed_file_restarts_the_container_once(cache: Cache) -> None:
    cache.converge()
    container, started = cache.identity
    files = [{"path": str(cache.folder / "cache" / "redis.conf"), "content": CONFIGURATION + "timeout 77\n"}]

    plan = cache.converge(files=files)

    assert plan.kinds == ["write_file", "restart"]
    assert cache.identity[0] == container
    assert cache.identity[1] != started
    assert cache.redis("config", "get", "timeout").split() == ["timeout", "77"]
    assert not cache.converge(files=files).changed


def test_a_file_that_was_written_but_never_loaded_is_loaded_by_the_next_run(cache: Cache) -> None:
    cache.converge()
    files = [{"path": str(cache.folder / "cache" / "redis.conf"), "content": CONFIGURATION + "timeout 77\n"}]
    with pytest.raises(KilledError):
        cache.converge(DyingClient(cache.client, "restart"), files=files)

    plan = cache.converge(files=files)

    assert plan.kinds == ["restart"]
    assert cache.redis("config", "get", "timeout").split() == ["timeout", "77"]


def test_files_that_their_own_check_refuses_are_not_written(cache: Cache) -> None:
    check = ["sh", "-c", "cat /etc/erni/redis.conf; grep -q '^appendonly' /etc/erni/redis.conf"]
    cache.converge(validate_command=check)
    identity = cache.identity
    file = cache.folder / "cache" / "redis.conf"
    written = file.stat().st_ino

    with pytest.raises(PlatformError, match="refused by its own check") as failure:
        cache.converge(validate_command=check, files=[{"path": str(file), "content": "nonsense\n"}])

    assert "nonsense" in str(failure.value), "what the check says is shown"
    assert (file.stat().st_ino, file.read_text()) == (written, CONFIGURATION)
    assert cache.identity == identity
    assert sorted(path.name for path in cache.folder.iterdir()) == ["cache"]


@pytest.mark.parametrize("step", STEPS)
def test_a_replacement_killed_at_any_step_is_finished_by_the_next_run(cache: Cache, step: str) -> None:
    cache.converge()
    cache.redis("set", "colour", "blue")

    with pytest.raises(KilledError):
        cache.converge(DyingClient(cache.client, step), environment={"RELEASE": "2"})
    cache.converge(environment={"RELEASE": "2"})

    assert cache.names() == [cache.container]
    assert "RELEASE=2" in cache.client.inspect_container(cache.container)["Config"]["Env"]
    assert cache.redis("get", "colour") == "blue"
    assert not cache.converge(environment={"RELEASE": "2"}).changed


@pytest.mark.parametrize("step", STEPS)
def test_a_replacement_killed_at_any_step_can_be_taken_back(cache: Cache, step: str) -> None:
    cache.converge()
    cache.redis("set", "colour", "blue")

    with pytest.raises(KilledError):
        cache.converge(DyingClient(cache.client, step), environment={"RELEASE": "2"})
    cache.converge()

    assert cache.names() == [cache.container]
    assert "RELEASE=2" not in cache.client.inspect_container(cache.container)["Config"]["Env"]
    assert cache.redis("get", "colour") == "blue"
    assert not cache.converge().changed


def test_a_stopped_and_a_paused_container_serve_again(cache: Cache) -> None:
    cache.converge()
    container = cache.identity[0]

    cache.client.stop(cache.container, timeout=5)
    assert cache.converge().kinds == ["start"]
    cache.client.pause(cache.container)
    assert cache.converge().kinds == ["unpause"]

    assert cache.identity[0] == container
    assert cache.redis("ping") == "PONG"
    assert not cache.converge().changed


def test_an_image_that_is_not_there_is_said_so(cache: Cache) -> None:
    cache.image = "erni/no-such-image:1"

    with pytest.raises(PlatformError, match="the image erni/no-such-image:1 is not on this host"):
        cache.converge()

    with pytest.raises(docker.errors.NotFound):
        cache.client.inspect_container(cache.container)


def wait_until(holds: Callable[[], bool], timeout: float = 10) -> None:
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)
