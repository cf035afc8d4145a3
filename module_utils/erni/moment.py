"""Moments as people read them."""

from __future__ import annotations

import time


def told(seconds: float) -> str:
    """:param seconds: since the epoch."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
