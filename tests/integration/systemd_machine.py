"""A machine whose first process is systemd, for what only fires there."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scheduled_site import Site

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0


class Machine:
    """One with systemd as its first process, in a container; it sees the test's folders where the test does."""

    def __init__(self, client: Any, image: str, folder: Path) -> None:
        self._client = client
        self.name = f"erni-test-systemd-{secrets.token_hex(4)}"
        read_only = {str(ROOT), sys.prefix, *({sys.base_prefix} - {"/usr"})}
        binds = {path: {"bind": path, "mode": "ro"} for path in read_only}
        binds |= {"/sys/fs/cgroup": {"bind": "/sys/fs/cgroup", "mode": "rw"}}
        binds |= {str(folder): {"bind": str(folder), "mode": "rw"}}
        host = client.create_host_config(
            binds=binds,
            cap_add=["ALL"],
            cap_drop=["SYS_RESOURCE"],
            security_opt=["seccomp=unconfined"],
            tmpfs={"/run": "exec", "/run/lock": ""},
            network_mode="host",  # the watchdog that it calls is on this machine's loopback
        )
        labels = {"ch.erni.test": "1"}
        # It tells systemd that what it cannot mount here is no failure (systemd's Container Interface).
        environment = {"container": "docker"}
        client.create_container(image, name=self.name, environment=environment, host_config=host, labels=labels)

    def run(self, *words: str, folder: str = "/", environment: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Its exit code and what it printed."""
        variables = dict(environment or {})
        made = self._client.exec_create(self.name, list(words), workdir=folder, environment=variables)["Id"]
        output = self._client.exec_start(made).decode()
        return int(self._client.exec_inspect(made)["ExitCode"]), output

    def make(self, demo: Site, verb: str, **options: str) -> str:
        """As an operator does on that machine."""
        environment = demo.options(ENV=demo.environment, **options)
        words = (sys.executable, "tools/run.py", verb)
        code, output = self.run(*words, folder=str(demo.folder), environment=environment)
        assert code == 0, output
        return output

    def start(self) -> None:
        self._client.start(self.name)
        deadline = time.monotonic() + START_SECONDS
        while (state := self.run("systemctl", "is-system-running")[1].strip()) != "running":
            assert time.monotonic() < deadline, f"systemd says '{state}' {START_SECONDS:g} s after its start"
            time.sleep(0.1)

    def remove(self) -> None:
        self._client.remove_container(self.name, force=True, v=True)
