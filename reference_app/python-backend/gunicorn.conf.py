# ruff: noqa: INP001 - gunicorn runs this file by its path; it is in no package
"""gunicorn's settings. The time limits fit those of nginx before it and docker's stop timeout behind it."""

import os
from typing import Any

from erni_backend import logs, multiprocess

bind = "0.0.0.0:8000"
workers = int(os.environ.get("WEB_CONCURRENCY", "4"))
worker_class = "uvicorn_worker.UvicornWorker"

# A worker that has not reported for so long is killed; longer than any answer takes.
timeout = 120
# After SIGTERM requests in flight may take this long: three times the longest answer or stream (ten seconds).
graceful_timeout = 30
# Longer than nginx keeps its idle connections to here (60 s by default), so that it is never nginx that sends a
# request into a connection which is just being closed.
keepalive = 75

# Whose X-Forwarded-For is believed. Without nginx in it, all its users are one client to the rate limits.
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")

# Heartbeats belong into memory: on a read-only root there is nowhere else, and a slow disk would look like a hang.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"  # noqa: S108 - unlinked as soon as opened
# It would want a socket in a home directory, which a read-only root does not have.
control_socket_disable = True

logconfig_dict = logs.dict_config(os.environ)
if os.environ.get("ENABLE_METRICS", "").lower() not in ("true", "1", "yes"):
    os.environ.pop(multiprocess.VARIABLE, None)
_metrics_problem = multiprocess.prepare(os.environ)


def on_starting(server: Any) -> None:
    """Import the libraries once, before the fork: four workers need not each spend a second on it.

    The application itself is imported by each worker, so that a refused configuration ends the worker, as it does in
    the product.
    """
    if _metrics_problem:
        server.log.warning(_metrics_problem)
    import erni_backend.application  # noqa: F401 - imported for the workers, not used here


def child_exit(_server: Any, worker: Any) -> None:
    """Let the gauges forget a worker that has gone."""
    if multiprocess.VARIABLE in os.environ:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
