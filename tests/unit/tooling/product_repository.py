"""A repository laid out as the product is, for tests that deploy from one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

NOBODY = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
AUTHOR = {f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


class Product:
    """A repository laid out as the product is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.write("python-backend/Dockerfile", "FROM python:3.11-slim\n")
        self.write("ui/Dockerfile", "FROM node:20-alpine\n")
        self.write("scripts/init_db.sql", "select 1;\n")
        self.first = self.commit()

    def git(self, *words: str) -> str:
        command = ["git", "-C", str(self.folder), *words]
        environment = {**os.environ, **NOBODY, **AUTHOR}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def commit(self) -> str:
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a change")
        return self.git("rev-parse", "HEAD")


def trees(sources: Path) -> list[str]:
    return sorted(path.name for path in (sources / "trees").iterdir())
