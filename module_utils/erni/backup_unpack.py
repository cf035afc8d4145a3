"""How a set's file is packed, what makes plain content of it again, and whether the key at hand opens it."""

from __future__ import annotations

from .backup_set import ENCRYPTED_SUFFIX, Manifest
from .errors import PlatformError
from .pipeline import SECRET_FILE, Program

COMPRESSED_SUFFIX = ".zst"
# Level 2: what level 3 makes of a dump is hardly smaller, and the processor is what a backup waits for.
COMPRESS = Program(("zstd", "--quiet", "--stdout", "-2", "--threads=0"))
EXPAND = Program(("zstd", "--quiet", "--stdout", "--decompress"))


def unpack(name: str, identity: str) -> list[Program]:
    """:param identity: age's private key."""
    programs = []
    if name.endswith(ENCRYPTED_SUFFIX):
        programs.append(Program(("age", "--decrypt", "--identity", SECRET_FILE), secret=identity))
        name = name.removesuffix(ENCRYPTED_SUFFIX)
    if name.endswith(COMPRESSED_SUFFIX):
        programs.append(EXPAND)
    return programs


def require_identity(manifest: Manifest, identity: str) -> None:
    """:raises PlatformError: where the set is encrypted and no key was given."""
    if manifest.recipients and not identity.strip():
        raise PlatformError(
            f"Set {manifest.id} is encrypted",
            f"none of the private keys of {', '.join(manifest.recipients)} is at hand",
            "Give the one that the safe has: IDENTITY=<file>, or backup_identity in the vault.",
        )
