"""Private keys of age, as the vault keeps them: one a line, the newest first, beside comments.

A set stays readable for as long as one of its recipients' keys is among them, so a rotation adds a key and takes none
away. Only native keys (X25519) are understood here; others may stand beside them, and age itself reads them.
"""

from __future__ import annotations

from .errors import PlatformError

try:
    import pyrage
except ImportError:  # on the control node alone: hosts encrypt with the program
    pyrage = None

MARK = "AGE-SECRET-KEY-1"


def recipients(text: str) -> list[str]:
    """The public keys of those in the text, in their order.

    :raises PlatformError: for a line that begins like a key and is none; it is not shown.
    """
    return [_recipient(line.strip(), number) for number, line in enumerate(text.splitlines(), 1) if MARK in line]


def newest_recipient(text: str) -> list[str]:
    """The public key of the newest, which new sets are encrypted for; none where the text has none."""
    return recipients(text)[:1]


def with_new_key(text: str) -> str:
    """The text with a new key before those that older sets need."""
    return f"{pyrage.x25519.Identity.generate()}\n{text.strip()}".strip() + "\n"


def _recipient(line: str, number: int) -> str:
    try:
        return str(pyrage.x25519.Identity.from_str(line).to_public())
    except pyrage.IdentityError:
        raise PlatformError(
            f"Line {number} of backup_identity is not a private key of age",
            "it begins like one",
            "Correct it with `ansible-vault edit`; age-keygen makes such keys.",
        ) from None
