"""What an operator means with RELEASE=, and what cannot be meant."""

from __future__ import annotations

import pytest
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.release_source import GitRef, Images, Inventory, parse, without_user

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
BACKEND, FRONTEND = f"registry.example.org:5000/erni/backend@{DIGEST}", "erni/frontend:0123456789ab"


@pytest.mark.parametrize("text", ["", "  ", "inventory", " inventory\n"])
def test_nothing_or_the_word_means_what_the_inventory_says(text: str) -> None:
    assert parse(text) == Inventory()


@pytest.mark.parametrize(
    "name",
    [
        "main",
        "v1.2.3",
        "feature/new-agents",
        "refs/tags/v1",
        "0123456",
        "0123456789abcdef0123456789abcdef01234567",
        "a=b",
        "über@home",
        "release-2024_05,1",
        "lock",
    ],
)
def test_a_single_word_is_a_name_that_git_knows(name: str) -> None:
    assert parse(f" {name} ") == GitRef(name)


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("-main", "'-'"),
        ("--upload-pack=touch", "'-'"),
        ("a b", "' '"),
        ("a\tb", r"'\\t'"),
        ("main~1", "'~'"),
        ("main^", r"'\^'"),
        ("a:b", "':'"),
        ("a?", r"'\?'"),
        ("a*", r"'\*'"),
        ("a[0]", r"'\['"),
        ("a\\b", r"'\\\\'"),
        ("a..b", r"'\.\.'"),
        ("main@{1}", "'@{'"),
        ("@", "'@'"),
        ("a//b", "'//'"),
        ("/a", "'/'"),
        ("a/", "'/'"),
        ("a.", r"'\.'"),
        (".a", r"'\.'"),
        ("a/.b", r"'/\.'"),
        ("a.lock", r"'\.lock'"),
        ("a.lock/b", r"'\.lock/'"),
    ],
)
def test_what_git_refuses_in_a_name_is_refused_before_git_is_asked(name: str, refused: str) -> None:
    with pytest.raises(PlatformError, match=rf"cannot be deployed: {refused} cannot stand there in the name of"):
        parse(name)


@pytest.mark.parametrize(
    "text",
    [
        f"backend={BACKEND},frontend={FRONTEND}",
        f"frontend={FRONTEND},backend={BACKEND}",
        f"backend={BACKEND} frontend={FRONTEND}",
        f" backend={BACKEND} ,\tfrontend={FRONTEND}, ",
    ],
)
def test_two_named_references_are_images_in_whatever_order(text: str) -> None:
    assert parse(text) == Images(BACKEND, FRONTEND)


@pytest.mark.parametrize(
    "reference",
    [
        "backend",
        "localhost:5000/backend:1",
        "registry.example.org/a/b__c-d.e:V1.0_x",
        f"erni/backend:1@{DIGEST}",
        DIGEST,
    ],
)
def test_a_reference_is_whatever_an_engine_takes_for_one(reference: str) -> None:
    assert parse(f"backend={reference},frontend={FRONTEND}") == Images(reference, FRONTEND)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"backend={BACKEND}", "frontend is missing, and the two switch together"),
        (f"frontend={FRONTEND}", "backend is missing, and the two switch together"),
        (f"backend={BACKEND},backend={BACKEND},frontend={FRONTEND}", "backend is named twice"),
        (f"backend={BACKEND},{FRONTEND}", f"'{FRONTEND}' is neither backend=<image> nor frontend=<image>"),
        (f"backend={BACKEND},frontend={FRONTEND},nginx=n:1", "'nginx=n:1' is neither"),
        (f"main backend={BACKEND}", "'main' is neither"),
        (f"backend=,frontend={FRONTEND}", "'' is no reference to an image"),
        (f"backend=Erni/Backend,frontend={FRONTEND}", "'Erni/Backend' is no reference to an image"),
        (f"backend=-x,frontend={FRONTEND}", "'-x' is no reference to an image"),
        (f"backend=a@sha256:12,frontend={FRONTEND}", "'a@sha256:12' is no reference to an image"),
        (f"backend=a;b,frontend={FRONTEND}", "'a;b' is no reference to an image"),
    ],
)
def test_images_that_cannot_be_meant_are_refused_with_the_reason_and_an_example(text: str, why: str) -> None:
    with pytest.raises(PlatformError) as refused:
        parse(text)
    assert why in str(refused.value)
    assert "RELEASE=backend=<image>,frontend=<image>" in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "https://deployer:pa$$w0rd@git.example.org/product.git",
        "https://deployer:pa$$w0rd@registry.example.org/backend=x",
        "backend=https://deployer:pa$$w0rd@registry.example.org/x",
    ],
)
def test_a_password_that_was_typed_into_release_is_not_repeated(text: str) -> None:
    with pytest.raises(PlatformError) as refused:
        parse(text)
    assert "example.org" in str(refused.value)
    assert "pa$$w0rd" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://a:b@h/x", "https://h/x"),
        ("cannot reach 'https://a:b@c@h:1/x': no", "cannot reach 'https://h:1/x': no"),
        ("ssh://git@h/x and https://t@h/y", "ssh://h/x and https://h/y"),
        ("git@h:x, https://h/x@y, a@b", "git@h:x, https://h/x@y, a@b"),
    ],
)
def test_only_who_logs_in_is_taken_out_of_a_url(text: str, shown: str) -> None:
    assert without_user(text) == shown
