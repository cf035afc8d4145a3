"""Images are named by their content: what changes a name, and what does not."""

from __future__ import annotations

import io
import os
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import build_context
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.image_plan import (
    ImageBuild,
    NamedBuild,
    builds_from_mapping,
    name_builds,
    plan_images,
    waves,
    with_parents,
)

#   base ── python ── backend
#     │        └──┐
#     ├── node ───┴ frontend
#     └── redis
BUILDS = {
    "base": ImageBuild("base", "images/base", arguments={"SUITE": "bookworm"}, trusts_bundle=True),
    "python": ImageBuild("python", "images/python", {"BASE": "base"}),
    "node": ImageBuild("node", "images/node", {"BASE": "base"}),
    "redis": ImageBuild("redis", "images/redis", {"BASE": "base"}),
    "backend": ImageBuild("backend", "app/backend", {"PYTHON": "python"}),
    "frontend": ImageBuild("frontend", "app/ui", {"NODE": "node", "PYTHON": "python"}, {"URL": "/api"}),
}
EVERYTHING = frozenset(BUILDS)


def named(builds: dict[str, ImageBuild] = BUILDS, changed: str = "", bundle: str = "") -> dict[str, NamedBuild]:
    """All builds by name, where the context ``changed`` has other files."""
    found = name_builds(builds, builds, lambda context: f"{context}{'!' if context == changed else ''}", bundle, "erni")
    return {entry.build.name: entry for entry in found}


def differing(one: dict[str, NamedBuild], other: dict[str, NamedBuild]) -> set[str]:
    return {name for name in one if one[name].reference != other[name].reference}


def test_a_reference_is_the_prefix_the_name_and_twelve_characters() -> None:
    assert re.fullmatch(r"erni/base:[0-9a-f]{12}", named()["base"].reference)


def test_the_same_content_has_the_same_name_every_time() -> None:
    assert differing(named(), named()) == set()


@pytest.mark.parametrize(
    ("context", "renamed"),
    [
        ("images/base", EVERYTHING),
        ("images/python", {"python", "backend", "frontend"}),
        ("images/node", {"node", "frontend"}),
        ("images/redis", {"redis"}),
        ("app/backend", {"backend"}),
        ("app/ui", {"frontend"}),
    ],
)
def test_a_changed_file_renames_exactly_the_images_that_build_on_it(context: str, renamed: set[str]) -> None:
    assert differing(named(), named(changed=context)) == renamed


def test_a_changed_argument_renames_the_image_and_what_builds_on_it() -> None:
    changed = BUILDS | {"python": ImageBuild("python", "images/python", {"BASE": "base"}, {"PIP": "25"})}
    assert differing(named(), named(changed)) == {"python", "backend", "frontend"}


def test_another_certificate_bundle_renames_the_image_that_trusts_it_and_what_builds_on_it() -> None:
    assert differing(named(), named(bundle="b1")) == EVERYTHING
    distrusting = BUILDS | {"base": ImageBuild("base", "images/base"), "redis": ImageBuild("redis", "r", {}, {}, True)}
    assert differing(named(distrusting), named(distrusting, bundle="b1")) == {"redis"}


def test_a_build_gets_its_parents_references_as_arguments_beside_its_own() -> None:
    built = named()
    assert built["frontend"].arguments == {
        "URL": "/api",
        "NODE": built["node"].reference,
        "PYTHON": built["python"].reference,
    }


def test_only_what_is_wanted_is_named_with_its_parents_first() -> None:
    assert with_parents(BUILDS, ["backend"]) == ["base", "python", "backend"]
    assert with_parents(BUILDS, ["frontend", "redis"]) == ["base", "node", "python", "frontend", "redis"]
    assert with_parents(BUILDS, ["base", "python", "base"]) == ["base", "python"]


@pytest.mark.parametrize("start", ["a", "b"])
def test_images_that_build_on_each_other_in_a_circle_are_refused_by_name(start: str) -> None:
    circle = {"a": ImageBuild("a", "a", {"X": "b"}), "b": ImageBuild("b", "b", {"X": "a"})}
    with pytest.raises(PlatformError, match=r"images (a and b and a|b and a and b) build on each other in a circle"):
        with_parents(circle, [start])


def test_an_image_that_builds_on_itself_is_a_circle_too() -> None:
    with pytest.raises(PlatformError, match="circle"):
        with_parents({"a": ImageBuild("a", "a", {"X": "a"})}, ["a"])


def test_a_parent_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(PlatformError, match=r"no image 'bse': the images are a, b"):
        with_parents({"a": ImageBuild("a", "a", {"X": "bse"}), "b": ImageBuild("b", "b")}, ["a"])


def test_each_wave_builds_on_earlier_ones_only_and_as_much_as_possible_at_once() -> None:
    built = list(named().values())
    names = [{entry.build.name for entry in wave} for wave in waves(built)]
    assert names == [{"base"}, {"python", "node", "redis"}, {"backend", "frontend"}]


def test_a_parent_that_is_present_already_is_not_waited_for() -> None:
    built = named()
    missing = [built["python"], built["backend"], built["redis"]]
    assert [{n.build.name for n in wave} for wave in waves(missing)] == [{"python", "redis"}, {"backend"}]
    assert waves([]) == []


def test_the_image_set_is_read_from_the_variable_with_numbers_as_text() -> None:
    mapping: dict[str, dict[str, Any]] = {
        "a": {"context": "c", "parents": None, "arguments": {"N": 22}, "trusts_bundle": True},
        "b": {"context": "d", "parents": {"A": "a"}},
    }
    assert builds_from_mapping(mapping) == {
        "a": ImageBuild("a", "c", {}, {"N": "22"}, True),
        "b": ImageBuild("b", "d", {"A": "a"}),
    }


@pytest.mark.parametrize("verb", ["built", "pulled"])
def test_only_images_that_are_missing_are_made(verb: str) -> None:
    plan = plan_images(["x:1", "y:2"], ["y:2", "z:3"], verb)
    assert [(action.kind, action.subject) for action in plan.actions] == [(verb, "x:1")]
    assert plan.sentences == [f"image x:1 is {verb}"]
    assert plan.diff("images")["after"] == {"image x:1": "present"}
    assert not plan_images(["y:2"], ["y:2"], verb).changed


# Build contexts.


@pytest.fixture
def context(tmp_path: Path) -> Path:
    root = tmp_path / "context"
    (root / "src" / "deep").mkdir(parents=True)
    (root / "Dockerfile").write_text("FROM base\n")
    (root / "src" / "app.py").write_text("print()\n")
    (root / "src" / "deep" / "start.sh").write_text("#!/bin/sh\n")
    (root / "src" / "deep" / "start.sh").chmod(0o755)
    return root


def content(archive: bytes) -> dict[str, tuple[int, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {m.name: (m.mode, tar.extractfile(m).read()) for m in tar.getmembers()}  # type: ignore[union-attr]


def test_a_context_is_its_files_and_not_its_folders(context: Path) -> None:
    assert build_context.context_files(str(context)) == ["Dockerfile", "src/app.py", "src/deep/start.sh"]


def test_what_dockerignore_names_stays_out_and_what_it_brings_back_stays_in(context: Path) -> None:
    (context / ".dockerignore").write_text("# a comment\n\nnode_modules\n**/*.log\n!keep.log\n  *.tmp  \n")
    (context / "node_modules").mkdir()
    for name in ("node_modules/x.js", "a.log", "src/b.log", "keep.log", "c.tmp"):
        (context / name).write_text("x")
    files = build_context.context_files(str(context))
    assert {"keep.log", "Dockerfile", "src/app.py"} <= set(files)
    assert not {"node_modules/x.js", "a.log", "src/b.log", "c.tmp"} & set(files)


def test_the_dockerfile_belongs_even_where_everything_is_ignored(context: Path) -> None:
    (context / ".dockerignore").write_text("*\n")
    assert "Dockerfile" in build_context.context_files(str(context))


def test_a_context_without_a_dockerfile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="Dockerfile does not exist"):
        build_context.context_files(str(tmp_path))


def test_an_ignored_file_does_not_rename_the_image(context: Path) -> None:
    (context / ".dockerignore").write_text("*.log\n")
    before = build_context.digest_of(str(context))
    (context / "new.log").write_text("x")
    assert build_context.digest_of(str(context)) == before


def touch_all(root: Path) -> None:
    for path in root.rglob("*"):
        os.utime(path, (1, 1))


@pytest.mark.parametrize(
    ("change", "renames"),
    [
        (touch_all, False),
        (lambda root: (root / "empty").mkdir(), False),
        (lambda root: (root / "src/app.py").chmod(0o600), False),
        (lambda root: (root / "src/app.py").chmod(0o755), True),
        (lambda root: (root / "src/app.py").write_text("print(1)\n"), True),
        (lambda root: (root / "src/app.py").rename(root / "src/app2.py"), True),
        (lambda root: (root / "new").write_text(""), True),
        (lambda root: (root / "src/app.py").unlink(), True),
    ],
)
def test_the_digest_follows_names_contents_and_executable_bits_and_nothing_else(
    context: Path, change: Any, renames: bool
) -> None:
    before, archived = build_context.digest_of(str(context)), build_context.archive(str(context), None)
    change(context)
    assert (build_context.digest_of(str(context)) != before) is renames
    assert (build_context.archive(str(context), None) != archived) is renames, "the engine's cache sees the same"


def test_a_file_that_contains_what_another_would_add_is_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_bytes(b"a")
    (tmp_path / "E").write_bytes(b"b")
    two_files = build_context.digest_of(str(tmp_path))
    (tmp_path / "E").unlink()
    (tmp_path / "Dockerfile").write_bytes(b"aE\0False\0b")
    assert build_context.digest_of(str(tmp_path)) != two_files


def test_an_archive_carries_the_files_with_their_executable_bits(context: Path) -> None:
    assert content(build_context.archive(str(context), None)) == {
        "Dockerfile": (0o644, b"FROM base\n"),
        "src/app.py": (0o644, b"print()\n"),
        "src/deep/start.sh": (0o755, b"#!/bin/sh\n"),
    }


@pytest.mark.parametrize("bundle", [b"", b"certificates"])
def test_a_bundle_is_put_beside_the_files(context: Path, bundle: bytes) -> None:
    assert content(build_context.archive(str(context), bundle))["trusted-ca.crt"] == (0o644, bundle)


def test_a_bundle_is_a_file_as_it_is_or_a_folders_certificates_in_order(tmp_path: Path) -> None:
    (tmp_path / "b.crt").write_bytes(b"second\n\n")
    (tmp_path / "a.crt").write_bytes(b"first")
    (tmp_path / "readme.txt").write_bytes(b"no certificate")
    assert build_context.read_bundle(str(tmp_path)) == b"first\nsecond\n"
    assert build_context.read_bundle(str(tmp_path / "b.crt")) == b"second\n\n"
