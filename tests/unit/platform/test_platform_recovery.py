"""What a recovery from nothing does on which hosts, from which set, with which release; and what it tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import recovery_host
from ansible.module_utils.erni.backup_set import POSTGRES, RELEASE, SECRETS, SESSIONS, Manifest, Part, StoredFile
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.recovery_host import Note, existing_volumes, recorded_release
from ansible.module_utils.erni.recovery_plan import (
    Course,
    Recovery,
    course,
    duration,
    holds,
    recovery_from,
    release_wanted,
    report,
    set_to_take,
)
from ansible.module_utils.erni.release_record import Manifest as ReleaseManifest
from ansible.module_utils.erni.release_record import manifest_to_json

FIRST, SECOND = "20260101T000000Z-0001", "20260102T000000Z-0002"
BEGUN = Recovery(FIRST, "production", 5000.0)
FINISHED = replace(BEGUN, finished=6000.0)
DATA = ["erni-postgres-data"]
FILE = (StoredFile("a.zst", 1, "00"),)
DIGEST = "sha256:" + "0" * 64
RECORDED = ReleaseManifest(
    id="0123456789ab",
    created="",
    operator="",
    environment="production",
    source="inventory",
    images={"backend": f"one.example/backend@{DIGEST}", "frontend": f"one.example/frontend@{DIGEST}"},
    image_ids={},
    services={},
    secrets={},
    config_digest="",
)


@pytest.mark.parametrize(
    ("known", "volumes", "wanted", "expected", "taken"),
    [
        (None, [], "", Course.BEGIN, ""),
        (None, [], FIRST, Course.BEGIN, FIRST),
        (BEGUN, [], "", Course.BEGIN, ""),
        (FINISHED, [], "", Course.BEGIN, ""),
        (BEGUN, DATA, "", Course.GO_ON, FIRST),
        (BEGUN, DATA, SECOND, Course.GO_ON, SECOND),
        (FINISHED, DATA, "", Course.DONE, FIRST),
        (FINISHED, DATA, FIRST, Course.DONE, FIRST),
    ],
    ids=[
        "a bare host",
        "from a set that was named",
        "killed before there was anything",
        "destroyed after it was recovered",
        "killed in the middle: the same set, though there may be newer ones by now",
        "killed in the middle, and another set is wanted",
        "recovered already",
        "recovered already from the set that is named",
    ],
)
def test_a_recovery_begins_goes_on_or_is_done(
    known: Recovery | None, volumes: list[str], wanted: str, expected: Course, taken: str
) -> None:
    what = course(known, volumes, wanted)
    assert (what, set_to_take(known, what, wanted)) == (expected, taken)


@pytest.mark.parametrize(
    ("known", "wanted", "said"),
    [
        (None, "", r"there are data already \(erni-postgres-data\)"),
        (FINISHED, SECOND, f"it was recovered from set {FIRST} at 1970-01-01 01:40:00 UTC"),
    ],
)
def test_data_that_no_recovery_has_brought_are_not_touched(known: Recovery | None, wanted: str, said: str) -> None:
    with pytest.raises(PlatformError, match=said) as refused:
        course(known, DATA, wanted)
    assert "make restore" in refused.value.remedy


SET = Manifest(
    FIRST,
    "production",
    "erni",
    4000.0,
    9.0,
    "",
    "",
    (
        Part(POSTGRES, "db", 4001.0, 1.0, FILE),
        Part(SESSIONS, "one", 4004.0, 1.0, FILE),
        Part(SESSIONS, "two", 4003.0, 1.0, FILE),
        Part(SECRETS, "db", 4005.0, 0.0, ()),
    ),
    4009.0,
)


@pytest.mark.parametrize(
    ("known", "began"),
    [(None, 7000.0), (BEGUN, 5000.0), (FINISHED, 7000.0), (replace(BEGUN, set=SECOND), 7000.0)],
    ids=["the first", "one that goes on began when it was begun", "a later one", "one from another set"],
)
def test_what_is_noted_is_the_set_and_the_moment_of_each_of_its_parts(known: Recovery | None, began: float) -> None:
    assert recovery_from(SET, 7000.0, known) == Recovery(
        FIRST, "production", began, {POSTGRES: 4001.0, SESSIONS: 4003.0}
    )


def test_a_part_without_files_holds_nothing() -> None:
    assert holds(SET, SESSIONS)
    assert not holds(SET, SECRETS)


@pytest.mark.parametrize(
    ("recorded", "wanted", "lost"),
    [
        (None, "", ""),
        (RECORDED, "", ""),
        (replace(RECORDED, source="git:" + "ab" * 20, commit="ab" * 20), "ab" * 20, ""),
        (
            replace(RECORDED, source="images"),
            f"backend=one.example/backend@{DIGEST},frontend=one.example/frontend@{DIGEST}",
            "",
        ),
        (
            replace(RECORDED, source="images", images={"backend": DIGEST, "frontend": DIGEST}),
            "",
            "Release 0123456789ab was made of images that only its host had; the inventory's release takes its place.",
        ),
    ],
    ids=["no record", "the inventory's", "a commit", "images of a registry", "images that are gone with the host"],
)
def test_the_release_of_the_set_comes_back_where_it_can(
    recorded: ReleaseManifest | None, wanted: str, lost: str
) -> None:
    assert release_wanted(recorded) == (wanted, lost)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (3_600, "1 h"), (11_530, "3 h 12 min"), (180_001, "2 d 2 h")],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_the_report_tells_each_step_and_the_recovery_point() -> None:
    steps: list[dict[str, Any]] = [{"name": "the set is here", "seconds": 3.21}, {"name": "it serves", "seconds": 60}]
    told = report(recovery_from(SET, 4001.0 + 7265, None), steps)
    assert [line.split() for line in told if line.startswith(("the set", "all"))] == [
        ["the", "set", "is", "here", "3.2"],
        ["all", "of", "it", "63.2"],
    ]
    assert "The recovery point is 1970-01-01 01:06:41 UTC, 2 h 1 min before the recovery began." in told
    assert not any(line.startswith("The state of postgres") for line in told)
    assert "The state of sessions is of 1970-01-01 01:06:43 UTC." in told


# What the host knows


def test_a_note_is_read_as_it_was_written_and_a_damaged_one_is_not_guessed(tmp_path: Path) -> None:
    note = Note(str(tmp_path / "erni"))
    assert note.read() is None
    note.write(FINISHED)
    assert note.read() == FINISHED
    Path(note.path).write_text("{")
    with pytest.raises(PlatformError, match=r"recovery\.json cannot be read"):
        note.read()


def test_without_an_engine_volumes_are_looked_for_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "volumes" / "erni-postgres-data").mkdir(parents=True)
    monkeypatch.setattr(recovery_host, "VOLUMES", str(tmp_path / "volumes"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert existing_volumes(["erni-postgres-data", "erni-redis-data"]) == ["erni-postgres-data"]


def test_the_release_is_read_out_of_the_set(tmp_path: Path) -> None:
    (tmp_path / "release.json").write_text(manifest_to_json(RECORDED))
    part = Part(RELEASE, "one", 1.0, 0.0, (StoredFile("release.json", 1, ""),))
    assert recorded_release(replace(SET, parts=(part,)), str(tmp_path), "") == RECORDED
    assert recorded_release(SET, str(tmp_path), "") is None
