"""A bare mirror of the product's repository on the control node, which git fetches and names commits from.

What logs in to the repository reaches git through its environment: as part of the URL it would stand in the process
list (``git remote-https`` has it as an argument) and in the mirror's configuration.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from .errors import PlatformError
from .files import digest
from .release_source import without_user

FETCH_SECONDS, LOCAL_SECONDS, GOODBYE_SECONDS = 600, 120, 5
EXCERPT_LINES = 3
HIDDEN = "(secret)"
REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
# The first, empty value leaves the operator's own helpers out: they would store what only this run is to know.
LOGIN_HELPER = (
    "",
    '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$ERNI_GIT_USERNAME" "$ERNI_GIT_PASSWORD"; }; f',
)
# A hook or an editor that runs make has pointed these at its own repository.
FOREIGN = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_NAMESPACE"}
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ABBREVIATED = re.compile(r"[0-9a-f]{7,40}")


@dataclass(frozen=True)
class Repository:
    """Where the repository is, and apart from that what logs in to it."""

    address: str
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        return without_user(self.address)

    def hide(self, text: str) -> str:
        """git repeats addresses, and servers repeat what they were sent."""
        secret = self.password or self.username  # a token alone stands where the name does
        return without_user(text.replace(secret, HIDDEN) if secret else text)


def repository_from(value: str, root: str) -> Repository:
    """The repository of the variable ``release_repository``: a URL, ``host:path``, or a path seen from ``root``."""
    value = value.strip()
    folder = os.path.normpath(os.path.join(root, os.path.expanduser(value)))
    if "://" not in value:
        return Repository(folder if os.path.isdir(folder) else value)
    try:
        parts = urlsplit(value)
        _ = parts.port  # where a password holds a slash, its beginning is taken for the port
    except ValueError:
        raise PlatformError(
            "release_repository is no valid URL", "", "Percent-encode what its user and password cannot hold."
        ) from None
    user, _, server = parts.netloc.rpartition("@")
    username, _, password = (unquote(part) for part in user.partition(":"))
    if parts.scheme in ("http", "https"):
        return Repository(urlunsplit(parts._replace(netloc=server)), username, password)
    login = f"{user.partition(':')[0]}@" if user else ""  # ssh logs in with a key; the name belongs to the address
    return Repository(urlunsplit(parts._replace(netloc=f"{login}{server}")))


@dataclass(frozen=True)
class Mirror:
    """The mirror of one repository. Whoever uses it holds the lock whose descriptor is ``lock``."""

    repository: Repository
    path: str
    lock: int

    @classmethod
    def below(cls, folder: str, repository: Repository, lock: int) -> Mirror:
        return cls(repository, os.path.join(folder, f"{digest(repository.address)[:12]}.git"), lock)

    def commit(self, name: str) -> str:
        """The commit (40 digits) that a branch, a tag or a commit names now.

        :raises PlatformError: when the repository cannot be read, or knows no such name, or two of it.
        """
        self.git("init", "--quiet", "--bare", "--template=")
        if _COMMIT.fullmatch(name) and self._is_commit(name):
            return name  # it means the same for ever, so the network is not needed
        self._fetch(*REFSPECS)
        found = self._named(name)
        if found is None and _COMMIT.fullmatch(name) and self._fetch(name, unasked=True):
            found = name if self._is_commit(name) else None  # one that no branch or tag has, such as a proposal's
        if found is None:
            raise PlatformError(
                f"There is no branch, tag or commit '{name}' to deploy",
                f"{self.repository.shown} was asked just now",
                "Push it there, or correct RELEASE.",
            )
        return found

    def git(self, *words: str, variables: Mapping[str, str] | None = None, work_tree: str = "") -> str:
        """What git prints.

        :raises PlatformError: with git's own words when it fails.
        """
        code, output, errors = self._ask(*words, variables=variables, work_tree=work_tree)
        if code:
            raise PlatformError(f"git {words[0]} failed in {self.path}", errors, "Correct the cause, and run again.")
        return output

    def _named(self, name: str) -> str | None:
        """References first, as everywhere in git; a branch and a tag of one name must not decide by accident."""
        references = [name] if name.startswith("refs/") else [f"refs/tags/{name}", f"refs/heads/{name}"]
        commits = [commit for reference in references if (commit := self._parsed(reference))]
        if len(set(commits)) > 1:
            raise PlatformError(
                f"'{name}' is both a tag and a branch",
                f"they name {commits[0][:12]} and {commits[1][:12]}",
                f"Write RELEASE=refs/tags/{name} or RELEASE=refs/heads/{name}.",
            )
        if commits:
            return commits[0]
        return self._parsed(name) if _ABBREVIATED.fullmatch(name) else None

    def _parsed(self, name: str) -> str | None:
        code, output, _ = self._ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return output.strip() if code == 0 else None

    def _is_commit(self, name: str) -> bool:
        return self._parsed(name) == name

    def _fetch(self, *references: str, unasked: bool = False) -> bool:
        """Whether it worked; a failure is raised but where nobody has asked for it (``unasked``)."""
        self._drop_stale_locks()
        words = ("fetch", "--quiet", "--force", "--no-tags", "--no-write-fetch-head")
        prune = () if unasked else ("--prune",)
        code, _, errors = self._ask(*words, *prune, "origin", *references, seconds=FETCH_SECONDS)
        if code and not unasked:
            raise PlatformError(
                f"The repository {self.repository.shown} cannot be read",
                errors,
                "Check release_repository, that it is reached from here, and the key or the login that it wants.",
            )
        return code == 0

    def _drop_stale_locks(self) -> None:
        """A git that was killed leaves them. This run's lock is held, so none of them has an owner."""
        for path in Path(self.path).rglob("*.lock"):
            path.unlink(missing_ok=True)

    def _ask(
        self,
        *words: str,
        variables: Mapping[str, str] | None = None,
        work_tree: str = "",
        seconds: int = LOCAL_SECONDS,
    ) -> tuple[int, str, str]:
        """Exit code, output, and the last lines of what it complains about, without secrets."""
        where = [f"--git-dir={self.path}"] + ([f"--work-tree={work_tree}"] if work_tree else [])
        command = ["git", *where, *words]
        code, output, errors = _run(command, self._environment(variables or {}), seconds, self.lock)
        lines = [line for line in errors.splitlines() if line.strip()][-EXCERPT_LINES:]
        return code, output, self.repository.hide("; ".join(lines))

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        settings = [("remote.origin.url", self.repository.address), ("gc.autoDetach", "false")]
        if self.repository.username or self.repository.password:
            settings += [("credential.helper", value) for value in LOGIN_HELPER]
        kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        before = int(kept.get("GIT_CONFIG_COUNT") or 0)
        for number, (name, value) in enumerate(settings, before):
            kept |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        return kept | {
            "GIT_CONFIG_COUNT": str(before + len(settings)),
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
            "ERNI_GIT_USERNAME": self.repository.username,
            "ERNI_GIT_PASSWORD": self.repository.password,
            **variables,
        }


def _run(command: list[str], environment: dict[str, str], seconds: int, lock: int) -> tuple[int, str, str]:
    """A session of its own has no terminal, so that nothing waits for a password that nobody types."""
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=(lock,),  # a git that outlives this process keeps the lock, too
        )
    except FileNotFoundError:
        raise PlatformError(
            "git is not installed here", "a release is built from a repository", "Install git."
        ) from None
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        return 124, "", f"it did not end within {seconds} s"
    except BaseException:
        _end(process)
        raise
    return process.returncode, output, errors


def _end(process: subprocess.Popen[str]) -> None:
    """Asked first: git then takes its lock files along."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=GOODBYE_SECONDS)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        process.kill()
        process.communicate()
