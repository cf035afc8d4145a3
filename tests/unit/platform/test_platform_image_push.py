"""What one host has built reaches the others through a registry, once, and by digest."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.erni import engine
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.image_push import observe_pushed, plan_push, push, targets

APIError, ImageNotFound = engine.docker_errors.APIError, engine.docker_errors.ImageNotFound
DIGEST = f"sha256:{'a' * 64}"
BUILT, TARGET = "erni/backend:0123456789ab", "r.example.org:5000/erni/backend:0123456789ab"
PUSHED = f"r.example.org:5000/erni/backend@{DIGEST}"
CREDENTIALS = {"username": "deployer", "password": "correct-horse"}


class Engine:
    """One image, the names that it has here, and a registry that takes it or answers something else."""

    def __init__(self, *names: str, in_registry: bool = False, answers: list[dict[str, Any]] | None = None) -> None:
        self.names = set(names)
        self.in_registry = in_registry
        self.answers = [{"status": "Pushed"}] if answers is None else answers
        self.refused = ""
        self.digests = [PUSHED] if TARGET in names else []
        self.told: list[Any] = []

    def inspect_image(self, reference: str) -> dict[str, Any]:
        if reference not in self.names:
            raise ImageNotFound("no such image")
        return {"Id": "sha256:1", "RepoDigests": self.digests}

    def inspect_distribution(self, reference: str, auth_config: dict[str, str] | None) -> dict[str, Any]:
        self.told.append(("ask", reference, auth_config))
        if not self.in_registry:
            raise APIError("404 Client Error", explanation="manifest unknown")
        return {}

    def tag(self, image: str, repository: str, tag: str) -> None:
        self.told.append(("tag", image, repository, tag))
        self.names.add(f"{repository}:{tag}")

    def push(self, repository: str, tag: str, **options: Any) -> list[dict[str, Any]]:
        self.told.append(("push", repository, tag, options["auth_config"]))
        if self.refused:
            raise APIError("500 Server Error", explanation=self.refused)
        if not any("error" in answer for answer in self.answers) and self.answers:
            self.digests = [PUSHED]
        return self.answers


@pytest.mark.parametrize("repository", ["r.example.org:5000/erni", "r.example.org:5000/erni/"])
def test_an_image_goes_to_its_services_name_under_the_tag_of_its_content(repository: str) -> None:
    assert targets({"backend": BUILT}, repository) == {"backend": TARGET}
    assert targets({"backend": "other.example.org:5000/x/y:12"}, "r/e") == {"backend": "r/e/backend:12"}


@pytest.mark.parametrize("reference", [PUSHED, f"a:1@{DIGEST}", "r.example.org:5000/erni/backend"])
def test_what_was_not_built_here_is_not_pushed(reference: str) -> None:
    with pytest.raises(PlatformError, match=r"is not pushed: only images that were built here are"):
        targets({"backend": reference}, "r/e")


def test_only_what_the_registry_does_not_have_is_pushed() -> None:
    plan = plan_push({"backend": TARGET, "frontend": "r/frontend:1"}, {"backend": PUSHED})
    assert [(action.kind, action.subject) for action in plan.actions] == [("push", "frontend")]
    assert plan.sentences == ["image r/frontend:1 is pushed"]
    assert not plan_push({"backend": TARGET}, {"backend": PUSHED}).changed


@pytest.mark.parametrize(
    ("client", "pushed"),
    [
        (Engine(BUILT), {}),
        (Engine(BUILT, TARGET, in_registry=True), {"backend": PUSHED}),
        (Engine(BUILT, TARGET, in_registry=False), {}),
        (Engine(BUILT, in_registry=True), {}),
    ],
    ids=["never pushed", "pushed", "removed from the registry", "pushed by another host"],
)
def test_pushed_is_what_this_host_knows_by_digest_and_the_registry_still_has(
    client: Engine, pushed: dict[str, str]
) -> None:
    assert observe_pushed(client, {"backend": TARGET}, CREDENTIALS) == pushed


def test_a_push_names_the_image_sends_it_and_returns_its_digest() -> None:
    client = Engine(BUILT)
    assert push(client, BUILT, TARGET, CREDENTIALS) == PUSHED
    repository, tag = "r.example.org:5000/erni/backend", "0123456789ab"
    assert client.told == [("tag", BUILT, repository, tag), ("push", repository, tag, CREDENTIALS)]


@pytest.mark.parametrize(
    ("client", "refused", "said"),
    [
        (
            Engine(BUILT, answers=[{"status": "…"}, {"error": "denied: correct-horse may not"}]),
            "",
            "denied: (secret) may",
        ),
        (Engine(BUILT), "no basic auth credentials", "no basic auth credentials"),
        (Engine(BUILT, answers=[]), "", "the push ended without a digest"),
    ],
)
def test_a_push_that_fails_is_told_without_credentials_and_touches_nothing_that_serves(
    client: Engine, refused: str, said: str
) -> None:
    client.refused = refused
    with pytest.raises(PlatformError) as failed:
        push(client, BUILT, TARGET, CREDENTIALS)
    assert str(failed.value).startswith(f"The image {TARGET} could not be pushed: {said}")
    assert "Nothing that serves was touched. Check release_push_repository" in str(failed.value)
    assert CREDENTIALS["password"] not in str(failed.value)
