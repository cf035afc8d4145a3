"""Works that go on at once, and end together: when one of them fails, or with the block that they go on beside."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
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


@contextmanager
def meanwhile(work: Callable[[threading.Event], object], patience: float | None = None) -> Iterator[None]:
    """The work goes on in a thread of its own while the block runs. What it raises ends it, and nothing else.

    :param work: is given what is set once the block has ended.
    :param patience: seconds that it then has to end; without, it is waited for.
    """
    ended = threading.Event()

    def go_on() -> None:
        with suppress(Exception):
            work(ended)

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(patience)
