"""A backup set as its manifest tells it, and what makes a new one look as if data had been lost."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.erni.backup_set import (
    FORMAT,
    POSTGRES,
    REDIS,
    SESSIONS,
    Manifest,
    Part,
    StoredFile,
    collapse,
    fresh_enough,
    is_set_id,
    newest,
    set_id,
    time_of,
)
from ansible.module_utils.erni.errors import PlatformError

NOON = 1_767_355_200.0  # 2026-01-02 12:00:00 UTC
DUMP = StoredFile("postgres.dump.zst", 1000, "ab" * 32)


def part(kind: str = POSTGRES, rows: int = 1000, host: str = "one", **facts: Any) -> Part:
    return Part(kind, host, NOON, 1.5, (DUMP,), {"rows": {"public.messages": rows}, **facts})


def a_set(*parts: Part, began: float = NOON) -> Manifest:
    return Manifest(set_id(began, "00ff"), "local", "erni", began, 3.0, "op", "", parts or (part(),), began + 2)


def test_a_manifest_comes_back_as_it_was_written() -> None:
    written = replace(a_set(part(), part(SESSIONS)), recipients=("age1abc",))
    assert Manifest.from_json(written.as_json(), "x") == written
    assert written.size == 2000
    assert [each.kind for each in written.part(SESSIONS)] == [SESSIONS]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "JSONDecodeError"),
        ("[]", "TypeError"),
        ("{}", "KeyError: 'format'"),
        ('{"format": 1}', "KeyError: 'parts'"),
        ('{"format": 1, "parts": [{"files": []}], "recipients": []}', "TypeError"),
        ('{"format": "1"}', "TypeError"),
    ],
)
def test_a_damaged_manifest_is_none(text: str, said: str) -> None:
    with pytest.raises(PlatformError, match=r"/sets/x/manifest.json cannot be read as the manifest of a set") as raised:
        Manifest.from_json(text, "/sets/x/manifest.json")
    assert said in str(raised.value)


def test_a_manifest_of_a_later_version_is_refused_and_not_called_damaged() -> None:
    told = json.loads(a_set().as_json()) | {"format": FORMAT + 1, "something": "new"}
    with pytest.raises(PlatformError, match="of a later version of the platform"):
        Manifest.from_json(json.dumps(told), "x")


def test_an_id_tells_when_the_set_began_and_sorts_by_it() -> None:
    identifier = set_id(NOON, "00ff")
    assert identifier == "20260102T120000Z-00ff"
    assert time_of(identifier) == NOON
    assert set_id(NOON, "ffff") < set_id(NOON + 1, "0000")


@pytest.mark.parametrize(
    "name", ["", ".partial", "20260102T120000Z", "20260102T120000Z-00fg", "x20260102T120000Z-00ff"]
)
def test_what_is_no_id_is_no_set(name: str) -> None:
    assert is_set_id("20260102T120000Z-00ff")
    assert not is_set_id(name)


@pytest.mark.parametrize(
    ("age", "max_age", "fresh"), [(59, 60, True), (60, 60, False), (0, 0, False), (10, 3600, True)]
)
def test_a_set_is_fresh_for_as_long_as_it_was_asked_for(age: float, max_age: float, fresh: bool) -> None:
    sets = [a_set(began=NOON - 7200), a_set(began=NOON)]
    found = fresh_enough(sets, NOON + age, max_age)
    assert (found is not None) is fresh
    assert found in (None, sets[1])


def test_the_newest_is_the_one_that_began_last() -> None:
    older, newer = a_set(began=NOON - 1), a_set(began=NOON)
    assert newest([newer, older]) is newer
    assert newest([]) is None
    assert fresh_enough([], NOON, 60) is None


@pytest.mark.parametrize(
    ("now", "before", "told"),
    [
        (part(rows=499), [1000], True),
        (part(rows=500), [1000], False),
        (part(rows=0), [1000, 1000, 1000], True),
        (part(rows=0), [], False),  # the first set has nothing to be compared with
        (part(rows=0), [99], False),  # a handful may well be deleted
        (part(rows=400), [1000, 500, 500], False),  # one that was larger is not usual
        (part(rows=400), [1] * 9 + [1000] * 5, True),  # only the last five count
        (part(SESSIONS, rows=1), [1000], True),
        (part(REDIS, rows=1), [1000], False),  # a cache may forget
        (part(rows=1, host="two"), [1000], False),  # another host's
    ],
)
def test_a_part_that_lost_most_of_its_rows_makes_no_set(now: Part, before: list[int], told: bool) -> None:
    sets = [a_set(part(now.kind, rows=rows), began=NOON + number) for number, rows in enumerate(before)]
    said = collapse(now, sets)
    assert bool(said) is told
    if told:
        assert said.startswith(f"{now.kind} on one has")
