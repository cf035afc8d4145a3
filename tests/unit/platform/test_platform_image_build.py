"""Images come to a host: bootstrapped, built wave by wave, or pulled; and what is told when they do not."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import engine, image_build
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.image_build import bootstrap, build, build_all, present_images, pull

BASE, PULLABLE = "erni/debian:12", "registry.example.org:5000/debian:bookworm"
CREDENTIALS = {"username": "deployer", "password": "correct-horse"}
ARCHIVE = "a minimal system"

APIError, ImageNotFound = engine.docker_errors.APIError, engine.docker_errors.ImageNotFound


class Engine:
    """Images by reference; a test says how a build goes and what a registry answers."""

    def __init__(self, *present: str, stream: list[dict[str, Any]] | None = None) -> None:
        self.images = set(present)
        self.stream = stream or []
        self.told: list[Any] = []
        self.registry: Callable[[str], str] = lambda reference: self.images.add(reference) or "{}"
        self.imported = ""
        self.refuses_import = ""

    def inspect_image(self, reference: str) -> dict[str, str]:
        if reference not in self.images:
            raise ImageNotFound("no such image")
        return {"Id": f"sha256:{reference}"}

    def pull(self, repository: str, tag: str | None, auth_config: dict[str, str] | None) -> str:
        self.told.append(("pull", repository, tag, auth_config))
        separator = "@" if (tag or "").startswith("sha256:") else ":"
        return self.registry(f"{repository}{separator}{tag}")

    def tag(self, image: str, repository: str, tag: str) -> None:
        self.told.append(("tag", image, repository, tag))
        self.images.add(f"{repository}:{tag}")

    def import_image_from_file(self, filename: str, repository: str, tag: str) -> str:
        self.imported = filename
        self.told.append(("import", Path(filename).read_text(), repository, tag))
        if self.refuses_import:
            return json.dumps({"error": self.refuses_import})
        self.images.add(f"{repository}:{tag}")
        return "{}"

    def build(self, **options: Any) -> Iterator[dict[str, Any]]:
        options["fileobj"] = options["fileobj"].read()
        self.told.append(options)
        yield from self.stream


def refusing(answer: str) -> Callable[[str], str]:
    def refuse(_: str) -> str:
        raise APIError("500 Server Error", explanation=answer)

    return refuse


@pytest.fixture
def image(tmp_path: Path) -> dict[str, Any]:
    context = tmp_path / "web.tar"
    context.write_bytes(b"a context")
    return {"reference": "erni/web:abc", "context": str(context), "arguments": {"BASE": BASE}}


def test_only_what_is_on_the_host_counts_as_present() -> None:
    assert present_images(Engine("a:1", "b:1"), ["a:1", "c:1"]) == {"a:1"}


def test_an_image_is_built_from_its_archive_with_its_arguments_and_leaves_nothing_between(
    image: dict[str, Any],
) -> None:
    client = Engine(stream=[{"stream": "Step 1/1 : FROM erni/debian:12\n"}, {"aux": {"ID": "sha256:1"}}])
    build(client, image)
    assert client.told == [
        {
            "fileobj": b"a context",
            "custom_context": True,
            "tag": "erni/web:abc",
            "buildargs": {"BASE": BASE},
            "rm": True,
            "forcerm": True,
            "decode": True,
        }
    ]


def test_a_failed_build_tells_the_engines_error_and_the_last_lines_before_it(image: dict[str, Any]) -> None:
    output = [{"stream": f"line {number}\n\n"} for number in range(1, 31)]
    colours = [{"stream": "\x1b[31mE: no package\x1b[0m"}, {"stream": " of that name  \r\n"}]
    error = {"errorDetail": {"code": 100}, "error": "The command '/bin/sh -c apt-get' returned a non-zero code: 100"}
    with pytest.raises(PlatformError) as failed:
        build(Engine(stream=[*output, *colours, error]), image)
    lines = [f"line {number}" for number in range(12, 31)]
    assert str(failed.value) == (
        "The image erni/web:abc could not be built: The command '/bin/sh -c apt-get' returned a non-zero code: 100; "
        "the build's last lines are:\n" + "\n".join([*lines, "E: no package of that name"]) + ". "
        "Nothing that serves was touched. Correct the build context, and run again."
    )


def test_a_build_that_fails_before_its_first_line_is_told_too(image: dict[str, Any]) -> None:
    with pytest.raises(PlatformError, match=r"could not be built: no space left on device\. Nothing that"):
        build(Engine(stream=[{"error": "no space left on device"}]), image)


def test_a_dockerfile_that_the_engine_cannot_read_is_told_as_a_sentence(image: dict[str, Any]) -> None:
    client = Engine()

    def refuse(**_: Any) -> Iterator[dict[str, Any]]:
        raise APIError("400 Client Error", explanation="dockerfile parse error line 3: unknown instruction: RUM")
        yield {}  # the client's answer is a generator: it raises when it is read

    client.build = refuse  # type: ignore[method-assign]
    with pytest.raises(PlatformError, match=r"erni/web:abc could not be built: .*unknown instruction: RUM"):
        build(client, image)


class Builds:
    """Stands in for :func:`build`: which builds began before which others had ended."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running: set[str] = set()
        self.finished: list[str] = []
        self.most = 0
        self.broken = ""
        self.meeting: threading.Barrier | None = None
        self.seen: dict[str, set[str]] = {}

    def __call__(self, _: Any, image: dict[str, Any]) -> None:
        name = image["reference"]
        with self.lock:
            self.running.add(name)
            self.most = max(self.most, len(self.running))
            self.seen[name] = set(self.finished)
        try:
            if self.meeting:
                self.meeting.wait(timeout=10)
                time.sleep(0.05)  # a third one, were there room for it, would come in now
            if name == self.broken:
                raise PlatformError(f"The image {name} could not be built")
        finally:
            with self.lock:
                self.running.discard(name)
                self.finished.append(name)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Builds:
    stand_in = Builds()
    monkeypatch.setattr(image_build, "build", stand_in)
    monkeypatch.setattr(engine, "connect", lambda timeout: timeout)
    return stand_in


def waves(*names: str) -> list[list[dict[str, Any]]]:
    return [[{"reference": name} for name in wave] for wave in names]


def test_a_wave_begins_when_all_of_the_one_before_is_built(builds: Builds) -> None:
    build_all(waves("ab", "cd", "e"))
    assert {name: before for name, before in builds.seen.items() if name in "cde"} == {
        "c": {"a", "b"} | (builds.seen["c"] & {"d"}),
        "d": {"a", "b"} | (builds.seen["d"] & {"c"}),
        "e": set("abcd"),
    }


def test_two_images_of_a_wave_are_built_side_by_side_and_never_more(builds: Builds) -> None:
    builds.meeting = threading.Barrier(2)  # each build waits for another: alone, it would wait in vain
    build_all(waves("abcd"))
    assert builds.most == 2
    assert sorted(builds.finished) == list("abcd")


def test_a_failed_image_ends_the_run_before_what_is_built_upon_it(builds: Builds) -> None:
    builds.broken, builds.meeting = "a", threading.Barrier(2)
    with pytest.raises(PlatformError, match="The image a could not be built"):
        build_all(waves("ab", "c"))
    assert sorted(builds.finished) == ["a", "b"], "what was begun beside it is finished"


@pytest.mark.parametrize(
    ("reference", "repository", "tag"),
    [
        ("debian:12", "debian", "12"),
        ("registry.example.org/erni/web:1.2", "registry.example.org/erni/web", "1.2"),
        ("registry.example.org:5000/erni/web:1.2", "registry.example.org:5000/erni/web", "1.2"),
        ("erni/web@sha256:" + "0" * 64, "erni/web", "sha256:" + "0" * 64),
        ("registry.example.org:5000/web@sha256:" + "0" * 64, "registry.example.org:5000/web", "sha256:" + "0" * 64),
    ],
)
def test_an_image_is_asked_for_by_exactly_its_tag_or_digest(reference: str, repository: str, tag: str) -> None:
    client = Engine()
    pull(client, reference, CREDENTIALS)
    assert client.told == [("pull", repository, tag, CREDENTIALS)]


def test_a_reference_without_a_tag_leaves_the_choice_to_the_client_and_keeps_the_registrys_port() -> None:
    client = Engine("registry.example.org:5000/web")
    pull(client, "registry.example.org:5000/web", {})
    assert client.told == [("pull", "registry.example.org:5000/web", None, None)]


def test_a_refused_pull_tells_the_registrys_answer_and_what_to_check_but_no_credentials() -> None:
    client = Engine()
    client.registry = refusing("unauthorized: authentication required")
    with pytest.raises(PlatformError) as failed:
        pull(client, "erni/web:1", CREDENTIALS)
    assert str(failed.value) == (
        "The image erni/web:1 could not be pulled: unauthorized: authentication required. Check the reference, that "
        "the registry is reachable from the host, and platform_registry_username and platform_registry_password."
    )


def test_credentials_that_a_registry_repeats_are_hidden() -> None:
    client = Engine()
    client.registry = refusing("denied: deployer:correct-horse may not read erni/web")
    with pytest.raises(PlatformError) as failed:
        pull(client, "erni/web:1", CREDENTIALS)
    assert "may not read erni/web" in str(failed.value)
    assert CREDENTIALS["password"] not in str(failed.value)


def test_a_pull_that_ends_well_but_without_the_image_is_a_failure() -> None:
    client = Engine()
    client.registry = lambda _: "{}"
    with pytest.raises(PlatformError, match="erni/web:1 could not be pulled: the pull ended without the image"):
        pull(client, "erni/web:1", {})


def test_a_pull_that_breaks_off_tells_the_reason_that_stands_in_its_stream() -> None:
    client = Engine()
    lines = [{"status": "Pulling fs layer"}, {"errorDetail": {}, "error": "no space left on device"}]
    client.registry = lambda _: "".join(f"{json.dumps(line)}\r\n" for line in lines)
    with pytest.raises(PlatformError, match="no space left on device"):
        pull(client, "erni/web:1", {})


@pytest.fixture
def mmdebstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name, the only one there is, which notes its arguments and writes its last one."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "mmdebstrap"
    program.write_text(
        f'#!/bin/sh\necho "$*" >"{tmp_path}/arguments"\nfor last; do :; done\nprintf "{ARCHIVE}" >"$last"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    return program


@pytest.mark.usefixtures("mmdebstrap")
def test_a_base_that_can_be_pulled_is_pulled_and_named_as_ours(tmp_path: Path) -> None:
    client = Engine()
    bootstrap(client, BASE, PULLABLE, "bookworm")
    assert client.told == [
        ("pull", "registry.example.org:5000/debian", "bookworm", None),
        ("tag", PULLABLE, "erni/debian", "12"),
    ]
    assert not (tmp_path / "arguments").exists()


@pytest.mark.usefixtures("mmdebstrap")
@pytest.mark.parametrize("pullable", ["", PULLABLE])
def test_a_base_that_cannot_be_pulled_is_made_by_mmdebstrap(tmp_path: Path, pullable: str) -> None:
    client = Engine()
    client.registry = refusing("dial tcp: lookup registry.example.org: no such host")
    bootstrap(client, BASE, pullable, "bookworm")
    assert [entry[0] for entry in client.told] == (["pull", "import"] if pullable else ["import"])
    assert client.told[-1] == ("import", ARCHIVE, "erni/debian", "12")
    noted = (tmp_path / "arguments").read_text().split()
    assert noted == ["--quiet", "--variant=minbase", "--include=ca-certificates", "bookworm", client.imported]


@pytest.mark.usefixtures("mmdebstrap")
def test_the_archive_of_the_base_is_gone_afterwards() -> None:
    client = Engine()
    bootstrap(client, BASE, "", "bookworm")
    assert client.imported
    assert not os.path.exists(os.path.dirname(client.imported))


def test_an_mmdebstrap_that_fails_tells_its_last_words_and_imports_nothing(mmdebstrap: Path) -> None:
    mmdebstrap.write_text(
        "#!/bin/sh\nfor n in 1 2 3 4 5 6 7 8 9 10 11 12; do echo a$n >&2; echo b$n >&2; done\nexit 25\n"
    )
    client = Engine()
    with pytest.raises(PlatformError) as failed:
        bootstrap(client, BASE, "", "bookworm")
    expected = [f"{letter}{number}" for number in range(3, 13) for letter in "ab"]
    assert "mmdebstrap could not make the Debian base image: " + "\n".join(expected) + ". " in str(failed.value)
    assert "package mirror is reachable" in str(failed.value)
    assert client.told == []


@pytest.mark.usefixtures("mmdebstrap")
def test_a_base_that_the_engine_does_not_take_is_told_with_its_reason() -> None:
    client = Engine()
    client.refuses_import = "no space left on device"
    with pytest.raises(PlatformError, match="did not take the Debian base image: no space left on device"):
        bootstrap(client, BASE, "", "bookworm")


def test_a_missing_mmdebstrap_is_told_with_both_ways_out(mmdebstrap: Path) -> None:
    mmdebstrap.unlink()
    with pytest.raises(PlatformError) as failed:
        bootstrap(Engine(), BASE, "", "bookworm")
    assert str(failed.value) == (
        "The Debian base image cannot be made: nothing can be pulled and mmdebstrap is not installed. "
        "Install mmdebstrap on the host, or set platform_debian_image to an image that can be pulled."
    )


def test_a_missing_mmdebstrap_does_not_hide_why_the_base_could_not_be_pulled(mmdebstrap: Path) -> None:
    mmdebstrap.unlink()
    client = Engine()
    client.registry = refusing("no such host")
    with pytest.raises(PlatformError) as failed:
        bootstrap(client, BASE, PULLABLE, "bookworm")
    assert f"{PULLABLE} can be pulled" not in str(failed.value)
    assert "no such host" in str(failed.value)
