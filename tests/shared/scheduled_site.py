"""A small project whose verbs run by themselves, with a watchdog and a webhook of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
# Tools may be changed by what a test does; the rest is only read.
COPIED, LINKED = ("tools",), ("library", "module_utils", "plugins", "roles", "group_vars")

PLAY = """---
- name: It does its work
  hosts: backend
  gather_facts: false
  tasks:
    - name: It works
      ansible.builtin.shell: >-
        echo {verb} begins >>{trace}; sleep {seconds}; echo {verb} ends >>{trace}; {then}
"""


@dataclass(frozen=True)
class Site:
    """A folder laid out as the repository is, with one environment."""

    folder: Path
    environment: str

    @property
    def trace(self) -> Path:
        """What the verbs did, a line each."""
        return self.folder / "trace"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def metrics(self) -> Path:
        return self.folder / "root" / "metrics"

    def log(self, verb: str) -> str:
        path = self.logs / f"{self.environment}-{verb}.log"
        return path.read_text() if path.exists() else ""

    def verb(self, verb: str, *, then: str = "true", seconds: float = 0) -> None:
        text = PLAY.format(verb=verb, trace=self.trace, seconds=seconds, then=then)
        (self.folder / "playbooks" / f"{verb}.yml").write_text(text)

    def options(self, **options: str) -> dict[str, str]:
        """What make hands on."""
        given = {f"ERNI_{name}": value for name, value in options.items()}
        return {"ERNI_SCHEDULE_LOGS": str(self.logs), "ERNI_SCHEDULE_METRICS": str(self.metrics), **given}

    def environ(self, **options: str) -> dict[str, str]:
        return {**os.environ, **self.options(**options)}

    def start(self, verb: str, **options: str) -> subprocess.Popen[str]:
        """As systemd or cron does."""
        return subprocess.Popen(
            [sys.executable, "tools/scheduled.py", verb, self.environment],
            cwd=self.folder,
            env=self.environ(**options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def make(self, verb: str, **options: str) -> subprocess.CompletedProcess[str]:
        """As an operator does."""
        return subprocess.run(
            [sys.executable, "tools/run.py", verb],
            cwd=self.folder,
            env=self.environ(ENV=self.environment, **options),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


def site(folder: Path, environment: str, secrets: dict[str, str], variables: str = "") -> Site:
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "ansible.cfg", folder)
    (folder / "playbooks").mkdir()
    (folder / "playbooks" / "shared").symlink_to(ROOT / "playbooks" / "shared")
    (folder / "playbooks" / "schedule.yml").symlink_to(ROOT / "playbooks" / "schedule.yml")
    # The Python environment of the tests is good enough, and no bootstrap makes another one.
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / ".venv" / "bin" / "python").chmod(0o755)
    (folder / "tools" / "bootstrap").write_text("#!/bin/sh\nexit 0\n")
    made = Site(folder, environment)
    _environment(made, secrets, variables)
    return made


def _environment(made: Site, secrets: dict[str, str], variables: str) -> None:
    folder = made.folder / "inventories" / made.environment
    (folder / "group_vars" / "all").mkdir(parents=True)
    (folder / "group_vars" / "all" / "00-shared").symlink_to(ROOT / "group_vars" / "all")
    (folder / "group_vars" / "all" / "main.yml").write_text(
        f"---\nerni_env: {made.environment}\nplatform_root: {made.folder}/root\n"
        f"backup_schedule_log_folder: {made.logs}\n"
        f'ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"\n{variables}\n'
    )
    groups = ", ".join(f"{name}: {{hosts: {{localhost: }}}}" for name in ("platform", "backend", "control"))
    (folder / "hosts.yml").write_text(
        f"---\nall:\n  hosts: {{localhost: {{ansible_connection: local}}}}\n  children: {{{groups}}}\n"
    )
    password, vault = folder / ".vault_password", folder / "group_vars" / "all" / "vault.yml"
    password.write_text("correct horse\n")
    password.chmod(0o600)
    vault.write_text("erni_secrets:\n" + "".join(f'  {name}: "{value}"\n' for name, value in secrets.items()))
    subprocess.run(
        [str(BIN / "ansible-vault"), "encrypt", "--vault-password-file", str(password), str(vault)],
        check=True,
        capture_output=True,
    )
