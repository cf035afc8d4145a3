"""Retention removes what hangs on releases that nobody goes back to, and nothing else on the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import engine
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.release_record import Manifest, read_manifests, write_manifest
from ansible.module_utils.erni.release_retention import (
    Holdings,
    HostContainer,
    HostImage,
    apply_retention,
    observe_holdings,
    plan_retention,
)

OLD, NEW = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
TAG, OTHER_TAG = "1" * 12, "2" * 12
DIGEST = f"sha256:{'d' * 64}"


def manifest(release: str, image: str, image_id: str = "") -> Manifest:
    return Manifest(
        id=release,
        created="2026-01-02T03:04:05Z",
        operator="ada",
        environment="local",
        source="inventory",
        images={"backend": image},
        image_ids={"backend": image_id} if image_id else {},
        services={"backend": {}},
        secrets={"backend": {}},
        config_digest="",
    )


def planned(
    old: str = "erni/backend:old",
    new: str = "erni/backend:new",
    images: tuple[HostImage, ...] = (),
    containers: tuple[HostContainer, ...] = (),
    new_id: str = "",
) -> list[tuple[str, str]]:
    manifests = {OLD: manifest(OLD, old), NEW: manifest(NEW, new, new_id)}
    plan = plan_retention({NEW}, manifests, Holdings(containers, images))
    return [(action.kind, action.subject) for action in plan.actions]


def removed_images(**world: Any) -> list[str]:
    return [subject for kind, subject in planned(**world) if kind == "remove_image"]


def test_where_every_release_stays_nothing_is_to_be_done() -> None:
    manifests = {OLD: manifest(OLD, "r/backend:1"), NEW: manifest(NEW, f"erni/backend:{TAG}")}
    holdings = Holdings(
        (HostContainer("erni-backend", "sha256:2", NEW, at_rest=False),),
        (HostImage("sha256:1", ("r/backend:1",)), HostImage("sha256:2", (f"erni/backend:{TAG}",))),
    )
    plan = plan_retention({OLD, NEW}, manifests, holdings)
    assert (plan.actions, plan.differences) == ([], [])


def test_a_release_goes_in_an_order_that_can_be_interrupted_its_record_last() -> None:
    container = HostContainer("erni-backend-blue", "sha256:1", OLD, at_rest=True)
    manifests = {OLD: manifest(OLD, "erni/backend:old"), NEW: manifest(NEW, "erni/backend:new")}
    holdings = Holdings((container,), (HostImage("sha256:1", ("erni/backend:old",)),), (".new-x",))
    plan = plan_retention({NEW}, manifests, holdings)
    assert plan.sentences == [
        f"container erni-backend-blue of release {OLD} is removed",
        "image erni/backend:old, which no release that stays is made of, is removed",
        f"the record of release {OLD} is removed",
        "the unfinished record .new-x is removed",
    ]
    assert plan.diff("h")["before"]["image erni/backend:old"] == "present"


@pytest.mark.parametrize(
    ("container", "goes"),
    [
        (HostContainer("erni-backend-blue", "sha256:1", OLD, at_rest=True), True),
        (HostContainer("erni-backend-blue", "sha256:1", OLD, at_rest=False), False),
        (HostContainer("erni-backend", "sha256:1", NEW, at_rest=True), False),
        (HostContainer("theirs", "sha256:1", "", at_rest=True), False),
    ],
)
def test_a_container_goes_with_its_release_once_it_is_at_rest_and_holds_its_image_until_then(
    container: HostContainer, goes: bool
) -> None:
    actions = planned(images=(HostImage("sha256:1", ("erni/backend:old",)),), containers=(container,))
    assert (("remove_container", container.name) in actions) is goes
    assert (("remove_image", "erni/backend:old") in actions) is goes
    assert ("remove_manifest", OLD) in actions


@pytest.mark.parametrize(
    ("references", "gone"),
    [
        (("erni/backend:old",), ["erni/backend:old"]),
        (("erni/backend:old", "erni/backend:old2", "theirs/backend:old"), ["erni/backend:old", "erni/backend:old2"]),
        (("erni/backend:old", "erni/backend:latest"), ["erni/backend:old"]),
        (("erni/backend:old", "erni/backend:previous"), ["erni/backend:old"]),
        (("erni/backend:old", "erni/backend:new"), []),
        ((f"erni/backend:{TAG}",), []),  # built, and no release yet: the inventory's may be one
        (("erni/backend:by-hand",), []),
        (("erni/backend:latest",), []),
        (("python:3.11-slim",), []),
        ((), []),
    ],
)
def test_only_names_of_releases_that_go_are_removed_and_those_of_the_same_image_with_them(
    references: tuple[str, ...], gone: list[str]
) -> None:
    assert removed_images(images=(HostImage("sha256:1", references),)) == gone


@pytest.mark.parametrize("pinned", [f"registry:5000/team/backend@{DIGEST}", f"registry:5000/team/backend:v1@{DIGEST}"])
def test_of_an_image_by_digest_its_tags_go_too_and_a_port_is_no_tag(pinned: str) -> None:
    references = ("registry:5000/team/backend:0a1b2c3", f"registry:5000/team/backend@{DIGEST}", "registry:5000/x:1")
    assert removed_images(old=pinned, images=(HostImage("sha256:1", references),)) == list(references[:2])


@pytest.mark.parametrize(
    ("new", "new_id"),
    [
        (f"registry:5000/team/backend:v2@{DIGEST}", ""),
        ("registry:5000/team/backend:other", "sha256:1"),
        ("registry:5000/team/backend:v1", ""),
    ],
)
def test_an_image_that_a_release_that_stays_is_made_of_keeps_all_its_names(new: str, new_id: str) -> None:
    """The engine drops a digest with the last tag of its repository."""
    references = ("registry:5000/team/backend:v1", f"registry:5000/team/backend@{DIGEST}", f"erni/backend:{TAG}")
    images = (HostImage("sha256:1", references),)
    assert removed_images(old="registry:5000/team/backend:v1", new=new, new_id=new_id, images=images) == []


def test_without_a_release_that_goes_no_image_goes_whoever_built_it() -> None:
    images = (HostImage("sha256:1", (f"erni/backend:{TAG}",)), HostImage("sha256:2", ("erni/backend:latest",)))
    assert plan_retention({NEW}, {NEW: manifest(NEW, "erni/backend:new")}, Holdings((), images)).actions == []


@pytest.mark.parametrize("pinned", ["sha256:1", "erni/backend:old"])
def test_an_image_that_was_tagged_anew_since_keeps_what_its_name_means_now(pinned: str) -> None:
    """The release knew it by an id, or under a name that is another image's by now and belongs to one that stays."""
    images = (HostImage("sha256:1", ("theirs/backend:1",)), HostImage("sha256:2", ("erni/backend:old",)))
    assert removed_images(old=pinned, new_id="sha256:2", images=images) == []


class Engine:
    """A host with a container and an image of each kind; it remembers what it was told to remove.

    :param neighbour: the platform that another container is one of, if that has a label at all.
    """

    def __init__(self, answer: int = 0, neighbour: str = "erni") -> None:
        self.answer, self.neighbour, self.told = answer, neighbour, list[tuple[Any, ...]]()

    def containers(self, *, all: bool) -> list[dict[str, Any]]:  # noqa: A002 (the SDK's name)
        assert all, "stopped ones hold images, too"
        slot = {"ch.erni.platform": "erni", "ch.erni.slot": "blue", "ch.erni.release": OLD}
        neighbour = {"ch.erni.platform": self.neighbour, "ch.erni.release": OLD}
        return [
            {"Id": "1", "Names": ["/erni-backend-blue"], "ImageID": "i1", "Labels": slot, "State": "exited"},
            {"Id": "2", "Names": ["/b"], "ImageID": "i2", "Labels": neighbour, "State": "dead"},
            {"Id": "3", "Names": ["/c"], "ImageID": "i3", "Labels": None, "State": "paused"},
            {"Id": "4", "Names": [], "ImageID": "i4", "Labels": {"ch.erni.release": OLD}, "State": "created"},
        ]

    def images(self) -> list[dict[str, Any]]:
        return [
            {"Id": "i1", "RepoTags": ["a:1"], "RepoDigests": [f"a@{DIGEST}"]},
            {"Id": "i2", "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]},
            {"Id": "i3", "RepoTags": None, "RepoDigests": None},
        ]

    def remove_container(self, name: str, **options: bool) -> None:
        self._remove(("container", name, options))

    def remove_image(self, reference: str, **options: bool) -> None:
        self._remove(("image", reference, options))

    def _remove(self, told: tuple[Any, ...]) -> None:
        self.told.append(told)
        if self.answer:
            response = type("Response", (), {"status_code": self.answer})()
            raise engine.docker_errors.APIError("refused", response=response, explanation="it says no")


def test_a_container_counts_as_a_releases_only_in_a_slot_of_this_platform(tmp_path: Path) -> None:
    (tmp_path / ".old-x").mkdir()
    holdings = observe_holdings(Engine(), "erni", str(tmp_path))
    assert holdings.containers == (
        HostContainer("erni-backend-blue", "i1", OLD, at_rest=True),
        HostContainer("b", "i2", "", at_rest=True),
        HostContainer("c", "i3", "", at_rest=False),
        HostContainer("4", "i4", "", at_rest=True),
    )
    assert holdings.images == (HostImage("i1", ("a:1", f"a@{DIGEST}")), HostImage("i2", ()), HostImage("i3", ()))
    assert holdings.unfinished == (".old-x",)


def test_on_a_host_that_is_shared_no_image_goes_since_the_other_platforms_records_are_not_known(tmp_path: Path) -> None:
    shared = observe_holdings(Engine(neighbour="erni-staging"), "erni", str(tmp_path))
    assert shared.images == ()
    assert [c.name for c in shared.containers] == ["erni-backend-blue", "b", "c", "4"], "they hold their images still"
    plan = plan_retention({NEW}, {OLD: manifest(OLD, "a:1"), NEW: manifest(NEW, "b:1")}, shared)
    assert plan.kinds == ["remove_container", "remove_manifest"]


def test_the_other_platforms_container_in_a_slot_is_never_taken_for_one_of_ours(tmp_path: Path) -> None:
    holdings = observe_holdings(Engine(), "erni-staging", str(tmp_path))
    assert {c.release for c in holdings.containers} == {""}


@pytest.mark.parametrize("answer", [0, 404, 409])
def test_nothing_is_forced_and_what_is_in_use_or_gone_by_now_is_left_at_that(tmp_path: Path, answer: int) -> None:
    for release in (OLD, NEW):
        write_manifest(str(tmp_path), manifest(release, "a:1"))
    (tmp_path / ".new-x").mkdir()
    (tmp_path / "journal.jsonl").write_text("")
    manifests = {OLD: manifest(OLD, "a:1"), NEW: manifest(NEW, "b:1")}
    host = Engine(answer)
    plan = plan_retention({NEW}, manifests, observe_holdings(host, "erni", str(tmp_path)))
    apply_retention(host, str(tmp_path), plan)
    assert host.told == [
        ("container", "erni-backend-blue", {"v": True}),
        ("image", "a:1", {}),
        ("image", f"a@{DIGEST}", {}),
    ]
    assert list(read_manifests(str(tmp_path))[0]) == [NEW]
    assert sorted(path.name for path in tmp_path.iterdir()) == [NEW, "journal.jsonl"]


def test_an_engine_that_fails_is_told_as_a_sentence_and_the_record_stays(tmp_path: Path) -> None:
    write_manifest(str(tmp_path), manifest(OLD, "a:1"))
    plan = plan_retention(set(), {OLD: manifest(OLD, "a:1")}, observe_holdings(Engine(), "erni", str(tmp_path)))
    with pytest.raises(PlatformError, match="erni-backend-blue could not be removed: it says no"):
        apply_retention(Engine(500), str(tmp_path), plan)
    assert list(read_manifests(str(tmp_path))[0]) == [OLD]
