"""What a host remembers of its releases: a manifest for each, and the journal of the transitions between them.

Below the folder of the releases (``root`` throughout), ``<id>/manifest.json`` says what a release is, and is never
changed; ``journal.jsonl`` says what was done with it, and only grows.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any

from .errors import PlatformError
from .files import File, ensure_folder, sync_folder, write_atomically
from .journal import append_record

MANIFEST, JOURNAL = "manifest.json", "journal.jsonl"
# Names that no release has: a record that is still being written, and one that is being removed.
UNFINISHED_PREFIX, REMOVED_PREFIX = ".new-", ".old-"
RELEASE_ID = re.compile(r"[0-9a-f]{12}")
# What a release is. All else in its manifest is the story of how it first came to this host.
CONTENT = ("images", "image_ids", "services", "secrets", "config_digest")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A release as it was recorded. ``images`` are pinned references and ``image_ids`` what they resolved to, both by
    service; ``services`` the mappings without secret values; ``secrets`` fingerprints by service and name."""

    id: str
    created: str
    operator: str
    environment: str
    source: str
    commit: str = ""
    reason: str = ""
    images: dict[str, str]
    image_ids: dict[str, str]
    services: dict[str, dict[str, Any]]
    secrets: dict[str, dict[str, str]]
    config_digest: str
    schema: dict[str, str] = field(default_factory=lambda: {"before": "", "after": ""})
    backup: str = ""


@dataclass(frozen=True)
class JournalEntry:
    """One phase of one transition. ``time`` is UTC with milliseconds, ``seconds`` how long the phase took."""

    time: str
    transition: str
    verb: str
    phase: str
    release: str
    slot: str = ""
    from_release: str = ""
    from_slot: str = ""
    operator: str = ""
    reason: str = ""
    detail: str = ""
    seconds: float = 0.0


def manifest_to_json(manifest: Manifest) -> str:
    return json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n"


def manifest_from_json(text: str) -> Manifest:
    """Names that are not known, as a newer platform may write them, are passed over.

    :raises PlatformError: for text that is no manifest.
    """
    try:
        return Manifest(**_known(Manifest, json.loads(text)))
    except (ValueError, TypeError) as error:
        raise PlatformError("That is no manifest of a release", str(error)) from error


def _known(record: type[Manifest | JournalEntry], data: Any) -> dict[str, Any]:
    """The record's fields out of what a file holds.

    :raises TypeError: when one is missing or of another kind.
    """
    if not isinstance(data, dict):
        raise TypeError("it holds no fields")
    wanted = {f.name: f for f in fields(record)}
    missing = [name for name, f in wanted.items() if f.default is f.default_factory is MISSING and name not in data]
    if missing:
        raise TypeError(f"it lacks {', '.join(missing)}")
    known = {name: value for name, value in data.items() if name in wanted}
    wrong = [name for name, value in known.items() if not isinstance(value, _kind(str(wanted[name].type)))]
    if wrong:
        raise TypeError(f"its {', '.join(wrong)} cannot be read")
    return known


def _kind(annotation: str) -> type | tuple[type, ...]:
    if annotation == "float":
        return (int, float)
    return str if annotation == "str" else dict


def write_manifest(root: str, manifest: Manifest) -> bool:
    """Record the release, by one rename of its folder; whether it was not recorded yet.

    A release that is deployed again keeps the manifest of its first time: who does what and when is the journal's.

    :raises PlatformError: when another content is recorded under the same id.
    """
    _require_id(manifest.id)
    folder = os.path.join(root, manifest.id)
    recorded = _read_if_whole(folder)
    if recorded is not None:
        _require_same(recorded, manifest, folder)
        return False
    _ensure_root(root)
    file = File(os.path.join(folder, MANIFEST), manifest_to_json(manifest), 0o600)
    if os.path.isdir(folder):  # damaged: what is known to be right takes its place, beside logs that may be there
        write_atomically(file)
        return True
    temporary = tempfile.mkdtemp(dir=root, prefix=UNFINISHED_PREFIX)
    try:
        write_atomically(replace(file, path=os.path.join(temporary, MANIFEST)))
        os.rename(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)  # the error that is on its way says more
        raise
    sync_folder(root)
    return True


def _ensure_root(root: str) -> None:
    if not os.path.isdir(root):
        ensure_folder(root, 0o700)
        sync_folder(os.path.dirname(root))


def _require_id(release: str) -> None:
    if not RELEASE_ID.fullmatch(release):
        raise PlatformError(f"'{release}' is no release", "an id has twelve hexadecimal digits")


def _read_if_whole(folder: str) -> Manifest | None:
    try:
        return _read(folder)
    except (PlatformError, FileNotFoundError, NotADirectoryError):
        return None


def _require_same(recorded: Manifest, manifest: Manifest, folder: str) -> None:
    before, after = (json.loads(manifest_to_json(each)) for each in (recorded, manifest))
    different = [name for name in CONTENT if before[name] != after[name]]
    if different:
        raise PlatformError(
            f"Release {manifest.id} is recorded with another content",
            f"its {', '.join(different)} differ, and a release never changes",
            f"Where nothing needs the recorded one any more, remove {folder}, and run again.",
        )


def _read(folder: str) -> Manifest:
    with open(os.path.join(folder, MANIFEST), encoding="utf-8", errors="replace") as handle:
        manifest = manifest_from_json(handle.read())
    if manifest.id != os.path.basename(folder):
        raise PlatformError("That is no manifest of this release", f"it is that of {manifest.id}")
    return manifest


def read_manifests(root: str) -> tuple[dict[str, Manifest], list[str]]:
    """The releases that are recorded, by id, and a sentence for each whose record cannot be read."""
    manifests: dict[str, Manifest] = {}
    damaged: list[str] = []
    for name in filter(RELEASE_ID.fullmatch, _names(root)):
        try:
            manifests[name] = _read(os.path.join(root, name))
        except PlatformError as error:
            damaged.append(_damage(name, error.why))
        except OSError as error:
            damaged.append(_damage(name, str(error.strerror)))
    return manifests, damaged


def _damage(release: str, why: str) -> str:
    return f"The record of release {release} is damaged ({why}); deploying the release again writes it anew."


def remove_manifest(root: str, release: str) -> None:
    """Forget the release. Its folder is renamed first: a record that is half removed is none."""
    _require_id(release)
    dying = os.path.join(root, f"{REMOVED_PREFIX}{release}")
    shutil.rmtree(dying, ignore_errors=True)  # what a killed run left; there may be none
    os.rename(os.path.join(root, release), dying)
    sync_folder(root)
    shutil.rmtree(dying)


def unfinished_records(root: str) -> list[str]:
    """Names of folders of a writing or a removal that was killed in between."""
    return [name for name in _names(root) if name.startswith((UNFINISHED_PREFIX, REMOVED_PREFIX))]


def remove_unfinished(root: str, name: str) -> None:
    if name in unfinished_records(root):
        shutil.rmtree(os.path.join(root, name))


def _names(root: str) -> list[str]:
    return sorted(os.listdir(root)) if os.path.isdir(root) else []


def append_entry(root: str, entry: JournalEntry) -> None:
    """The entry is on the disk when this returns."""
    _ensure_root(root)
    path = os.path.join(root, JOURNAL)
    is_new = not os.path.exists(path)
    append_record(path, asdict(entry), 0o600)
    if is_new:
        sync_folder(root)


def read_journal(root: str) -> list[JournalEntry]:
    """All entries, oldest first. A line that was cut off, by whatever killed its writer, is passed over."""
    try:
        with open(os.path.join(root, JOURNAL), encoding="utf-8", errors="replace") as handle:
            lines = handle.read().split("\n")
    except FileNotFoundError:
        return []
    return [entry for entry in map(_entry, lines) if entry is not None]


def _entry(line: str) -> JournalEntry | None:
    try:
        return JournalEntry(**_known(JournalEntry, json.loads(line)))
    except (ValueError, TypeError):
        return None
