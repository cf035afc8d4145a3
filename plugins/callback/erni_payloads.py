"""Keeps what is sent to hosts for this project's modules from one run to the next, compiled.

For each module Ansible reads and parses all that it imports, in every run; the host compiles it, at every call. Neither
gives anything new until a file changes. Ansible keeps what it has put together in a folder of the run (the cache of
ansible.executor.module_common): this plugin fills that folder when a run begins, and takes over what is new in it when
the run ends. Where any of it does not work, Ansible goes on as it does without it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import marshal
import os
import shutil
import sys
import zipfile
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.executor import module_common
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__

DOCUMENTATION = """
name: erni_payloads
type: aggregate
short_description: Keeps the payloads of this project's modules between runs
description:
  - What is sent to hosts for a module of C(library/) is put together once, compiled for the Python of the control node,
    and kept in C(.ansible/payloads) for as long as no file of C(library/) and C(module_utils/) changes.
  - A host with another version of Python compiles for itself.
"""

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / ".ansible" / "payloads"
# importlib's format of compiled code (PEP 552): found by its own hash, never compared with its source.
UNCHECKED_HASH = (0b01).to_bytes(4, "little")


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "erni_payloads"

    def __init__(self) -> None:
        super().__init__()
        self._run, self._kept = Path(C.DEFAULT_LOCAL_TMP) / "ansiballz_cache", kept_in()
        with suppress(OSError):
            fill(self._run, self._kept)

    def v2_playbook_on_stats(self, _stats: Any) -> None:
        with suppress(OSError):
            take_over(self._run, self._kept)


def kept_in() -> Path:
    """Where the payloads of the files as they are now belong: another content, or another user, is another folder."""
    digest = hashlib.sha256(f"{__version__} {sys.version} {os.geteuid()}".encode())
    for path in sources():
        digest.update(f"\0{path.relative_to(ROOT)}\0".encode())
        digest.update(path.read_bytes())
    return KEPT / digest.hexdigest()[:16]


def sources() -> Iterator[Path]:
    for folder in ("library", "module_utils"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def fill(run: Path, kept: Path) -> None:
    """What was kept is there before Ansible looks for it."""
    if is_ours(kept):
        run.mkdir(exist_ok=True)
        for payload in kept.glob("*-none"):
            shutil.copyfile(payload, run / payload.name)


def is_ours(kept: Path) -> bool:
    """Ansible unpickles what it finds, so nobody else may have written it."""
    return kept.is_dir() and (kept.stat().st_uid, kept.stat().st_mode & 0o077) == (os.geteuid(), 0)


def take_over(run: Path, kept: Path) -> None:
    """What is new is compiled and kept; what belongs to other contents goes."""
    new = [payload for payload in own(run) if not (kept / payload.name).exists()]
    if not new or kept != kept_in():  # edited meanwhile: nobody knows what each was made of
        return
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_ours(kept):
        return
    for payload in new:
        part = kept / f"{payload.name}.{os.getpid()}"
        shutil.copyfile(payload, part)
        compile_within(part)
        part.rename(kept / payload.name)
    for other in set(KEPT.iterdir()) - {kept}:
        if is_ours(other):
            shutil.rmtree(other, ignore_errors=True)  # another run may remove it, too


def own(run: Path) -> list[Path]:
    """The payloads of this project's modules. Those of others change when their packages do, which nobody says here."""
    modules = {path.stem for path in (ROOT / "library").glob("*.py")}
    payloads = sorted(run.glob("ansible.legacy.*-none"))
    return [path for path in payloads if path.name.removeprefix("ansible.legacy.").split("-")[0] in modules]


def compile_within(payload: Path) -> None:
    """Put compiled code beside each source, which Python's zipimport prefers where it fits the version."""
    cached = module_common._CachedModule.load(str(payload))  # Ansible's own, and pinned with it
    replace(cached, zip_data=b64encode(compiled(b64decode(cached.zip_data)))).dump(str(payload))


def compiled(archive: bytes) -> bytes:
    buffer = io.BytesIO(archive)
    with zipfile.ZipFile(buffer, "a", compression=zipfile.ZIP_DEFLATED) as files:
        for entry in files.infolist():
            if entry.filename.endswith(".py"):
                beside = zipfile.ZipInfo(f"{entry.filename}c", entry.date_time)
                beside.compress_type = zipfile.ZIP_DEFLATED
                files.writestr(beside, as_pyc(files.read(entry), entry.filename))
    return buffer.getvalue()


def as_pyc(source: bytes, name: str) -> bytes:
    code = compile(source, name, "exec", dont_inherit=True)
    return importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + importlib.util.source_hash(source) + marshal.dumps(code)
