"""Whether an environment's variables are filled in and make sense together."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.erni.settings_preflight import check_archive, check_live_restore, check_settings, unfilled
from platform_builders import ROOT

HOST, URL = "app.example.org", "https://app.example.org"


@pytest.mark.parametrize(
    ("variables", "paths"),
    [
        ({}, []),
        ({"a": "filled", "b": 1, "c": None, "d": True}, []),
        ({"a": "FILL_IN"}, ["a"]),
        ({"a": "https://FILL_IN/api"}, ["a"]),
        ({"a": {"b": {"c": "FILL_IN"}, "d": "x"}}, ["a.b.c"]),
        ({"a": ["x", "FILL_IN", "FILL_IN"]}, ["a"]),
        ({"a": ({"b": "FILL_IN"},)}, ["a.b"]),
        ({"b": "FILL_IN", "a": "FILL_IN"}, ["a", "b"]),
        ({"FILL_IN": "x"}, []),
    ],
)
def test_what_still_carries_the_examples_mark_is_named_once(variables: dict[str, Any], paths: list[str]) -> None:
    assert [finding.what for finding in unfilled(variables)] == [
        f"The variable {path} is not filled in" for path in paths
    ]


def said(
    *, host: str = HOST, hosts: list[str] | None = None, origins: list[str] | None = None, strict: bool = True
) -> str:
    found = check_settings(host, f"https://{host}", hosts or [host], origins or [f"https://{host}"], strict=strict)
    assert all(finding.severity == "error" and finding.remedy for finding in found)
    return "; ".join(f"{finding.what}: {finding.why}" for finding in found)


def test_settings_that_fit_together_have_no_findings() -> None:
    assert check_settings(HOST, URL, [HOST, "localhost"], [URL, "https://other.example.org:8443"], strict=True) == []


@pytest.mark.parametrize("host", ["localhost", "a.b-c.d", "192.0.2.7", "x" * 63 + ".org", "A.Example"])
def test_a_host_name_is_accepted(host: str) -> None:
    assert said(host=host) == ""


@pytest.mark.parametrize(
    "host",
    ["", "https://a.b", "a.b:443", "a.b/c", "-a.b", "a-.b", "a..b", ".a", "a_b", "x" * 64 + ".org", "a." * 127 + "ab"],
)
def test_what_is_no_host_name_is_refused(host: str) -> None:
    assert "that is no host name" in said(host=host)


def test_a_backend_that_would_refuse_its_own_host_name_is_found() -> None:
    assert said(hosts=["other"]).startswith("backend_allowed_hosts (ALLOWED_HOSTS) does not hold the public host name")


def test_pages_that_could_not_call_their_own_api_are_found() -> None:
    assert said(origins=["https://other.example.org"]).startswith(
        "backend_cors_origins (CORS_ORIGINS) does not hold the public URL"
    )


@pytest.mark.parametrize(
    ("origin", "strict", "accepted"),
    [
        ("https://a.example.org", True, True),
        ("https://a.example.org:8443", True, True),
        ("http://a.example.org", True, False),
        ("http://localhost:3000", False, True),
        ("https://a.example.org/", True, False),
        ("https://a.example.org/path", False, False),
        ("https://a.example.org?x=1", False, False),
        ("https://a.example.org#x", False, False),
        ("a.example.org", False, False),
        ("ftp://a.example.org", False, False),
        ("https://", False, False),
        ("", False, False),
    ],
)
def test_an_origin_is_scheme_host_and_port_and_in_the_open_always_https(
    origin: str, strict: bool, accepted: bool
) -> None:
    found = said(origins=[URL, origin], strict=strict)
    assert ("that is no origin" not in found) is accepted


@pytest.mark.parametrize(
    ("hosts", "origins", "count"), [(["*"], [URL], 1), ([HOST], ["*"], 1), (["*"], ["*"], 2), ([HOST], [URL], 0)]
)
def test_wildcards_are_for_environments_that_are_not_open_to_the_world(
    hosts: list[str], origins: list[str], count: int
) -> None:
    assert len(check_settings(HOST, URL, hosts, origins, strict=True)) == count
    assert check_settings(HOST, URL, hosts, origins, strict=False) == []


@pytest.mark.parametrize(
    ("choice", "driver", "refused"),
    [
        ("never", "overlay", False),
        ("installed", "overlay", True),
        ("always", "overlay", True),
        ("always", "bridge", False),
        ("installed", "bridge", False),
    ],
)
def test_an_engine_that_is_to_join_a_swarm_is_not_told_to_leave_its_containers_running(
    choice: str, driver: str, refused: bool
) -> None:
    assert [finding.severity for finding in check_live_restore(choice, driver)] == ["error"] * refused


STORE = {"to": "s3", "bucket": "b", "endpoint": "e", "region": "r"}
PASSPHRASE, KEYS = {"archive_passphrase": "x"}, {"archive_s3_key": "x", "archive_s3_key_secret": "x"}


@pytest.mark.parametrize(
    ("archive", "secrets", "timeout", "found"),
    [
        ({}, {}, 0, []),
        ({"to": "folder"}, PASSPHRASE, 60, []),
        (STORE, PASSPHRASE | KEYS, 60, []),
        ({"to": "folder"}, {}, 60, ["The secret archive_passphrase is missing"]),
        ({"to": "folder"}, PASSPHRASE, 0, ["postgres_archive_timeout is 0"]),
        ({"folder": "x"}, PASSPHRASE, 60, ["postgres_archive does not say where the archive is"]),
        (
            STORE | {"bucket": ""},
            PASSPHRASE | {"archive_s3_key": "x"},
            60,
            ["postgres_archive has no bucket", "The secret archive_s3_key_secret is missing"],
        ),
    ],
)
def test_an_archive_has_what_its_place_needs(
    archive: dict[str, str], secrets: dict[str, str], timeout: int, found: list[str]
) -> None:
    assert [finding.what for finding in check_archive(archive, secrets, timeout)] == found


@pytest.mark.parametrize("archive", [{}, {"to": "folder"}, STORE | {"uri_style": "path", "port": 9000, "path": "/x"}])
def test_each_archive_that_the_documentation_shows_is_one_by_the_roles_spec(archive: dict[str, Any]) -> None:
    specs = yaml.safe_load((ROOT / "roles" / "postgres" / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    option = specs["up"]["options"]["postgres_archive"]
    assert ArgumentSpecValidator({"archive": option}).validate({"archive": archive}).error_messages == []
