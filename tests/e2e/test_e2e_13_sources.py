"""A release comes from a Git repository: it is built from the commit alone, and a build that fails touches nothing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import e2e_web
import pytest
from e2e_platform import IMAGE_PREFIX, ROOT, Platform

GIT = ("git", "-c", "user.name=alice", "-c", "user.email=alice@example.org", "-c", "init.defaultBranch=main")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The product's layout, with the reference application in it, and a tag."""
    folder = tmp_path_factory.mktemp("product")
    for part in ("python-backend", "ui", "scripts"):
        skipped = shutil.ignore_patterns("node_modules", ".next", "__pycache__")
        shutil.copytree(ROOT / "reference_app" / part, folder / part, ignore=skipped)
    git(folder, "init", "--quiet")
    commit(folder, "v1")
    git(folder, "tag", "v1")
    yield folder
    shutil.rmtree(folder)


def git(folder: Path, *words: str) -> str:
    return subprocess.check_output([*GIT, "-C", str(folder), *words], text=True).strip()


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def deploy(platform: Platform, repository: Path, release: str, **args: Any) -> Any:
    return platform.make("deploy", release=release, args={"release_repository": str(repository), **args})


def test_a_release_is_built_from_a_commit_and_its_images_are_known_by_it(running: Platform, repository: Path) -> None:
    (repository / "python-backend" / "Dockerfile").open("a").write('LABEL from="repository"\n')
    head = commit(repository, "a label")
    (repository / "python-backend" / "Dockerfile").open("a").write("RUN exit 1 # not committed, so no part of it\n")

    deploy(running, repository, "main").succeeded()

    git(repository, "checkout", "--quiet", ".")
    assert running.container("backend").labels["from"] == "repository"
    tags = running.engine.images.get(running.container("backend").attrs["Image"]).tags
    assert f"erni/backend:{head[:12]}" in tags
    assert f"{IMAGE_PREFIX}/backend:latest" in tags
    assert head[:7] in running.make("releases").succeeded().output
    assert e2e_web.chat("What does a timber extension cost?")["response"]


def test_a_build_that_fails_touches_nothing(running: Platform, repository: Path) -> None:
    serving = running.serving()
    (repository / "python-backend" / "Dockerfile").open("a").write("RUN echo the roof leaks; exit 1\n")
    broken = commit(repository, "broken")

    run = deploy(running, repository, broken)

    git(repository, "reset", "--quiet", "--hard", "HEAD^")
    run.refused("the roof leaks")
    assert running.serving() == serving


def test_a_name_that_the_repository_does_not_have_is_refused(running: Platform, repository: Path) -> None:
    deploy(running, repository, "no-such-branch").refused("no-such-branch")


def test_without_a_repository_a_name_is_refused(running: Platform) -> None:
    running.make("deploy", release="v1").refused("release_repository")
