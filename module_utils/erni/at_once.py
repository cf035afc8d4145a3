"""Works that go on at once, and end together when one of them fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")


def at_once(works: Sequence[Callable[[], T]], end: Callable[[], object]) -> list[T]:
    """What each of them gives, in their order.

    :param end: ends those that still go on when one has failed; it is called in this thread.
    :raises BaseException: what the first one that failed has raised, once all have ended.
    """
    if len(works) == 1:
        return [works[0]()]
    with ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(work) for work in works]
        try:
            done, _going = wait(futures, return_when=FIRST_EXCEPTION)
            failed = [future for future in futures if future in done and future.exception()]
        except BaseException:
            end()
            raise
        if failed:
            end()
    return _results(failed or futures)


def _results(futures: list[Future[T]]) -> list[T]:
    return [future.result() for future in futures]
