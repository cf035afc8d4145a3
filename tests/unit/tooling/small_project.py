"""A small project of its own, with the real tools and plugins, for tests that run a verb."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Project:
    """A folder laid out as the repository is; its environments and playbooks are the test's."""

    folder: Path

    def environment(self, name: str, variables: str = "") -> Path:
        folder = self.folder / "inventories" / name
        (folder / "group_vars" / "all").mkdir(parents=True)
        (folder / "group_vars" / "all" / "main.yml").write_text(f"---\n{variables}\n")
        (folder / "hosts").write_text("[backend]\nhere ansible_connection=local\n")
        return folder

    def playbook(self, verb: str, text: str) -> None:
        (self.folder / "playbooks" / f"{verb}.yml").write_text(text)

    def start(self, verb: str, **options: str) -> subprocess.Popen[str]:
        given = {f"ERNI_{name}": value for name, value in options.items()}
        return subprocess.Popen(
            [sys.executable, "tools/run.py", verb],
            cwd=self.folder,
            env={**os.environ, "ERNI_ENV": "demo", **given},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, verb: str, **options: str) -> subprocess.CompletedProcess[str]:
        process = self.start(verb, **options)
        output, errors = process.communicate(timeout=300)  # no bound, only so that a hanging run ends
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    @property
    def journal(self) -> Path:
        return self.folder / ".run" / "journal.jsonl"


def shown_in_terminal(words: list[str], folder: Path, environment: dict[str, str]) -> str:
    """All that a command shows in a terminal of its own, until it ends."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execve(words[0], words, environment)  # noqa: S606 (words, not a shell line)
    shown = b""
    try:
        while block := os.read(terminal, 4096):
            shown += block
    except OSError:  # how Linux says that the other end of a terminal is closed
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    return shown.decode().replace("\r\n", "\n")
