"""The way to the Docker Engine: a client of it, and sentences where it is missing, away, or refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .errors import PlatformError

try:
    import docker
    import docker.utils
    from docker import errors as docker_errors
    from requests.exceptions import RequestException, Timeout  # the SDK's transport, which it does not hide
    from urllib3.exceptions import HTTPError  # and what that one uses, seen where an answer is read piece by piece
except ImportError:  # said as a sentence by connect()
    docker = None  # type: ignore[assignment]
    RequestException = Timeout = HTTPError = ConnectionError  # type: ignore[misc,assignment]

    class docker_errors:  # type: ignore[no-redef]  # noqa: N801 (stands in for the SDK's module of that name)
        """So that ``except`` clauses can be evaluated; nothing raises these without the SDK but AbsentEngine."""

        class DockerException(Exception): ...  # noqa: N818 (likewise)

        class APIError(DockerException):
            explanation = ""

        class NotFound(APIError): ...  # noqa: N818 (likewise)

        class ImageNotFound(NotFound): ...


__all__ = ["docker_errors"]  # named for type checkers

ENGINE_TIMEOUT = 180
AWAY = (RequestException, HTTPError)


class EngineAwayError(PlatformError):
    """The engine has ended in the middle of a run. Nothing can be looked at or undone then, so nothing is judged."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "The Docker Engine on this host does not answer any more",
            why,
            "Run make up: it starts the engine where it does not run, and finishes or undoes what was cut off. The "
            "engine's log is /var/log/erni/dockerd.log or journalctl -u docker.",
        )


class AbsentEngine:
    """What ``--check`` sees on a host that has no engine yet: an engine on which nothing exists."""

    def networks(self) -> list[dict[str, Any]]:
        return []

    def containers(self, **_: Any) -> list[dict[str, Any]]:
        return []

    def images(self, **_: Any) -> list[dict[str, Any]]:
        return []

    def volumes(self) -> dict[str, Any]:
        return {"Volumes": []}

    def inspect_image(self, reference: str) -> dict[str, Any]:
        raise docker_errors.ImageNotFound(f"no engine, so no image {reference}")

    def inspect_container(self, name: str) -> dict[str, Any]:
        raise docker_errors.NotFound(f"no engine, so no container {name}")


def connect(timeout: int = ENGINE_TIMEOUT, *, predicting: bool = False) -> Any:
    """The engine on this host's default socket (or ``DOCKER_HOST``).

    :param predicting: in check mode, an engine that is still to come counts as one without anything on it.
    :raises PlatformError: when the SDK is missing or the engine does not answer.
    """
    try:
        return _connect(timeout)
    except PlatformError:
        if predicting:
            return AbsentEngine()
        raise


def _connect(timeout: int) -> Any:
    if docker is None:
        raise PlatformError(
            "The Docker SDK for Python is missing on this host",
            "the interpreter that runs the modules cannot import 'docker'",
            "Run make up, which installs it, or install python3-docker.",
        )
    try:
        settings = docker.utils.kwargs_from_env()
        client = docker.APIClient(version="auto", timeout=timeout, **settings)
    except docker_errors.DockerException as error:
        raise PlatformError(
            "The Docker Engine on this host does not answer",
            _first_line(error),
            "Run make up, which starts it, or look at its log (/var/log/erni/dockerd.log or journalctl -u docker).",
        ) from error
    client.send = _answered(client.send)  # type: ignore[method-assign]  # what every request of the SDK goes through
    return client


def _answered(send: Callable[..., Any]) -> Callable[..., Any]:
    def answered(*arguments: Any, **options: Any) -> Any:
        with heard():
            return send(*arguments, **options)

    return answered


@contextmanager
def heard() -> Iterator[None]:
    """Turn the silence of an engine that has ended into a sentence. Needed around what reads an answer piece by piece.

    :raises EngineAwayError:"""
    try:
        yield
    except docker_errors.DockerException:
        raise  # an answer, though the SDK makes its errors of the transport's
    except AWAY as error:
        waited = isinstance(error, Timeout)
        raise EngineAwayError("it takes too long over an answer" if waited else "it has ended") from error


def explanation(error: Exception) -> str:
    """The engine's own words where it has any; its client and the system raise errors without."""
    return str(getattr(error, "explanation", None) or error)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what the engine refuses into a sentence."""
    try:
        with heard():
            yield
    except docker_errors.APIError as error:
        remedy = "Correct the cause that the engine names, and run again."
        raise PlatformError(what, explanation(error), remedy) from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
