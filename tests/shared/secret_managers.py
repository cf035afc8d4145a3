"""Secret managers for tests, on loopback: OpenBao, which answers as HashiCorp Vault does, and moto's server of AWS."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import key_vault_model
from offsite_targets import free_port

PROGRAMS = Path(sys.executable).parent
READY_SECONDS = 20.0


@dataclass(frozen=True)
class Manager:
    """A server with nothing in it: how an inventory names it, and what its client needs to be let in."""

    settings: dict[str, Any]
    environment: dict[str, str]

    def let_in(self, monkeypatch: Any) -> None:
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)


@contextmanager
def openbao(folder: Path) -> Iterator[Manager]:
    """Its development mode: in memory, unsealed, the KV engine of version 2 at ``secret``."""
    token, url = secrets.token_hex(12), f"http://127.0.0.1:{(port := free_port())}"
    words = [str(PROGRAMS / "bao"), "server", "-dev", f"-dev-listen-address=127.0.0.1:{port}", "-dev-no-store-token"]
    with _served(words, f"{url}/v1/sys/health", {"BAO_DEV_ROOT_TOKEN_ID": token, "HOME": str(folder)}):
        yield Manager({"type": "hashicorp_vault", "url": url, "path": "erni/demo"}, {"VAULT_TOKEN": token})


@contextmanager
def aws(folder: Path) -> Iterator[Manager]:
    """moto checks no signature: what a test shows is the protocol and the stages, not who is let in."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    with _served([str(PROGRAMS / "moto_server"), "-p", str(port)], f"{url}/moto-api/", {"HOME": str(folder)}):
        yield Manager(
            {"type": "aws_secrets_manager", "region": "eu-central-1", "secret": "erni/demo", "endpoint": url},
            {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "tester", "AWS_EC2_METADATA_DISABLED": "true"},
        )


@contextmanager
def azure(folder: Path) -> Iterator[Manager]:
    """A model of the service, since nobody packages a server of it."""
    with key_vault_model.served(folder) as (url, environment):
        yield Manager({"type": "azure_key_vault", "url": url, "secret": "erni-demo"}, environment)


SERVERS: Mapping[str, Callable[[Path], Any]] = {
    "hashicorp_vault": openbao,
    "aws_secrets_manager": aws,
    "azure_key_vault": azure,
}


@contextmanager
def _served(words: list[str], health: str, environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        words, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(health, process)
        yield
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            opener.open(url, timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.1)
