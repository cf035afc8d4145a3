"""Works go on at once, and the first failure ends all of them."""

from __future__ import annotations

import threading

import pytest
from ansible.module_utils.erni.at_once import at_once

SECONDS = 10.0


def test_each_gives_its_result_and_none_waits_for_another_one_to_end() -> None:
    all_there = threading.Barrier(3, timeout=SECONDS)

    def work(number: int) -> int:
        all_there.wait()
        return number

    ended: list[bool] = []
    assert at_once([lambda n=n: work(n) for n in range(3)], lambda: ended.append(True)) == [0, 1, 2]
    assert ended == []


@pytest.mark.parametrize("place", [0, 1])
def test_when_one_fails_the_others_are_ended_and_its_failure_is_told(place: int) -> None:
    stop = threading.Event()

    def fail() -> None:
        raise ValueError("the cause")

    def go_on() -> None:
        assert stop.wait(SECONDS)
        raise RuntimeError("the consequence")

    works = [go_on, go_on]
    works[place] = fail
    with pytest.raises(ValueError, match="the cause"):
        at_once(works, stop.set)
    assert stop.is_set()


def test_a_single_work_is_done_in_this_very_thread() -> None:
    assert at_once([threading.get_ident], lambda: None) == [threading.get_ident()]
