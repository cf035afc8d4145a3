"""The runbook's docker-compose, for the backend of a platform that runs: one container, replaced in place.

The compose file is written from what the engine says of the platform's own container, which it is configured like.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import docker
import yaml
from platform_copy import NAME, clean_environment, timed


class Compose:
    """The backend as a compose project in ``folder``; its container is gone when the block ends."""

    def __init__(self, folder: Path, image: str) -> None:
        self._client = docker.APIClient(version="auto")
        self._folder = folder
        self._inspected = self._client.inspect_container(f"{NAME}-backend")
        self._file = folder / "docker-compose.yml"
        self._content = compose_file(self._inspected, folder, image)
        self._write()

    def __enter__(self) -> Self:
        # What waits in the other slot would answer in place of the one that is replaced.
        for name in (f"{NAME}-backend{suffix}" for suffix in ("", "-blue", "-green")):
            if self._client.containers(all=True, filters={"name": f"^/{name}$"}):
                self._client.remove_container(name, force=True)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._client.remove_container(f"{NAME}-backend", force=True)

    def dockerfile(self, line: str = "") -> None:
        """What is built: the image that served, and a line more."""
        (self._folder / "Dockerfile").write_text(f"FROM {self._inspected['Config']['Image']}\n{line}\n")

    def environment(self) -> dict[str, str]:
        """Of the container that served."""
        return dict(entry.split("=", 1) for entry in self._inspected["Config"]["Env"])

    def edit(self, variables: dict[str, str]) -> None:
        """As somebody edits ``.env``."""
        wanted = self.environment() | variables
        service = self._content["services"]["backend"]
        service["environment"] = [f"{name}={value}".replace("$", "$$") for name, value in wanted.items()]
        self._write()

    def up(self, *flags: str) -> float:
        """Seconds of ``docker-compose up -d --no-deps backend``."""
        words = ["docker-compose", "--project-name", f"{NAME}-runbook", "--file", str(self._file), "up", "--detach"]
        return timed([*words, "--no-deps", *flags, "backend"], env=clean_environment())

    def _write(self) -> None:
        self._file.touch(0o600)
        self._file.write_text(yaml.safe_dump(self._content), encoding="utf-8")


def forget_images(repository: str) -> None:
    """By their tags: what is made of them, or they of, stays where something needs it."""
    engine = docker.from_env()
    for image in engine.images.list(filters={"reference": f"{repository}*"}):
        for tag in image.tags:
            if tag.startswith(repository):
                engine.images.remove(tag, force=True)


def compose_file(inspected: dict[str, Any], folder: Path, image: str) -> dict[str, Any]:
    config, host = inspected["Config"], inspected["HostConfig"]
    health = config["Healthcheck"]
    networks = {
        name: {"ipv4_address": end["IPAddress"], "aliases": ["backend", "backend-blue", "backend-green"]}
        for name, end in inspected["NetworkSettings"]["Networks"].items()
    }
    service = {
        "build": {"context": str(folder)},
        "image": image,
        "container_name": f"{NAME}-backend",
        "environment": [entry.replace("$", "$$") for entry in config["Env"]],
        "volumes": [
            {"type": m["Type"], "source": m["Source"], "target": m["Target"]} for m in host.get("Mounts") or []
        ],
        "tmpfs": [f"{path}:{options}" for path, options in (host.get("Tmpfs") or {}).items()],
        "networks": networks,
        "stop_grace_period": f"{config['StopTimeout']}s",
        "restart": "unless-stopped",
        "healthcheck": {
            "test": [word.replace("$", "$$") for word in health["Test"]],
            "interval": f"{health['Interval'] // 10**9}s",
        },
    }
    volumes = {m["Source"]: {"external": True} for m in host.get("Mounts") or [] if m["Type"] == "volume"}
    return {
        "version": "2.4",
        "services": {"backend": service},
        "networks": {name: {"external": True} for name in networks},
        "volumes": volumes,
    }
