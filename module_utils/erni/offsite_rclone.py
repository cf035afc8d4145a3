"""The target of the off-site copies, by way of rclone: list, send, read back, fetch, remove.

Nothing secret is in rclone's arguments or in a file: its configuration is its environment, and what it wants as a file
it reads from memory that goes with the process. It dies with whoever has started it, or it would go on sending, and
tidying up after itself, while the next run does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .backup_set import MANIFEST, is_set_id
from .errors import PlatformError
from .excerpts import hidden, last_lines, one_line
from .offsite_plan import Held, held
from .offsite_settings import FOLDER, S3, Target, environment_of, files_of, root

QUIET = ("--log-level", "ERROR", "--stats", "0", "--contimeout", "10s")
# Rclone 1.60 does not tire of a bucket that keeps the connection and says nothing: the seconds below end it.
# For what moves no set: somebody may be waiting for the list of those that are here.
ASKING = ("--retries", "1", "--low-level-retries", "2", "--timeout", "10s")
MOVING = ("--retries", "2", "--low-level-retries", "2", "--retries-sleep", "1s", "--timeout", "30s")
ASKING_SECONDS, MOVING_SECONDS = 120.0, 300.0
LEAST_RATE = 500_000.0  # bytes per second; what is slower than that for long is as good as gone
NOT_FOUND = 3  # https://rclone.org/docs/#exit-code
# Nothing else: AWS_CA_BUNDLE alone keeps rclone 1.60 from starting, and other names would change the target.
INHERITED = (
    *("PATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"),
)

_STAMP = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ", re.MULTILINE)
_NOISE = re.compile(r"^\s*(status code: .*|.*ERROR : Attempt .*)$", re.MULTILINE)


@dataclass(frozen=True)
class Remote:
    """An environment's folder at the target."""

    target: Target
    environment: str

    def held(self) -> Held:
        """:raises PlatformError: when the target cannot be asked."""
        listed = self._rclone(
            ("lsjson", "--recursive", "--max-depth", "2", "--files-only", "--no-modtime", "--no-mimetype", self._root),
            or_nothing=self.target.type != S3,  # a bucket has no folders: what is missing there is the bucket
        )
        sizes: dict[str, dict[str, int]] = {}
        for entry in json.loads(listed or "[]"):
            identifier, _, name = entry["Path"].rpartition("/")
            sizes.setdefault(identifier, {})[name] = int(entry["Size"])
        with_manifest = [name for name, files in sizes.items() if is_set_id(name) and MANIFEST in files]
        return held(sizes, self._manifests() if with_manifest else {}, self.environment)

    def _manifests(self) -> dict[str, str]:
        with tempfile.TemporaryDirectory(prefix="erni-offsite-") as folder:
            self._rclone(("copy", "--include", f"/*/{MANIFEST}", self._root, folder))
            found = Path(folder).glob(f"*/{MANIFEST}")
            return {path.parent.name: path.read_text(errors="replace") for path in found if is_set_id(path.parent.name)}

    def send(self, path: str, identifier: str, name: str) -> None:
        """The file, whatever is there under its name."""
        self._rclone(
            ("copyto", "--ignore-times", "--no-traverse", path, self._path(identifier, name)),
            size=os.path.getsize(path),
        )

    def sums(self, identifier: str, name: str, size: int) -> dict[str, str]:
        """SHA-256 of the set's files, or of the one that is named, by reading ``size`` bytes back; '' where none is.

        What a target says of itself (an ETag, say) is not asked: it may be of what was received, not of what is kept.
        """
        told = self._rclone(
            ("hashsum", "sha256", "--download", self._path(identifier, name).rstrip("/")),
            size=size,
            or_nothing=True,
        )
        words = (line.partition("  ") for line in told.splitlines())
        return {path: digest for digest, _, path in words}

    def fetch(self, identifier: str, name: str, path: str, size: int) -> None:
        self._rclone(("copyto", "--ignore-times", self._path(identifier, name), path), size=size)

    def remove_manifest(self, identifier: str) -> None:
        """From then on there is no such set."""
        self._rclone(("deletefile", self._path(identifier, MANIFEST)))

    def remove_files(self, identifier: str) -> None:
        self._rclone(("purge", self._path(identifier)), or_nothing=True)

    @property
    def _root(self) -> str:
        return root(self.target, self.environment)

    def _path(self, identifier: str, name: str = "") -> str:
        return f"{self._root}/{identifier}/{name}"

    def _rclone(self, words: tuple[str, ...], *, size: int | None = None, or_nothing: bool = False) -> str:
        """What it prints; '' where ``or_nothing`` and there is no such file or folder.

        :param size: bytes that it moves; None for what moves no set.
        """
        limits = ASKING if size is None else MOVING
        seconds = ASKING_SECONDS if size is None else MOVING_SECONDS + size / LEAST_RATE
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        with _in_memory(files_of(self.target)) as (paths, descriptors):
            own = {"RCLONE_CONFIG": "/dev/null", **environment_of(self.target, paths)}
            try:
                ended = subprocess.run(
                    ("setpriv", "--pdeathsig", "KILL", "rclone", *QUIET, *limits, *words),
                    env=inherited | own,
                    pass_fds=descriptors,
                    umask=0o077,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=seconds,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise self._failed(f"it was not done after {seconds:.0f} s") from error
        if or_nothing and ended.returncode in (NOT_FOUND, NOT_FOUND + 1):
            return ""
        if ended.returncode:
            raise self._failed(self._said(ended.stderr.decode(errors="replace")))
        return ended.stdout.decode(errors="replace")

    def _said(self, text: str) -> str:
        plain = _NOISE.sub("", _STAMP.sub("", text))
        return hidden(one_line(last_lines(plain, 2)), [self.target.secret]) or "rclone says nothing"

    def _failed(self, why: str) -> PlatformError:
        return PlatformError(f"The off-site target, {self.target.where}, does not do what it is asked", why)


def installed() -> bool:
    return shutil.which("rclone") is not None


def check_host(target: Target, sets_folder: str) -> None:
    """What can be known without asking the target.

    :raises PlatformError: without rclone; or for a folder that is not there, or lies on the disk of the sets, as the
        empty folder does on which a network disk was to be mounted.
    """
    if not installed():
        raise PlatformError("rclone is missing on this host", "", "Run make backup, which installs it.")
    if target.type != FOLDER:
        return
    remedy = "Mount it, or correct backup_offsite."
    if not os.path.isdir(target.path):
        raise PlatformError(f"The off-site target, {target.where}, is not there", "no such folder", remedy)
    beside = next((path for path in (sets_folder, *map(str, Path(sets_folder).parents)) if os.path.isdir(path)), "/")
    if target.mounted and os.stat(target.path).st_dev == os.stat(beside).st_dev:
        why = "it is on the same disk as the sets, and would go with them"
        raise PlatformError(f"The off-site target, {target.where}, is not mounted", why, remedy)


@contextmanager
def _in_memory(contents: Mapping[str, str]) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    """Files without a name on any disk, for a program that inherits their descriptors (memfd_create(2))."""
    opened: dict[str, int] = {}
    try:
        for name, content in contents.items():
            opened[name] = os.memfd_create(name)
            os.write(opened[name], content.encode())
        yield {name: f"/dev/fd/{number}" for name, number in opened.items()}, tuple(opened.values())
    finally:
        for number in opened.values():
            os.close(number)
