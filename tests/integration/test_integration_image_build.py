"""Builds against a real engine: an image is there whole, or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import pytest
from ansible.module_utils.erni import build_context, engine, image_build
from ansible.module_utils.erni.errors import PlatformError

LABEL = "ch.erni.test"


@pytest.fixture
def token(client: Any) -> Iterator[str]:
    """Marks what a test builds, down to the layers that a failed build leaves."""
    made = secrets.token_hex(4)
    yield made
    reference = f"erni-test/build:{made}"
    if engine.image_id(client, reference):
        client.remove_image(reference)  # with the layers that only it stands on
    while layers := client.images(all=True, filters={"label": f"{LABEL}={made}"}):
        for layer in layers:
            with suppress(docker.errors.APIError):  # another one stands on it, or it went with that one
                client.remove_image(layer["Id"])


def order(folder: Path, token: str, base: str, instruction: str) -> dict[str, Any]:
    (folder / "Dockerfile").write_text(f"FROM {base}\nLABEL {LABEL}={token}\n{instruction}\n")
    archive = folder.parent / f"{folder.name}.tar"
    archive.write_bytes(build_context.archive(str(folder), None))
    return {"reference": f"erni-test/build:{token}", "context": str(archive), "arguments": {}}


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    return folder


def test_a_build_that_succeeds_is_present_under_its_name(
    client: Any, image_of: Callable[[str], str], context: Path, token: str
) -> None:
    wanted = order(context, token, image_of("base"), "RUN echo made > /made")

    image_build.build(client, wanted)

    assert engine.image_id(client, wanted["reference"])
    assert image_build.present_images(client, [wanted["reference"], "erni-test/none:1"]) == {wanted["reference"]}


def test_a_build_that_fails_leaves_no_image_and_no_container(
    client: Any, image_of: Callable[[str], str], context: Path, token: str
) -> None:
    wanted = order(context, token, image_of("base"), "RUN echo the reason; exit 7")

    with pytest.raises(PlatformError, match="could not be built") as failure:
        image_build.build(client, wanted)

    assert "returned a non-zero code: 7" in str(failure.value)
    assert "the reason" in str(failure.value)
    assert engine.image_id(client, wanted["reference"]) is None
    assert client.containers(all=True, filters={"label": f"{LABEL}={token}"}) == []


def test_a_failed_build_never_costs_the_image_of_that_name(
    client: Any, image_of: Callable[[str], str], context: Path, token: str
) -> None:
    good = order(context, token, image_of("base"), "RUN echo good > /made")
    image_build.build(client, good)
    before = engine.image_id(client, good["reference"])

    with pytest.raises(PlatformError):
        image_build.build(client, order(context, token, image_of("base"), "RUN exit 7"))

    assert engine.image_id(client, good["reference"]) == before


def test_a_pull_that_fails_tells_the_registrys_answer(client: Any) -> None:
    with pytest.raises(PlatformError, match=r"The image nowhere\.invalid/x:1 could not be pulled"):
        image_build.pull(client, "nowhere.invalid/x:1", {})
