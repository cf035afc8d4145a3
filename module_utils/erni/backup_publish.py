"""Make a set of its parts: what other hosts gave is compared, all of it encrypted, and published by one rename."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .backup_report import size_of
from .backup_set import ENCRYPTED_SUFFIX, SECRETS, Manifest, Part, StoredFile
from .backup_store import Store
from .errors import PlatformError
from .files import ensure_folder
from .pipeline import Program, measure, pour_file
from .progress import Progress

VAULT_HEADER = b"$ANSIBLE_VAULT;"


@dataclass(frozen=True)
class Made:
    """A part and the folder in which its files are."""

    part: Part
    folder: str


def assemble(
    store: Store, identifier: str, parts: Sequence[Made], recipients: Sequence[str], progress: Progress | None = None
) -> tuple[Part, ...]:
    """The parts' files in the set's own folder, encrypted for the recipients, if there are any.

    :returns: the parts as they are stored now.
    :raises PlatformError: when a file is not what its part says, on its way here or after it was encrypted.
    """
    made, heard = store.made(identifier), progress or Progress()
    shutil.rmtree(made, ignore_errors=True)  # what a killed run left; there may be none
    ensure_folder(made, 0o700)
    return tuple(
        replace(one.part, files=tuple(_take(file, one, made, recipients, heard) for file in one.part.files))
        for one in parts
    )


def _take(file: StoredFile, one: Made, made: str, recipients: Sequence[str], progress: Progress) -> StoredFile:
    source = os.path.join(one.folder, file.name)
    with progress.phase(f"comparing {file.name}", file.size) as tell:
        arrived = measure(source, tell)
    if arrived.sha256 != file.sha256:
        raise PlatformError(
            f"{file.name} of {one.part.host} did not arrive as it was sent",
            "its checksum differs",
            "No set was made, and those there are stay. Run make backup again.",
        )
    if not recipients or one.part.kind == SECRETS:  # a vault file is encrypted already, by another key
        target, programs, doing = file.name, [], "copying"
    else:
        target, programs, doing = file.name + ENCRYPTED_SUFFIX, [encrypt(recipients)], "encrypting"
    with progress.phase(f"{doing} {file.name}", file.size) as tell:
        written = pour_file(source, programs, os.path.join(made, target), tell=tell)
    with progress.phase(f"reading {target} back", written.size) as tell:
        stored = measure(os.path.join(made, target), tell)
    if stored != written:
        raise PlatformError(
            f"{target} cannot be read as it was written",
            "its checksum differs",
            "No set was made, and those there are stay. See to the disk.",
        )
    os.unlink(source)
    return StoredFile(target, written.size, written.sha256)


def encrypt(recipients: Sequence[str]) -> Program:
    """For whoever has the key of one of the recipients (age's public keys)."""
    return Program(("age", "--encrypt", *(word for each in recipients for word in ("--recipient", each))))


def secrets_part(store: Store, identifier: str, host: str, began: float) -> Made:
    """The environment's vault file, which was put into its folder; encrypted as it is.

    :raises PlatformError: when it is not encrypted: it would lie open in every copy of the set.
    """
    folder = store.part(identifier, SECRETS)
    path = os.path.join(folder, "vault.yml")
    if not os.path.exists(path):
        return Made(Part(SECRETS, host, began, 0.0, (), {}), folder)
    with open(path, "rb") as file:
        if not file.read(len(VAULT_HEADER)) == VAULT_HEADER:
            raise PlatformError(
                "The environment's secrets are not encrypted",
                f"{path} does not begin as a vault file does",
                "No set was made. Encrypt the file: ansible-vault encrypt group_vars/all/vault.yml in the inventory.",
            )
    written = measure(path)
    return Made(Part(SECRETS, host, began, 0.0, (StoredFile("vault.yml", written.size, written.sha256),), {}), folder)


def summary(manifest: Manifest) -> str:
    """A line for the operator."""
    kinds = ", ".join(f"{part.kind} {size_of(part.size)}" for part in manifest.parts if part.files)
    secret = f"encrypted for {len(manifest.recipients)}" if manifest.recipients else "not encrypted"
    return f"Set {manifest.id}: {kinds}; {secret}; read whole and compared in {manifest.seconds:.1f} s."
