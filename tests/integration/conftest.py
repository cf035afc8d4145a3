"""What these tests need: the project's logic under the names that modules use, the engine, and images to run."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ansible.module_utils
import pytest

ROOT = Path(__file__).resolve().parents[2]

ansible.module_utils.__path__.append(str(ROOT / "module_utils"))
sys.path.insert(0, str(ROOT / "library"))

from ansible.module_utils.erni import engine  # noqa: E402 (its path is set above)
from ansible.module_utils.erni.database_plan import DatabaseSpec  # noqa: E402 (likewise)
from postgres_server import Server, database_of_its_own, running_server  # noqa: E402 (likewise)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)


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
