"""Rate limits as fixed windows: which counters a request touches, and what their values mean.

The counting itself is one of two stores: Redis, which all workers share (`cache.py`), or this process's memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from erni_backend.settings import Settings


@dataclass(frozen=True)
class Window:
    """One counter of one client: `allowed` requests until `ends_at` (Unix time)."""

    key: str
    name: str
    allowed: int
    seconds: int
    ends_at: int


def windows(settings: Settings, client: str, now: float) -> list[Window]:
    """The minute, the hour and the day that a request of `client` falls into."""
    limits = (
        ("minute", 60, settings.rate_limit_per_minute),
        ("hour", 3_600, settings.rate_limit_per_hour),
        ("day", 86_400, settings.rate_limit_per_day),
    )
    return [_window(client, name, seconds, allowed, now) for name, seconds, allowed in limits]


def exhausted(counted: list[tuple[Window, int]]) -> Window | None:
    """The window that refuses the request, if one does; of several, the one that opens again last."""
    full = [window for window, count in counted if count > window.allowed]
    return max(full, key=lambda window: window.ends_at, default=None)


class MemoryCounter:
    """Counts in this process: what remains when Redis does not answer. Each worker then counts for itself."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, int]] = {}
        self._next_sweep = 0.0

    def count(self, touched: list[Window], now: float) -> list[int]:
        """Add one request to each window and return the new counts."""
        self._forget_past_windows(now)
        return [self._increment(window) for window in touched]

    def _increment(self, window: Window) -> int:
        count = self._counts.get(window.key, (0, 0))[0] + 1
        self._counts[window.key] = (count, window.ends_at)
        return count

    def _forget_past_windows(self, now: float) -> None:
        if now < self._next_sweep:
            return
        self._counts = {key: value for key, value in self._counts.items() if value[1] > now}
        self._next_sweep = now + 60


def _window(client: str, name: str, seconds: int, allowed: int, now: float) -> Window:
    bucket = int(now) // seconds
    return Window(f"ratelimit:chat:{name}:{client}:{bucket}", name, allowed, seconds, (bucket + 1) * seconds)
