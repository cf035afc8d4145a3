"""A release comes to production only after it has served elsewhere, or with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.module_utils.erni.release_evidence import Evidence, missing, read_evidence, record, refusal

COMMIT, IMAGE = "a" * 40, "registry/backend@sha256:" + "1" * 64
BY_COMMIT = Evidence("staging", COMMIT, "erni/backend:0123456789ab", "0" * 12, "2030-01-01T00:00:00Z")
BY_IMAGE = Evidence("staging", "", IMAGE, "1" * 12, "2030-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("known", "commit", "image", "absent"),
    [
        pytest.param([BY_COMMIT], COMMIT, "built here: another name", [], id="the same commit, built again"),
        pytest.param([BY_COMMIT], "b" * 40, BY_COMMIT.image, ["staging"], id="another commit"),
        pytest.param([BY_IMAGE], "", IMAGE, [], id="the same image"),
        pytest.param([BY_IMAGE], "", "registry/backend@sha256:2", ["staging"], id="another image"),
        pytest.param([BY_COMMIT], "", "", ["staging"], id="no image is not every image"),
        pytest.param([], COMMIT, IMAGE, ["staging"], id="nothing is known"),
    ],
)
def test_what_has_not_served_there_yet_is_missing(
    known: list[Evidence], commit: str, image: str, absent: list[str]
) -> None:
    assert missing(known, ["staging"], commit, image) == absent


def test_an_environment_that_asks_for_nothing_misses_nothing() -> None:
    assert missing([], [], COMMIT, IMAGE) == []


def test_a_refusal_names_what_where_and_the_two_ways_on() -> None:
    told = refusal(["staging"], "production", "  ", {"commit": COMMIT, "image": IMAGE})
    assert "commit aaaaaaaaaaaa has not" in told
    assert "make deploy ENV=staging" in told
    assert "REASON=" in told


@pytest.mark.parametrize(("absent", "reason"), [([], ""), (["staging"], "the site is down")])
def test_a_release_that_has_served_or_a_reason_passes(absent: list[str], reason: str) -> None:
    assert refusal(absent, "production", reason, {"commit": COMMIT, "image": IMAGE}) == ""


def test_what_is_recorded_is_read_again_and_a_cut_line_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "run" / "releases.jsonl"
    record(str(path), BY_COMMIT)
    with path.open("a") as handle:
        handle.write('{"environment": "stag')
    record(str(path), BY_IMAGE)
    assert read_evidence(str(path)) == [BY_COMMIT, BY_IMAGE]


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    assert read_evidence(str(tmp_path / "none")) == []
