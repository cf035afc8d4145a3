"""Copies of the sets, with a target in memory: in which order things happen, and what an interruption leaves."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from ansible.module_utils.erni import offsite_rclone
from ansible.module_utils.erni.backup_retention import RetentionRules
from ansible.module_utils.erni.backup_set import MANIFEST, Manifest, Part, StoredFile
from ansible.module_utils.erni.backup_store import Store
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.files import digest
from ansible.module_utils.erni.offsite_copies import prune, push
from ansible.module_utils.erni.offsite_plan import Held, Policy, held
from ansible.module_utils.erni.offsite_rclone import Remote
from ansible.module_utils.erni.offsite_settings import Target

FIRST, SECOND = "20260102T120000Z-00aa", "20260103T120000Z-00bb"
CONTENT = {"dump.age": "a dump", "globals.age": "some roles"}
POLICY = Policy(RetentionRules(days=1000))
SECRET = "correct-horse-battery"


class LostError(Exception):
    """The run ends here, as if it were killed."""


@dataclass(frozen=True)
class Shelf(Remote):
    """A target in memory. ``calls`` tells what was asked of it; ``spoils`` so many files when they are sent, and
    ``lasts`` for so many changes."""

    files: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    spoils: list[str] = field(default_factory=list)
    lasts: list[int] = field(default_factory=lambda: [10_000])

    def held(self) -> Held:
        sizes: dict[str, dict[str, int]] = {}
        for path, content in self.files.items():
            identifier, _, name = path.partition("/")
            sizes.setdefault(identifier, {})[name] = len(content)
        texts = {path.partition("/")[0]: text for path, text in self.files.items() if path.endswith(MANIFEST)}
        return held(sizes, texts, self.environment)

    def send(self, path: str, identifier: str, name: str) -> None:
        self._change(f"send {name}")
        content = Path(path).read_text()
        if name in self.spoils:
            self.spoils.remove(name)
            content = content[::-1]
        self.files[f"{identifier}/{name}"] = content

    def sums(self, identifier: str, name: str, size: int) -> dict[str, str]:  # noqa: ARG002 (as the real one)
        self.calls.append(f"read {name or 'all'}")
        prefix = f"{identifier}/{name}"
        return {path.partition("/")[2]: digest(text) for path, text in self.files.items() if path.startswith(prefix)}

    def remove_manifest(self, identifier: str) -> None:
        self._change(f"remove {MANIFEST}")
        del self.files[f"{identifier}/{MANIFEST}"]

    def remove_files(self, identifier: str) -> None:
        self._change("remove files")
        for path in [path for path in self.files if path.startswith(identifier)]:
            del self.files[path]

    def _change(self, call: str) -> None:
        self.lasts[0] -= 1
        if self.lasts[0] < 0:
            raise LostError
        self.calls.append(call)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "erni" / "backups"))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(Target("folder", "/far", reread_days=0), "local")


def make(store: Store, identifier: str = FIRST) -> Manifest:
    files = tuple(StoredFile(name, len(text), digest(text)) for name, text in CONTENT.items())
    began = float(identifier[6:8])
    part = Part("postgres", "one", began, 1.0, files)
    manifest = Manifest(identifier, "local", "erni", began, 1.0, "ada", "", (part,), 2.0, ("age1x",))
    os.makedirs(store.path(identifier))
    for name, text in CONTENT.items():
        Path(store.path(identifier), name).write_text(text)
    Path(store.path(identifier), MANIFEST).write_text(manifest.as_json())
    return manifest


def test_the_manifest_goes_last_and_each_file_is_read_back(store: Store, shelf: Shelf) -> None:
    make(store)
    push(store, shelf, POLICY, False)
    sent = [call for name in (*CONTENT, MANIFEST) for call in (f"send {name}", f"read {name}")]
    assert shelf.calls == sent


def test_a_file_that_did_not_arrive_as_it_was_sent_is_sent_once_more(store: Store, shelf: Shelf) -> None:
    make(store)
    shelf.spoils.append("dump.age")
    push(store, shelf, POLICY, False)
    assert shelf.calls[:4] == ["send dump.age", "read dump.age"] * 2
    assert shelf.files[f"{FIRST}/dump.age"] == CONTENT["dump.age"]


@pytest.mark.parametrize("name", [*CONTENT, MANIFEST])
def test_a_target_that_never_keeps_what_it_gets_is_told_so(store: Store, shelf: Shelf, name: str) -> None:
    make(store)
    shelf.spoils.extend([name] * 9)
    with pytest.raises(PlatformError, match=rf"Set {FIRST} could not be copied off-site: {name} is not what was sent"):
        push(store, shelf, POLICY, False)
    assert shelf.held().manifests == {}
    assert not Path(store.folder).parent.joinpath("metrics").exists(), "that was no success"


def test_only_what_is_missing_is_sent(store: Store, shelf: Shelf) -> None:
    make(store)
    shelf.files[f"{FIRST}/dump.age"] = CONTENT["dump.age"]
    shelf.files[f"{FIRST}/globals.age"] = "some roleS"
    push(store, shelf, POLICY, False)
    assert [call for call in shelf.calls if call.startswith("send")] == ["send globals.age", f"send {MANIFEST}"]


def test_a_damaged_copy_is_no_set_while_it_is_mended(store: Store, shelf: Shelf) -> None:
    make(store)
    push(store, shelf, POLICY, False)
    shelf.files[f"{FIRST}/dump.age"] = "A dump"
    shelf.calls.clear()
    push(store, shelf, POLICY, False)
    changes = [call for call in shelf.calls if not call.startswith("read")]
    assert changes == [f"remove {MANIFEST}", "send dump.age", f"send {MANIFEST}"]


@pytest.mark.parametrize("lasts", range(6))
def test_a_run_that_ends_anywhere_leaves_whole_sets_or_none_and_the_next_one_finishes(
    store: Store, shelf: Shelf, lasts: int
) -> None:
    sets = {FIRST: make(store), SECOND: make(store, SECOND)}
    with pytest.raises(LostError):
        push(store, replace(shelf, lasts=[lasts]), POLICY, False)
    there = shelf.held()
    assert there.broken == []
    assert list(there.manifests) == [[], [SECOND]][lasts // 3]  # the newest goes first
    push(store, shelf, POLICY, False)
    assert shelf.held().manifests == sets
    assert [call for call in shelf.calls if call.startswith("send")].count(f"send {MANIFEST}") == 2


def test_a_set_loses_its_manifest_before_its_files(store: Store, shelf: Shelf) -> None:
    make(store)
    make(store, SECOND)
    push(store, shelf, POLICY, False)
    shelf.calls.clear()
    strict = Policy(RetentionRules(0, 0, 0, 0, 1))
    assert prune(store, shelf, strict, True, 0.0).actions == [f"Set {FIRST} is removed off-site: no rule keeps it."]
    assert shelf.calls == [], "that was a check"
    prune(store, shelf, strict, False, 0.0)
    assert shelf.calls == [f"remove {MANIFEST}", "remove files"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026/01/02 03:04:05 Failed to lsjson: no such host\n", "Failed to lsjson: no such host"),
        ("2026/01/02 03:04:05 ERROR : Attempt 1/3 failed with 1 errors and: x\n", "rclone says nothing"),
        ("AccessDenied\n\tstatus code: 403, request id: 1, host id: 2\n", "AccessDenied"),
        (f"the key {SECRET} is bad", "the key (hidden) is bad"),
        ("", "rclone says nothing"),
    ],
)
def test_what_rclone_says_is_told_without_noise_and_without_the_secret(text: str, said: str) -> None:
    remote = Remote(Target("s3", secret=SECRET), "local")
    assert remote._said(text).replace(offsite_rclone.hidden(SECRET, [SECRET]), "(hidden)") == said
