"""A program of a service's image in a container of its own, which is gone afterwards, whatever happens.

Beside the service's container, not in it: what is killed there leaves a program behind that nobody finds, and takes
memory that the service was given. And its output comes as files or pipes in a folder that both sides see, since the
engine sometimes loses what a program printed (moby's issue 27289).
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from . import engine
from .errors import PlatformError
from .excerpts import last_lines
from .pipeline import widen
from .service_spec import LABEL_PREFIX

POLL_SECONDS = 0.1
EXCHANGE = "/exchange"  # where the container sees the folder that both sides see

Watch = Callable[[], None]  # is asked while something goes on; what it raises ends that


def unwatched() -> None:
    """Nothing could come in between."""


@dataclass(frozen=True)
class Job:
    """What runs: ``user`` is ``uid:gid``, ``mounts`` the host's folders by where the container sees them, read-only.

    ``exchange`` is a folder of the host that it may write to, ``writable`` are others, like ``mounts``. It has no
    network unless ``network`` names one; where it needs a service, it has the folder of that one's socket. ``hosts``
    are names that mean the container itself. ``memory`` is in bytes, 0 for no limit. ``wrapper`` runs the command, and
    is not what an operator knows it by.
    """

    name: str
    platform: str
    image: str
    command: tuple[str, ...]
    user: str
    exchange: str = ""
    mounts: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    memory: int = 0
    cpus: float = 0.0
    writable: Mapping[str, str] = field(default_factory=dict)
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    network: str = "none"
    hosts: tuple[str, ...] = ()
    wrapper: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        return (*self.wrapper, *self.command)


class Running:
    """A job that was started."""

    def __init__(self, client: Any, job: Job) -> None:
        self._client, self.job = client, job

    def ended(self) -> int | None:
        """Its exit code; None while it runs."""
        state = self._client.inspect_container(self.job.name)["State"]
        return None if state["Running"] else int(state["ExitCode"])

    def said(self) -> str:
        return last_lines(self._client.logs(self.job.name, tail=engine.LOG_EXCERPT_LINES).decode(errors="replace"))

    def succeed(self, what: str, remedy: str, timeout: float = 60.0, watch: Watch = unwatched) -> None:
        """Wait for its end.

        :param watch: is asked all the while; what it raises ends the waiting.
        :raises PlatformError: beginning with ``what``, when that is not a success, or does not come in time.
        """
        deadline = time.monotonic() + timeout
        while (code := self.ended()) is None:
            if time.monotonic() > deadline:
                raise PlatformError(what, f"{self.job.command[0]} did not end within {timeout:g} s", remedy)
            watch()
            time.sleep(POLL_SECONDS)
        if code != 0:
            said = self.said() or "nothing"
            raise PlatformError(what, f"{self.job.command[0]} ended with code {code}; it says: {said}", remedy)

    def writes_to(self, pipe: int, what: str, remedy: str) -> None:
        """Wait until it has written something to the pipe that was opened by :func:`open_pipe`, or has ended well.

        :raises PlatformError: as :meth:`succeed`.
        """
        watched = select.poll()
        watched.register(pipe, select.POLLIN)
        while not watched.poll(1000 * POLL_SECONDS):
            if self.ended() is not None:
                self.succeed(what, remedy)
                break
        os.set_blocking(pipe, True)

    def reads_from(self, pipe: str) -> int | None:
        """The pipe's writing end, once the job has opened it; None where it has ended before."""
        while True:
            try:
                descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:  # nobody reads from it yet
                if self.ended() is not None:
                    return None
                time.sleep(POLL_SECONDS)
            else:
                os.set_blocking(descriptor, True)
                widen(descriptor)
                return descriptor


def make_pipe(path: str, uid: int, gid: int) -> str:
    """A named pipe for a program of that user, in place of one that a killed run has left."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    os.mkfifo(path, 0o600)
    os.chown(path, uid, gid)
    return path


@contextmanager
def open_pipe(path: str) -> Iterator[int]:
    """The reading end; it does not wait for a writer, who might never come."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    widen(descriptor)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def running(client: Any, job: Job) -> Iterator[Running]:
    """The job, started; nothing is left of it afterwards, nor of one that was killed before."""
    what = f"{job.command[0]} could not be run in {job.image}"
    engine.remove_if_present(client, job.name)
    try:
        with engine.explained(what):
            client.create_container_from_config(job_config(job), job.name)
            client.start(job.name)
        yield Running(client, job)
    finally:
        engine.remove_if_present(client, job.name)


def left_over(client: Any, platform: str) -> list[str]:
    """The names of jobs whose owner was killed, as long as no other one works on the platform."""
    labels = [f"{LABEL_PREFIX}platform={platform}", f"{LABEL_PREFIX}job"]
    found = client.containers(all=True, filters={"label": labels})
    return sorted(name.removeprefix("/") for container in found for name in container["Names"])


def job_config(job: Job) -> dict[str, Any]:
    """The body of ``POST /containers/create`` (Docker Engine API 1.41)."""
    mounts = [{"Type": "bind", "Source": s, "Target": t, "ReadOnly": True} for t, s in sorted(job.mounts.items())]
    writable = {**job.writable, **({EXCHANGE: job.exchange} if job.exchange else {})}
    mounts += [{"Type": "bind", "Source": s, "Target": t, "ReadOnly": False} for t, s in sorted(writable.items())]
    return {
        "Image": job.image,
        "User": job.user,
        "Entrypoint": [job.words[0]],
        "Cmd": list(job.words[1:]),
        "Env": [f"{name}={value}" for name, value in sorted(job.environment.items())],
        "Labels": {f"{LABEL_PREFIX}platform": job.platform, f"{LABEL_PREFIX}job": job.name},
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "NetworkMode": job.network,
            "ExtraHosts": [f"{name}:127.0.0.1" for name in job.hosts],
            "Mounts": mounts,
            "Tmpfs": {"/tmp": "size=64m,mode=1777", **job.tmpfs},  # noqa: S108 (in the container)
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "Memory": job.memory,
            "NanoCpus": round(job.cpus * 1_000_000_000),
            "PidsLimit": 256,
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}},
        },
    }
