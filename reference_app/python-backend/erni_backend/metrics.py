"""The contract's metrics, by name, and their exposition for one or several workers."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from erni_backend.multiprocess import VARIABLE

disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, registry=REGISTRY)


HTTP_REQUESTS = _counter("http_requests_total", "Requests answered, by status group.", "method", "handler", "status")
HTTP_DURATION = Histogram(
    "http_request_duration_seconds",
    "Time from a request's arrival to the end of its answer.",
    ("method", "handler"),
    buckets=_BUCKETS,
    registry=REGISTRY,
)
AGENT_EXECUTIONS = _counter("agent_executions_total", "Answers given by an agent.", "agent_name", "status")
AGENT_HANDOFFS = _counter("agent_handoffs_total", "Handovers between agents.", "from_agent", "to_agent")
TOOL_EXECUTIONS = _counter("tool_executions_total", "Data files consulted for an answer.")
GUARDRAIL_CHECKS = _counter("guardrail_checks_total", "Messages judged by a guardrail.", "guardrail_name", "result")
GUARDRAIL_CACHE_HITS = _counter("guardrail_cache_hits_total", "Judgements found in Redis.")
GUARDRAIL_CACHE_MISSES = _counter("guardrail_cache_misses_total", "Judgements not found in Redis.")
AUTHENTICATION_ATTEMPTS = _counter(
    "authentication_attempts_total", "Passwords and tokens that were checked.", "method", "result"
)
ACTIVE_SESSIONS = Gauge(
    "active_sessions", "Chats being answered right now.", registry=REGISTRY, multiprocess_mode="livesum"
)
CONVERSATIONS = _counter("conversations_total", "Conversations begun.")
MESSAGES = _counter("messages_total", "Messages applied, a user's and an agent's counting one each.")


def exposition() -> bytes:
    """All metrics in Prometheus' text format: of every worker if they share a folder, else of this one."""
    if VARIABLE not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
