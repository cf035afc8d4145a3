"""Errors that an operator reads: sentences that say what, where, why, and what to run next."""

from __future__ import annotations


class PlatformError(Exception):
    """A failure with its remedy. ``str()`` of it is what the operator sees."""

    def __init__(self, what: str, why: str = "", remedy: str = "") -> None:
        self.what, self.why, self.remedy = what, why, remedy
        parts = [what.rstrip(".")]
        if why:
            parts.append(why.rstrip("."))
        super().__init__(": ".join(parts) + "." + (f" {remedy}" if remedy else ""))
