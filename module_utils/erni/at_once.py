"""Works that go on at once, and end together when one of them fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")


def at_once(works: Sequence[Callable[[], T]], most: int, end: Callable[[], object]) -> list[T]:
    """What each of them gives, in their order, which is that of their beginning, too.

    :param most: that go on at the same time; the others wait for one to end.
    :param end: ends those that still go on when one has failed; it is called in this thread.
    :raises BaseException: what the first one that failed has raised, once all have ended.
    """
    with ThreadPoolExecutor(max(1, most)) as pool:
        futures = [pool.submit(work) for work in works]
        try:
            done, going = wait(futures, return_when=FIRST_EXCEPTION)
            failed = [future for future in futures if future in done and future.exception()]
        except BaseException:
            _end(futures, end)
            raise
        if failed:
            _end(going, end)
    return _results(failed or futures)


def _end(going: Iterable[Future[T]], end: Callable[[], object]) -> None:
    for future in going:  # what has not begun yet never does
        future.cancel()
    end()


def _results(futures: list[Future[T]]) -> list[T]:
    return [future.result() for future in futures]
