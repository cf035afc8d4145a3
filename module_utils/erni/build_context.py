"""Build contexts on the control node: which files belong, their digest, and the archive that the engine reads."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator

from docker.utils.build import exclude_paths

from .errors import PlatformError

BUNDLE_NAME = "trusted-ca.crt"


def read_bundle(path: str) -> bytes:
    """The certificates of a bundle, or of all ``*.crt`` files of a folder, one after the other."""
    if not os.path.isdir(path):
        with open(path, "rb") as handle:
            return handle.read()
    certificates = []
    for name in sorted(name for name in os.listdir(path) if name.endswith(".crt")):
        with open(os.path.join(path, name), "rb") as handle:
            certificates.append(handle.read().rstrip() + b"\n")
    return b"".join(certificates)


def context_files(root: str) -> list[str]:
    """Relative paths of the files of a context, ``.dockerignore`` honoured, sorted."""
    dockerfile = os.path.join(root, "Dockerfile")
    if not os.path.isfile(dockerfile):
        raise PlatformError(f"{dockerfile} does not exist", "an image's context needs one", "Check platform_images.")
    ignore = os.path.join(root, ".dockerignore")
    patterns: list[str] = []
    if os.path.isfile(ignore):
        with open(ignore, encoding="utf-8") as handle:
            patterns = [line.strip() for line in handle if line.strip() and not line.startswith("#")]
    paths = exclude_paths(root, patterns)
    return sorted(path for path in paths if os.path.isfile(os.path.join(root, path)))


def digest_of(root: str) -> str:
    """SHA-256 over names, executable bits and contents; times and owners do not count."""
    fingerprint = hashlib.sha256()
    for path, executable, content in _entries(root):
        fingerprint.update(f"{path}\0{executable}\0{len(content)}\0".encode())
        fingerprint.update(content)
    return fingerprint.hexdigest()


def archive(root: str, bundle: bytes | None) -> bytes:
    """The context as a tar archive with fixed times and owners, so that the engine's layer cache can hit.

    :param bundle: certificates put beside the files as ``trusted-ca.crt``; None leaves it out.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, executable, content in _entries(root):
            _add(tar, path, content, 0o755 if executable else 0o644)
        if bundle is not None:
            _add(tar, BUNDLE_NAME, bundle, 0o644)
    return buffer.getvalue()


def _entries(root: str) -> Iterator[tuple[str, bool, bytes]]:
    for path in context_files(root):
        full = os.path.join(root, path)
        with open(full, "rb") as handle:
            yield path, os.access(full, os.X_OK) and bool(os.stat(full).st_mode & 0o111), handle.read()


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(content), mode, 0
    tar.addfile(entry, io.BytesIO(content))
