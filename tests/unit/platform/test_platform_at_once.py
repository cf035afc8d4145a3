"""Works go on at once, and the first failure ends all of them."""

from __future__ import annotations

import threading

import pytest
from ansible.module_utils.erni.at_once import at_once, meanwhile

SECONDS = 10.0


def test_each_gives_its_result_and_none_waits_for_another_one_to_end() -> None:
    all_there = threading.Barrier(3, timeout=SECONDS)

    def work(number: int) -> int:
        all_there.wait()
        return number

    ended: list[bool] = []
    assert at_once([lambda n=n: work(n) for n in range(3)], 3, lambda: ended.append(True)) == [0, 1, 2]
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
        at_once(works, 2, stop.set)
    assert stop.is_set()


def test_no_more_go_on_at_a_time_than_may_and_they_begin_in_their_order() -> None:
    begun: list[int] = []
    going = threading.Semaphore(2)

    def work(number: int) -> int:
        assert going.acquire(blocking=False), "there are two already"
        begun.append(number)
        threading.Event().wait(0.01)
        going.release()
        return number

    assert at_once([lambda n=n: work(n) for n in range(8)], 2, lambda: None) == [*range(8)]
    assert begun == sorted(begun)


def test_what_has_not_begun_when_one_fails_never_does() -> None:
    begun: list[str] = []

    def fail() -> None:
        raise ValueError("the cause")

    stop = threading.Event()
    with pytest.raises(ValueError, match="the cause"):
        at_once([lambda: stop.wait(SECONDS), fail, *(lambda: begun.append("x") for _ in range(100))], 2, stop.set)
    assert len(begun) < 100


def test_what_goes_on_beside_a_block_ends_with_it_and_is_waited_for() -> None:
    begun, left = threading.Event(), []

    def work(ended: threading.Event) -> None:
        begun.set()
        assert ended.wait(SECONDS)
        left.append("in good order")

    def block() -> None:
        with meanwhile(work):
            assert begun.wait(SECONDS)
            raise ValueError("the block's")

    with pytest.raises(ValueError, match="the block's"):
        block()
    assert left == ["in good order"]


def test_what_hangs_beside_a_block_is_waited_for_as_long_as_it_was_said() -> None:
    release, given_up = threading.Event(), []

    def hang(_: threading.Event) -> None:
        release.wait(SECONDS)
        given_up.append("after a long time")

    with meanwhile(hang, patience=0.01):
        pass
    assert given_up == []
    release.set()


def test_what_fails_beside_a_block_does_not_fail_the_block() -> None:
    reached = []

    def work(_: threading.Event) -> None:
        reached.append("work")
        raise RuntimeError

    with meanwhile(work):
        reached.append("block")
    assert sorted(reached) == ["block", "work"]
