"""gunicorn's settings and the image's instructions, which the platform's time limits and mounts rest on."""

from __future__ import annotations

import json
import re
import runpy
from typing import Any

import pytest
from erni_backend.rules import LONGEST_WAIT_SECONDS
from reference_environment import BACKEND

NGINX_UPSTREAM_IDLE_SECONDS = 1


def server_settings(monkeypatch: pytest.MonkeyPatch, **environ: str) -> dict[str, Any]:
    for name in ("WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "PROMETHEUS_MULTIPROC_DIR", "ENABLE_METRICS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(BACKEND / "gunicorn.conf.py"))


def test_requests_in_flight_outlive_a_stop_and_idle_connections_outlive_nginx(monkeypatch: pytest.MonkeyPatch) -> None:
    server = server_settings(monkeypatch)
    assert LONGEST_WAIT_SECONDS < server["graceful_timeout"] < server["timeout"]
    assert server["keepalive"] > NGINX_UPSTREAM_IDLE_SECONDS


def test_workers_and_trusted_proxies_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    server = server_settings(monkeypatch)
    assert (server["workers"], server["forwarded_allow_ips"]) == (4, "127.0.0.1")
    server = server_settings(monkeypatch, WEB_CONCURRENCY="2", FORWARDED_ALLOW_IPS="172.20.0.0/16")
    assert (server["workers"], server["forwarded_allow_ips"]) == (2, "172.20.0.0/16")


def test_gunicorn_is_the_first_process_and_hears_sigterm() -> None:
    command = re.findall(r"^CMD (.*)$", (BACKEND / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)[-1]
    assert json.loads(command)[0] == "gunicorn"


def test_every_locked_package_has_hashes() -> None:
    lock = (BACKEND / "requirements.txt").read_text(encoding="utf-8")
    packages = re.split(r"^(?=\w)", lock, flags=re.MULTILINE)[1:]
    assert packages
    assert all("==" in package and "--hash=sha256:" in package for package in packages)
