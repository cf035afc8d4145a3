"""One platform for all tests of this folder: files run in the order of their numbers and share it."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import e2e_releases
import e2e_secrets
import e2e_web
import pytest
from e2e_backups import recipients
from e2e_platform import ENV, NAME, ROOT, SCRATCH, Platform
from e2e_releases import Releases
from e2e_secrets import BringUp

LOCK_FOLDER = Path("/run/lock")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what the containers said last: an answer of 500 alone tells nobody why."""
    report = yield
    platform = getattr(item, "funcargs", {}).get("platform")
    if report.failed and platform:
        report.sections += [(f"Last words of {name}", said) for name, said in platform.last_words().items()]
    return report


@contextmanager
def only_session() -> Iterator[None]:
    """Two sessions with one environment would sweep each other's platform away."""
    path = LOCK_FOLDER / f"{NAME}-session.lock"
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.exit(
                f"Another session of these tests has the environment {ENV} of this machine; wait until it ends.",
                2,
            )
        yield


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The environment, with nothing brought up yet."""
    with only_session():
        prepared = Platform(tmp_path_factory.mktemp("inventories"))
        prepared.sweep()
        try:
            with prepared.images_named():
                yield prepared
        finally:
            prepared.sweep()
            for path in (*LOCK_FOLDER.glob(f"erni-{ENV}*.lock"), LOCK_FOLDER / f"erni-host-{NAME}.lock"):
                path.unlink(missing_ok=True)
            SCRATCH.rmdir()


@pytest.fixture(scope="session")
def first_bring_up(platform: Platform) -> BringUp:
    """Nothing becomes a platform, and all that it shows is kept."""
    platform.sweep()
    return e2e_secrets.watched_bring_up(platform)


@pytest.fixture
def running(platform: Platform) -> Platform:
    """The platform up and well, whatever the test before has left."""
    if not platform.is_well():
        platform.up()
    return platform


@pytest.fixture(scope="module")
def releases(platform: Platform) -> Iterator[Releases]:
    if not platform.is_well():
        platform.up()
    with e2e_releases.built(platform) as made:
        yield made


@pytest.fixture
def nothing(platform: Platform) -> Platform:
    """Not a trace of the platform, data included."""
    if platform.containers():
        platform.make("destroy", confirm=ENV, volumes=1).succeeded()
    platform.sweep()
    return platform


@pytest.fixture
def conversation(running: Platform) -> str:
    """A conversation in the database: two messages that must survive whatever the test does."""
    told = str(e2e_web.chat("What does a timber extension cost?")["conversation_id"])
    assert running.messages_of(told) == 2
    return told


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key, as the safe has it."""
    path = tmp_path_factory.mktemp("safe") / "identity"
    subprocess.run(["age-keygen", "-o", str(path)], check=True, capture_output=True)
    return path


@pytest.fixture
def encrypted(running: Platform, identity: Path) -> Platform:
    """The environment makes its sets for that key alone."""
    running.write_environment(ENV, {"backup_recipients": recipients(identity)})
    return running


@pytest.fixture(scope="session")
def artefacts() -> Path:
    folder = ROOT / "tests" / "artefacts"
    folder.mkdir(exist_ok=True)
    return folder
