"""Errors that an operator reads."""

from __future__ import annotations

from ansible.module_utils.erni.errors import PlatformError

__all__ = ["LockHeldError", "PlatformError"]


class LockHeldError(PlatformError):
    """Another run holds the environment's lock."""
