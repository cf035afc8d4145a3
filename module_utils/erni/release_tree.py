"""The files of one commit in a folder of their own on the control node: the build context of a release."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import PlatformError
from .files import ensure_folder, sync_folder
from .git_mirror import Mirror, repository_from

LAYOUT = ("python-backend/Dockerfile", "ui/Dockerfile")
SCHEMA = "scripts/init_db.sql"
KEPT_TREES = 5
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Source:
    """A commit and the folder that holds its files. ``schema`` is the path of its schema, '' where it has none."""

    commit: str
    folder: str

    @property
    def schema(self) -> str:
        path = os.path.join(self.folder, SCHEMA)
        return path if os.path.isfile(path) else ""


def obtain(repository: str, name: str, folder: str, root: str) -> Source:
    """Have the files of the commit that ``name`` means, exactly and completely.

    :param repository: URL or path (seen from ``root``).
    :param folder: where mirrors and trees are kept; made where it is missing.
    :raises PlatformError: when the repository cannot be read, does not know the name, or is not the product's.
    """
    trees = os.path.join(folder, "trees")
    os.makedirs(folder, 0o700, exist_ok=True)  # two first runs may meet here, before there is a lock to take
    with _alone(folder) as lock:
        ensure_folder(trees, 0o700)
        mirror = Mirror.below(folder, repository_from(repository, root), lock)
        commit = mirror.commit(name)
        tree = os.path.join(trees, commit)
        if not (os.path.isdir(tree) and _is_pristine(mirror, commit, tree)):
            _replace(mirror, commit, tree)
        os.utime(tree)
        for surplus in surplus_trees(trees):
            shutil.rmtree(surplus)
    return Source(commit, tree)


def surplus_trees(trees: str) -> list[str]:
    """What need not stay: all but the trees that were used last, and what killed runs left."""
    entries = [entry for entry in Path(trees).iterdir() if entry.is_dir()]
    whole = [entry for entry in entries if _COMMIT.fullmatch(entry.name)]
    newest = sorted(whole, key=lambda entry: entry.stat().st_mtime_ns, reverse=True)[:KEPT_TREES]
    return [str(entry) for entry in entries if entry not in newest]


@contextmanager
def _alone(folder: str) -> Iterator[int]:
    """Environments are locked one by one, and the sources are everyone's. A waiting run waits for one fetch."""
    descriptor = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _replace(mirror: Mirror, commit: str, tree: str) -> None:
    """Complete and checked in a folder beside it, then renamed."""
    made = tempfile.mkdtemp(dir=os.path.dirname(tree), prefix=".new-")
    try:
        _index(mirror, commit, made, "checkout-index", "--all", "--force")
        _check(mirror, commit, made)
        if os.path.isdir(tree):  # changed by hand, or cut short when the machine went down
            os.rename(tree, tempfile.mkdtemp(dir=os.path.dirname(tree), prefix=".old-"))
        os.rename(made, tree)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)  # the error that is on its way says more
        raise
    sync_folder(os.path.dirname(tree))


def _is_pristine(mirror: Mirror, commit: str, tree: str) -> bool:
    """Whether the folder holds the commit's files, all of them, and none beside."""
    return not _index(mirror, commit, tree, "ls-files", "--modified", "--deleted", "--others").strip()


def _index(mirror: Mirror, commit: str, tree: str, *words: str) -> str:
    """A command on the commit's files. With ``git archive`` the repository's own attributes would leave some out."""
    with tempfile.TemporaryDirectory() as scratch:
        variables = {"GIT_INDEX_FILE": os.path.join(scratch, "index")}
        mirror.git("read-tree", commit, variables=variables)
        return mirror.git(*words, variables=variables, work_tree=tree)


def _check(mirror: Mirror, commit: str, tree: str) -> None:
    which = f"The commit {commit[:12]} of {mirror.repository.shown} cannot be deployed"
    missing = [path for path in LAYOUT if not os.path.isfile(os.path.join(tree, path))]
    if missing:
        raise PlatformError(
            which,
            f"it has no {' and no '.join(missing)}",
            "Correct release_repository, or name a commit that is laid out as the product is.",
        )
    if leaving := _links_that_leave(tree):
        # The build would read what they point at: a file of this machine, not of the commit.
        raise PlatformError(
            which, f"the link {leaving[0]} points outside it", "Replace the link in the repository by a file."
        )


def _links_that_leave(tree: str) -> list[str]:
    inside = os.path.realpath(tree)
    links = [
        os.path.join(folder, name)
        for folder, folders, files in os.walk(tree)
        for name in (*folders, *files)
        if os.path.islink(os.path.join(folder, name))
    ]
    return sorted(
        os.path.relpath(link, tree) for link in links if os.path.commonpath([inside, os.path.realpath(link)]) != inside
    )
