"""How far long work has come: what is told of it, and that telling never costs the work anything."""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from ansible.module_utils.erni import progress
from ansible.module_utils.erni.progress import (
    BYTES,
    ROWS,
    Progress,
    Standing,
    Track,
    duration,
    parse,
    polled,
    rate,
    seconds_left,
    sentence,
    shares,
    untold,
)

DUMP = Standing("postgres", "dumping", 1_200_000_000, 2_000_000_000)
RATES = [
    pytest.param([], None, id="nothing was seen"),
    pytest.param([(0, 5)], None, id="seen once"),
    pytest.param([(3, 5), (3, 9)], None, id="seen twice at the same moment"),
    pytest.param([(0, 0), (2, 300)], 150.0, id="two sightings"),
    pytest.param([(0, 0), (2, 100), (4, 600)], 150.0, id="over all of them"),
    pytest.param([(0, 700), (2, 700)], 0.0, id="nothing moves"),
    pytest.param([(0, 700), (2, 300)], 0.0, id="a database that became smaller"),
]


@pytest.mark.parametrize(("seen", "expected"), RATES)
def test_the_rate_is_that_between_the_first_and_the_last_sighting(
    seen: list[tuple[float, int]], expected: float | None
) -> None:
    assert rate(deque(seen)) == expected


@pytest.mark.parametrize(
    ("done", "total", "speed", "expected"),
    [
        (40, 100, 20.0, 3.0),
        (100, 100, 20.0, 0.0),
        (40, 0, 20.0, None),
        (140, 100, 20.0, None),
        (40, 100, 0.0, None),
        (40, 100, None, None),
    ],
)
def test_the_time_left_is_known_only_with_a_total_and_a_rate(
    done: int, total: int, speed: float | None, expected: float | None
) -> None:
    assert seconds_left(Standing("", "x", done, total), speed) == expected


SENTENCES = [
    (DUMP, 105e6, "postgres: dumping, 1.2 of 2.0 GB, 105 MB/s, 8 s left"),
    (
        Standing("postgres", "dumping", 1_200_000_000, 2_000_000_000, BYTES, about=True),
        105e6,
        "postgres: dumping, 1.2 of about 2.0 GB, 105 MB/s, about 8 s left",
    ),
    (DUMP, None, "postgres: dumping, 1.2 of 2.0 GB"),
    (Standing("", "dumping", 2_000_000_000, 2_000_000_000), 105e6, "dumping, 2.0 of 2.0 GB, 105 MB/s, 1 s left"),
    (DUMP, 0.0, "postgres: dumping, 1.2 of 2.0 GB, nothing more for 14 s"),
    (Standing("postgres", "dumping", 1_200_000_000), 105e6, "postgres: dumping, 1.2 GB, 105 MB/s"),
    (
        Standing("postgres", "dumping", 2_300_000_000, 2_000_000_000, BYTES, about=True),
        105e6,
        "postgres: dumping, 2.3 GB, 105 MB/s",
    ),
    (
        Standing("", "comparing a.zst", 12_000_000, 80_000_000),
        4.2e6,
        "comparing a.zst, 12.0 of 80.0 MB, 4.2 MB/s, 16 s left",
    ),
    (Standing("", "copying", 300, 900), 100.0, "copying, 0.3 of 0.9 kB, 0.1 kB/s, 6 s left"),
    (Standing("redis", "reading it whole"), 0.0, "redis: reading it whole, for 1 min 30 s"),
    (Standing("redis", "reading it whole"), None, "redis: reading it whole, for 1 min 30 s"),
    (Standing("", "restoring", 1_200, 3_000, ROWS), 100.0, "restoring, 1,200 of 3,000 rows, 100 rows/s, 18 s left"),
    (Standing("", "restoring", 1_200, 0, ROWS), 1500.0, "restoring, 1,200 rows, 1,500 rows/s"),
]


@pytest.mark.parametrize(("standing", "speed", "expected"), SENTENCES)
def test_work_is_told_in_a_sentence(standing: Standing, speed: float | None, expected: str) -> None:
    assert sentence(standing, speed, lasting=90, still=14) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (599, "9 min 59 s"),
        (601, "10 min"),
        (3590, "60 min"),
        (3601, "1 h 0 min"),
        (9000, "2 h 30 min"),
    ],
)
def test_a_duration_is_no_more_exact_than_it_can_be_known(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def seen(*sightings: tuple[float, Standing]) -> str:
    track, now = Track(), 0.0
    for now, standing in sightings:
        track.see(standing, now)
    return track.sentence(now)


def at(done: int, phase: str = "dumping", total: int = 1000) -> Standing:
    return Standing("", phase, done * 1_000_000, total * 1_000_000)


TRACKS = [
    pytest.param([], "", id="nothing yet"),
    pytest.param([(2, at(100))], "dumping, 100 MB of 1.0 GB", id="one sighting has no rate"),
    pytest.param([(2, at(100)), (4, at(200))], "dumping, 200 MB of 1.0 GB, 50.0 MB/s, 16 s left", id="two have"),
    pytest.param(
        [(2 * n, at(10 * n)) for n in range(10)] + [(20 + 2 * n, at(100 + 100 * n)) for n in range(6)],
        "dumping, 600 MB of 1.0 GB, 50.0 MB/s, 8 s left",
        id="what was long ago does not count",
    ),
    pytest.param(
        [(2 * n, at(100)) for n in range(8)],
        "dumping, 100 MB of 1.0 GB, nothing more for 14 s",
        id="since when it stalls",
    ),
    pytest.param(
        [(2, at(900)), (4, at(950)), (6, at(10, "reading")), (8, at(30, "reading"))],
        "reading, 30.0 MB of 1.0 GB, 10.0 MB/s, 1 min 37 s left",
        id="a phase begins anew",
    ),
    pytest.param([(2, at(0))], "dumping", id="it has just begun"),
    pytest.param(
        [(2, Standing("", "reading")), (4, Standing("", "reading"))], "reading, for 2 s", id="what cannot be measured"
    ),
]


@pytest.mark.parametrize(("sightings", "expected"), TRACKS)
def test_what_was_seen_makes_the_sentence(sightings: list[tuple[float, Standing]], expected: str) -> None:
    assert seen(*sightings) == expected


TOLD = {"subject": "s", "phase": "p", "done": 1, "total": 2, "unit": "bytes", "about": False}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", "null", '"x"', "{}", json.dumps(TOLD | {"done": "many"}), json.dumps(TOLD | {"done": None}),
     json.dumps(TOLD | {"done": 1e999})],
)  # fmt: skip
def test_what_no_module_wrote_is_nothing(text: str) -> None:
    assert parse(text) is None


def test_nothing_that_is_read_can_move_the_cursor_or_fill_the_screen() -> None:
    found = parse(json.dumps(TOLD | {"phase": "a\x1b[2Jb\n\r" + "c" * 1000, "done": -5}))
    assert found == Standing("s", "a[2Jb" + "c" * 75, 0, 2)


# Where the work is done


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "progress.json"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "WRITE_SECONDS", 0.0)


def test_what_is_written_is_what_is_read(path: Path, at_once: None) -> None:  # noqa: ARG001 (no waiting)
    with Progress(str(path), "postgres") as told, told.phase("dumping", 2000, about=True) as tell:
        assert parse(path.read_text()) == Standing("postgres", "dumping", 0, 2000, BYTES, about=True)
        tell(1200)
        assert parse(path.read_text()) == Standing("postgres", "dumping", 1200, 2000, BYTES, about=True)
        assert path.stat().st_mode & 0o777 == 0o600
        with told.phase("reading", 7, ROWS):
            assert parse(path.read_text()) == Standing("postgres", "reading", 0, 7, ROWS)
    assert os.listdir(path.parent) == []


def test_however_often_it_is_told_it_is_written_at_most_twice_a_second(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, written = 100.0, []
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    monkeypatch.setattr(Progress, "_write", lambda _self, standing: written.append(standing.done))
    with Progress(str(path)) as told, told.phase("dumping") as tell:
        for done in range(1, 31):  # three seconds
            now = 100 + done / 10
            assert tell.due() == (done % 5 == 0)
            tell(done)
        assert tell.standing.done == 30
    assert written == [0, 5, 10, 15, 20, 25, 30]


def test_work_that_fails_leaves_no_file(path: Path) -> None:
    with suppress(RuntimeError), Progress(str(path)) as told, told.phase("dumping"):
        assert path.exists()
        raise RuntimeError
    assert os.listdir(path.parent) == []


def test_a_file_that_cannot_be_written_does_not_stop_the_work(tmp_path: Path, at_once: None) -> None:  # noqa: ARG001
    with Progress(str(tmp_path / "no" / "such" / "folder")) as told, told.phase("dumping") as tell:
        tell(1)
        (tmp_path / "no" / "such").mkdir(parents=True)
        tell(2)
        assert os.listdir(tmp_path / "no" / "such") == [], "it is given up once"


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_in_its_place_is_not_written_through(path: Path, link: Callable[[Path, str], None]) -> None:
    precious = path.with_name("precious")
    precious.write_text("precious")
    link(precious, f"{path}.new")
    with Progress(str(path)) as told, told.phase("dumping"):
        pass
    assert precious.read_text() == "precious"


def test_without_a_listener_nothing_is_asked_for_and_nothing_written(tmp_path: Path) -> None:
    def probe() -> int:
        raise AssertionError

    with Progress() as told, told.phase("dumping") as tell, polled(tell, probe):
        assert not tell.heard
        assert not tell.due()
        tell(5)
        assert threading.active_count() == len(threading.enumerate())
        assert tell.standing.done == 5
    assert not untold().due()
    assert os.listdir(tmp_path) == []


def test_a_probe_is_asked_meanwhile_and_may_fail(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "WRITE_SECONDS", 0.01)
    asked, answered = 0, threading.Event()

    def probe() -> int:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise FileNotFoundError
        answered.set()
        return 70 + min(asked, 3)

    with Progress(str(path)) as told, told.phase("restoring", 100) as tell:
        with polled(tell, probe):
            assert answered.wait(10)
        assert tell.standing.done > 70
        last = asked
    assert asked == last, "it ends with the work"


def test_what_goes_on_in_several_places_at_once_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "WRITE_SECONDS", 0.0)
    told: list[int] = []
    whole = progress.Tell(DUMP, lambda standing: told.append(standing.done))
    one, two = shares(whole, 2)
    one(10)
    two(5)
    one(30)
    assert told == [10, 15, 35]
    assert whole.standing.done == 35
    assert one.due()


def test_of_a_share_nothing_is_due_where_nobody_listens() -> None:
    (only,) = shares(untold(), 1)
    assert not only.due()
