"""A file that is still being written, read like one that is whole: what reads it need not wait for its end to begin."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .pipeline import BLOCK, widen

LOOK_SECONDS = 0.02  # between two looks whether there is more of it


class GrowingFile:
    """Whoever writes it calls :meth:`is_whole` when there is no more to come, also where that is because it failed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.given = 0  # bytes of it that were read so far
        self._whole = threading.Event()

    def is_whole(self) -> None:
        self._whole.set()

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor that gives all of it, and ends where the file ends once it is whole."""
        reading, writing = os.pipe()
        widen(writing)
        pump = threading.Thread(target=self._pump, args=(writing,), daemon=True)
        pump.start()
        try:
            yield reading
        finally:
            os.close(reading)
            pump.join()

    def _pump(self, target: int) -> None:
        with os.fdopen(target, "wb", buffering=0) as pipe, suppress(BrokenPipeError, FileNotFoundError):
            self._wait_for_it()
            with open(self.path, "rb", buffering=0) as file:
                while block := self._more(file.fileno()):
                    pipe.write(block)
                    self.given += len(block)

    def _wait_for_it(self) -> None:
        while not os.path.exists(self.path) and not self._whole.wait(LOOK_SECONDS):
            pass

    def _more(self, file: int) -> bytes:
        """The next block; empty at the end of what is whole."""
        while True:
            whole = self._whole.is_set()  # asked first: what is written before it is said is read below
            if (block := os.read(file, BLOCK)) or whole:
                return block
            self._whole.wait(LOOK_SECONDS)
