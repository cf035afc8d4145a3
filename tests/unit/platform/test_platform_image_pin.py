"""References that mean the same tomorrow, and the tags that follow a release."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.erni import engine
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.image_pin import pinned, plan_tags, release_tags, repository_of, tag_release

ID, OLD, OLDER = (f"sha256:{digit * 64}" for digit in "123")
ONE, TWO = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PRESENT = {"backend": ID, "frontend": OLDER}


class Engine:
    """Names, each with the id of its image; ids name themselves."""

    def __init__(self, names: dict[str, str] | None = None, digests: list[str] | None = None, *ids: str) -> None:
        self.names, self.digests, self.ids = names or {}, digests, set(ids)
        self.tagged: list[tuple[str, str]] = []

    def inspect_image(self, reference: str) -> dict[str, Any]:
        assert reference, "the engine's client refuses to be asked for nothing"
        known = self.names | {image: image for image in (*self.names.values(), *self.ids)}
        if reference not in known:
            raise engine.docker_errors.ImageNotFound("no such image")
        return {"Id": known[reference], "RepoDigests": self.digests}

    def tag(self, image: str, repository: str, tag: str) -> None:
        self.tagged.append((f"{repository}:{tag}", image))
        self.names[f"{repository}:{tag}"] = image


@pytest.mark.parametrize(
    ("reference", "digests", "kept"),
    [
        (f"registry.example.org/web@{ONE}", [f"registry.example.org/web@{TWO}"], f"registry.example.org/web@{ONE}"),
        (f"web:1@{ONE}", [], f"web:1@{ONE}"),
        (ID, [f"web@{ONE}"], ID),
        ("erni/backend:0123456789ab", [f"erni/backend@{ONE}"], "erni/backend:0123456789ab"),
    ],
)
def test_what_cannot_move_stays_as_it_is(reference: str, digests: list[str], kept: str) -> None:
    assert pinned(Engine({reference: ID}, digests), reference) == (kept, ID)


@pytest.mark.parametrize(
    ("reference", "digests", "kept"),
    [
        ("r.example.org:5000/web:1", [f"r.example.org:5000/web@{ONE}"], f"r.example.org:5000/web@{ONE}"),
        ("r.example.org:5000/web", [f"r.example.org:5000/web@{ONE}"], f"r.example.org:5000/web@{ONE}"),
        ("web:latest", [f"mirror.example.org/web@{TWO}", f"web@{ONE}"], f"web@{ONE}"),
        ("docker.io/library/web:1", [f"web@{ONE}"], f"docker.io/library/web@{ONE}"),
        ("web:1", [f"web@{TWO}", f"web@{ONE}"], f"web@{ONE}"),
        ("web:1", [f"mirror.example.org/web@{ONE}"], ID),
        ("web:1", [], ID),
        ("web:1", None, ID),
        ("web:0123456789a", [], ID),
        ("web:0123456789abc", [], ID),
        ("web:0123456789AB", [], ID),
    ],
)
def test_a_tag_that_can_move_becomes_its_registrys_digest_or_else_the_images_id(
    reference: str, digests: list[str] | None, kept: str
) -> None:
    assert pinned(Engine({reference: ID}, digests), reference) == (kept, ID)


@pytest.mark.parametrize(
    ("reference", "kept"),
    [
        ("erni/web:0123456789ab", "erni/web:0123456789ab"),
        ("other/web:0123456789ab", ID),
        ("ernix/web:0123456789ab", ID),
    ],
)
def test_twelve_digits_are_content_only_where_the_platform_names_the_images(reference: str, kept: str) -> None:
    assert pinned(Engine({reference: ID}), reference, "erni") == (kept, ID)


def test_an_image_that_is_not_there_is_told_in_a_sentence() -> None:
    with pytest.raises(PlatformError, match=r"^The image erni/web:1 is not on this host: .* run make deploy"):
        pinned(Engine(), "erni/web:1")


@pytest.mark.parametrize(
    ("reference", "repository"),
    [("web", "web"), ("a.b:5000/web", "a.b:5000/web"), ("a.b:5000/c/web:1", "a.b:5000/c/web"), (f"web:1@{ONE}", "web")],
)
def test_a_registrys_port_is_no_tag(reference: str, repository: str) -> None:
    assert repository_of(reference) == repository


@pytest.mark.parametrize(
    ("latest", "previous", "tags"),
    [
        ({}, {}, {"latest": ID}),
        ({"backend": ID}, {}, {"latest": ID}),
        ({"backend": OLD}, {}, {"latest": ID, "previous": OLD}),
        ({"backend": OLD}, {"backend": OLDER}, {"latest": ID, "previous": OLDER}),
        ({"backend": OLD}, {"backend": ID}, {"latest": ID}),
        ({"backend": ""}, {"frontend": OLDER}, {"latest": ID}),
    ],
)
def test_previous_is_what_was_latest_before_if_it_was_another(
    latest: dict[str, str], previous: dict[str, str], tags: dict[str, str]
) -> None:
    wanted = release_tags({"backend": ID}, latest, "erni", previous)
    assert wanted == {f"erni/backend:{tag}": image for tag, image in tags.items()}


def test_both_images_carry_the_commit_where_one_is_known() -> None:
    wanted = release_tags(PRESENT, {}, "r.example.org/erni", {}, COMMIT)
    assert wanted == {
        "r.example.org/erni/backend:latest": ID,
        "r.example.org/erni/backend:0123456789ab": ID,
        "r.example.org/erni/frontend:latest": OLDER,
        "r.example.org/erni/frontend:0123456789ab": OLDER,
    }


def test_a_tag_that_names_the_image_already_is_left_alone() -> None:
    plan = plan_tags({"a:latest": ID, "b:latest": OLD, "c:latest": ID}, {"a:latest": ID, "b:latest": ID})
    assert [action.subject for action in plan.actions] == ["b:latest", "c:latest"]
    assert plan.sentences[0] == "b:latest names sha256:222222222222"
    assert plan.diff("tags")["before"] == {"image b:latest": ID, "image c:latest": None}


def test_tags_follow_from_release_to_release_and_back_again_and_stand_still_in_between() -> None:
    client = Engine({}, None, ID, OLD)

    def tags() -> tuple[str, str]:
        return client.names["erni/backend:latest"], client.names["erni/backend:previous"]

    tag_release(client, {"backend": OLD}, "erni", {})
    assert tag_release(client, {"backend": ID}, "erni", {}).changed
    assert tags() == (ID, OLD)
    client.tagged.clear()
    assert not tag_release(client, {"backend": ID}, "erni", {}).changed
    assert client.tagged == []
    tag_release(client, {"backend": OLD}, "erni", {"backend": ID})
    assert tags() == (OLD, ID)


def test_a_check_says_which_tags_would_move_and_moves_none() -> None:
    client = Engine({"erni/backend:latest": OLD}, None, ID)
    plan = tag_release(client, {"backend": ID}, "erni", {}, COMMIT, predicting=True)
    tags = ["latest", "previous", "0123456789ab"]
    assert [action.subject for action in plan.actions] == [f"erni/backend:{tag}" for tag in tags]
    assert client.tagged == []


def test_an_image_that_was_removed_since_does_not_keep_the_others_from_their_tags() -> None:
    client = Engine({}, None, ID)
    tag_release(client, {"backend": ID, "frontend": ""}, "erni", {"backend": OLD})
    assert client.tagged == [("erni/backend:latest", ID)]
