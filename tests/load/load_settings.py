"""What the load consists of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

# Shares of the requests that are sent on schedule. Slow ones and streams are few and yet always under way: at 300
# requests a second three of each begin every second and last for many. Pages are few, too: each costs the frontend ten
# times what a fast request costs the backend, and the machine has to carry a release more while one is switched.
MIXTURE: Mapping[str, float] = {
    "health": 0.56,  # GET /health on a kept connection: the backend
    "page": 0.04,  # GET / likewise: the frontend
    "fresh": 0.08,  # GET /health on a connection of its own
    "post": 0.22,  # POST /api/chat, answered at once
    "slow": 0.01,  # POST /api/chat, answered after seconds
    "stream": 0.01,  # POST /api/chat/stream
    "asset": 0.08,  # a file of a page that was read earlier, perhaps from another release
}
# Not on schedule: connections that wait for seconds between requests, as a reader's browser does.
IDLE = "idle"
# Not requests: what happens to a connection while none is under way.
CONNECTION = "connection"
# An answer to these can arrive while nothing else is answered any more: they say nothing about an outage.
LONG = ("slow", "stream")


@dataclass(frozen=True)
class Settings:
    """``authority`` is a PEM file with the certificates to trust; times in seconds, ranges from and to."""

    port: int
    authority: str
    address: str = "127.0.0.1"
    hostname: str = "localhost"
    rate: float = 300.0
    mixture: Mapping[str, float] = field(default_factory=lambda: dict(MIXTURE))
    idle_connections: int = 60
    idle_pause: tuple[float, float] = (2.0, 20.0)
    slow_seconds: float = 5.0
    stream_seconds: tuple[float, float] = (1.0, 10.0)
    page_every: float = 10.0
    timeout: float = 10.0  # beyond what the request asks the server to take
    # Beyond them a request counts as failed without being sent. Where the engine publishes a port on the loopback
    # interface through docker-proxy, that takes six descriptors a connection and ends for good when they run out.
    most_under_way: int = 1000

    def __post_init__(self) -> None:
        unknown = set(self.mixture) - set(MIXTURE)
        if unknown:
            raise ValueError(f"There is no kind of request called {', '.join(sorted(unknown))}.")
        if self.scheduled_rate <= 0 or sum(self.mixture.values()) <= 0:
            raise ValueError("Nothing is left to be sent on schedule: raise the rate or the shares of the mixture.")

    @property
    def scheduled_rate(self) -> float:
        """Requests a second without those of the idle connections, which come on top."""
        return self.rate - self.idle_connections / (sum(self.idle_pause) / 2)

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, **given: Any) -> Settings:
        """Settings from a JSON object and, before it, what is given."""
        told: dict[str, Any] = json.loads(text) | given
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
        return cls(**values)
