"""Make images present on a host: bootstrapped, built with the classic builder, or pulled."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import engine
from .errors import PlatformError

OUTPUT_EXCERPT_LINES = 20
PARALLEL_BUILDS = 2
BUILD_TIMEOUT = 3600
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*m")


def present_images(client: Any, references: list[str]) -> set[str]:
    return {reference for reference in references if engine.image_id(client, reference)}


def bootstrap(client: Any, reference: str, pullable: str, suite: str) -> None:
    """A minimal Debian base under ``reference``: pulled as ``pullable`` where that works, else by mmdebstrap(1)."""
    failure = _pulled(client, pullable, {}) if pullable else "no image to pull is named"
    if failure is None:
        client.tag(pullable, *reference.rsplit(":", 1))
        return
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        archive = os.path.join(folder, "base.tar")
        command = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates", suite, archive]
        try:
            run = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise PlatformError(
                "The Debian base image cannot be made",
                f"{_unpullable(pullable, failure)} and mmdebstrap is not installed",
                "Install mmdebstrap on the host, or set platform_debian_image to an image that can be pulled.",
            ) from None
        if run.returncode != 0:
            raise PlatformError(
                "mmdebstrap could not make the Debian base image",
                _excerpt(run.stderr),
                "Check that Debian's package mirror is reachable from the host, and run again.",
            )
        repository, tag = reference.rsplit(":", 1)
        answer = client.import_image_from_file(archive, repository=repository, tag=tag)
        if not engine.image_id(client, reference):
            reason = _error_in(answer) or "it did not say why"
            raise PlatformError("The engine did not take the Debian base image", reason, "Is its disk full? Run again.")


def _unpullable(pullable: str, failure: str) -> str:
    return f"{pullable} cannot be pulled ({failure})" if pullable else "nothing can be pulled"


def build_all(waves: list[list[dict[str, Any]]]) -> None:
    """Build wave after wave, the images of a wave side by side.

    Each image is a mapping with ``reference``, ``context`` (path of a tar archive) and ``arguments``.
    """
    for wave in waves:
        with ThreadPoolExecutor(PARALLEL_BUILDS) as pool:
            list(pool.map(lambda image: build(engine.connect(BUILD_TIMEOUT), image), wave))


def build(client: Any, image: dict[str, Any]) -> None:
    """Build one image; the tag appears only when the build is complete."""
    output: list[str] = []
    with open(image["context"], "rb") as context:
        try:
            stream = client.build(
                fileobj=context,
                custom_context=True,
                tag=image["reference"],
                buildargs=image["arguments"],
                rm=True,
                forcerm=True,
                decode=True,
            )
            with engine.heard():
                for entry in stream:
                    output.append(entry.get("stream") or "")
                    if "error" in entry:
                        raise _unbuilt(image, entry["error"], output)
        except engine.docker_errors.APIError as error:
            raise _unbuilt(image, engine.explanation(error), output) from error


def _unbuilt(image: dict[str, Any], reason: str, output: list[str]) -> PlatformError:
    excerpt = _excerpt("".join(output))
    return PlatformError(
        f"The image {image['reference']} could not be built",
        f"{reason}; the build's last lines are:\n{excerpt}" if excerpt else reason,
        "Nothing that serves was touched. Correct the build context, and run again.",
    )


def tag(client: Any, aliases: dict[str, str]) -> None:
    for alias, reference in aliases.items():
        client.tag(reference, *alias.rsplit(":", 1))


def pull(client: Any, reference: str, credentials: dict[str, str]) -> None:
    """Pull by tag or digest.

    :raises PlatformError: with the registry's answer; credentials never stand in it.
    """
    failure = _pulled(client, reference, credentials)
    if failure is not None:
        raise PlatformError(
            f"The image {reference} could not be pulled",
            failure,
            "Check the reference, that the registry is reachable from the host, and platform_registry_username "
            "and platform_registry_password.",
        )


def _pulled(client: Any, reference: str, credentials: dict[str, str]) -> str | None:
    """None when the image is present afterwards, else the reason why not."""
    repository, _, digest = reference.partition("@")
    tag = digest or None
    if not digest and ":" in reference.rsplit("/", 1)[-1]:
        repository, tag = reference.rsplit(":", 1)
    try:
        answer = client.pull(repository, tag=tag, auth_config=credentials or None)
    except engine.docker_errors.APIError as error:
        return _without(credentials, engine.explanation(error))
    failure = _error_in(answer)
    if not failure and engine.image_id(client, reference):
        return None
    return _without(credentials, failure or "the pull ended without the image")


def _error_in(answer: str) -> str:
    """The error that a pull's progress, lines of JSON, ends with ('' for none)."""
    for line in reversed(str(answer).splitlines()):
        try:
            return str(json.loads(line)["error"])
        except (ValueError, KeyError, TypeError):
            continue
    return ""


def _without(credentials: dict[str, str], text: str) -> str:
    """A registry may repeat what it was sent."""
    password = credentials.get("password", "")
    return text.replace(password, "(secret)") if password else text


def _excerpt(text: str) -> str:
    lines = [_TERMINAL_CODES.sub("", line).rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-OUTPUT_EXCERPT_LINES:])
