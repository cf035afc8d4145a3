"""What these tests need: the project's logic under the names that modules use, the engine, and images to run."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ansible.module_utils
import pytest

ROOT = Path(__file__).resolve().parents[2]
FAULTS = "faults"

ansible.module_utils.__path__.append(str(ROOT / "module_utils"))
sys.path.insert(0, str(ROOT / "library"))

from ansible.module_utils.erni import engine, postgres_dump, redis_snapshot  # noqa: E402 (its path is set above)
from ansible.module_utils.erni.database_plan import DatabaseSpec  # noqa: E402 (likewise)
from ansible.module_utils.erni.scratch_container import left_over  # noqa: E402 (likewise)
from postgres_server import Server, database_of_its_own, running_server  # noqa: E402 (likewise)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Callable[[int], None]:
    """Told how often a test has let something go wrong; it would have failed had anything been lost."""
    return lambda times: record_property(FAULTS, times)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Faults that were tried, test by test."""
    passed = [report for report in terminalreporter.getreports("passed") if report.when == "call"]
    counts = {report.nodeid.rpartition("::")[2]: dict(report.user_properties).get(FAULTS) for report in passed}
    found = {name: times for name, times in counts.items() if times}
    if found:
        terminalreporter.section("Faults that were tried; nothing was lost")
        for name, times in sorted(found.items()):
            terminalreporter.write_line(f"{times:4} {name.removeprefix('test_').replace('_', ' ')}")
        terminalreporter.write_line(f"{sum(found.values()):4} together")


@pytest.fixture(scope="session")
def client() -> Iterator[Any]:
    """The engine, as the modules see it."""
    connected = engine.connect()
    yield connected
    connected.close()


@pytest.fixture(scope="session")
def image_of(client: Any) -> Callable[[str], str]:
    """A service's image: what ``ERNI_TEST_IMAGES`` names, else the newest that this machine has built."""
    given = json.loads(os.environ.get("ERNI_TEST_IMAGES") or "{}")

    def reference(service: str) -> str:
        if service in given:
            return str(given[service])
        built = sorted(client.images(name=f"erni/{service}"), key=lambda image: image["Created"])
        if not built:
            pytest.fail(f"There is no image erni/{service} here. Run `make up`, or name one in ERNI_TEST_IMAGES.")
        return str(built[-1]["RepoTags"][0])

    return reference


@pytest.fixture(scope="session")
def server(client: Any, image_of: Callable[[str], str]) -> Iterator[Server]:
    """A PostgreSQL server that the tests share; each has a database of its own there."""
    with running_server(client, image_of("postgres")) as running:
        yield running


@pytest.fixture
def spec(server: Server) -> Iterator[DatabaseSpec]:
    """A database and roles that no other test has, still to be made."""
    with database_of_its_own(server) as made:
        yield made


@pytest.fixture
def database(server: Server, spec: DatabaseSpec) -> str:
    """The application's database, with its schema."""
    server.converge(spec)
    return spec.name


@pytest.fixture
def postgres(client: Any, server: Server, tmp_path: Path) -> postgres_dump.Server:
    """The server as a backup sees it."""
    configuration = tmp_path / "configuration"
    configuration.mkdir()
    (configuration / "pgpass").write_text(f"*:*:*:postgres:{server.password}\n")
    for path in (configuration, configuration / "pgpass"):
        os.chown(path, 999, 999)
    (configuration / "pgpass").chmod(0o600)
    image = client.inspect_container(server.container)["Image"]
    platform = f"erni-test-{secrets.token_hex(4)}"
    return postgres_dump.Server(platform, image, 999, 999, server.folder, str(configuration), server.password)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    made = tmp_path / "part"
    made.mkdir(mode=0o711)
    return str(made)


@pytest.fixture
def nothing_is_left(client: Any, postgres: postgres_dump.Server) -> Iterator[None]:
    yield
    assert left_over(client, postgres.platform) == []


@pytest.fixture
def redis(client: Any, image_of: Callable[[str], str], tmp_path: Path) -> Iterator[redis_snapshot.Server]:
    """A Redis with an operator, as the platform runs it."""
    sockets, configuration, data = tmp_path / "sockets", tmp_path / "redis", tmp_path / "data"
    for path in (sockets, configuration, data):
        path.mkdir()
        path.chmod(0o777)
    password = secrets.token_urlsafe(16)
    (configuration / "operator_password").write_text(password)
    (configuration / "redis.conf").write_text(
        "port 0\nrepl-diskless-sync-delay 0\nunixsocket /run/redis/redis.sock\nunixsocketperm 777\nappendonly yes\n"
        f"user default off\nuser operator on >{password} ~* &* +@all\n"
    )
    name, image = f"erni-test-{secrets.token_hex(4)}-redis", image_of("redis")
    host = client.create_host_config(
        binds={
            str(sockets): {"bind": "/run/redis", "mode": "rw"},
            str(configuration): {"bind": "/etc/erni", "mode": "ro"},
            str(data): {"bind": "/data", "mode": "rw"},
        },
    )
    answers = (
        'REDISCLI_AUTH="$(cat /etc/erni/operator_password)" redis-cli -s /run/redis/redis.sock --user operator ping'
    )
    client.create_container(
        image,
        command=["redis-server", "/etc/erni/redis.conf"],
        name=name,
        user="999:999",
        host_config=host,
        healthcheck={"test": ["CMD-SHELL", f"{answers} | grep -q PONG"]},
    )
    try:
        client.start(name)
        server = redis_snapshot.Server(name.removesuffix("-redis"), image, 999, 999, str(sockets), str(configuration))
        deadline = time.monotonic() + 20
        while not (sockets / "redis.sock").exists():
            assert time.monotonic() < deadline, client.logs(name)
            time.sleep(0.05)
        yield server
    finally:
        client.remove_container(name, force=True, v=True)
