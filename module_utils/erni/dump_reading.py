"""Read a dump's files, also while they are still being written: the adapter around pg_restore."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from .copy_rows import RowCounter
from .errors import PlatformError
from .growing_file import GrowingFile
from .pipeline import Program, feed, flow
from .postgres_dump import Server
from .scratch_container import EXCHANGE, Running, make_pipe, open_pipe, running

FEEDER_SECONDS = 5.0  # for a program to say why it has failed
TAKE_ANOTHER = "Take another set; make backups lists them."
# The first and the last bytes of a binary copy (PostgreSQL's manual, COPY, "File Format").
SIGNATURE, TRAILER = b"PGCOPY\n\xff\r\n\0", b"\xff\xff"


@dataclass(frozen=True)
class Packed:
    """A file of a dump; ``programs`` make plain content of it."""

    path: str
    programs: list[Program]

    @property
    def name(self) -> str:
        return os.path.basename(self.path)


def read_whole(
    client: Any,
    server: Server,
    archive: Packed,
    exchange: str,
    growing: GrowingFile | None = None,
) -> dict[str, int]:
    """The rows of each table that an archive holds, found by restoring all of it to nowhere.

    :param growing: the file, where it is still being written.
    :raises PlatformError: when a byte of it cannot be read.
    """
    what, remedy = f"{archive.path} cannot be restored from", TAKE_ANOTHER
    counter = RowCounter()
    reading = archive_text(client, server, archive, exchange, "verify", "--data-only", (what, remedy), growing)
    with reading as (job, text):
        flow(text, [], counter.feed)
        job.succeed(what, remedy)
    if not counter.complete():
        raise PlatformError(what, "the data of its last table breaks off", remedy)
    return counter.rows


def read_copy(copy: Packed, growing: GrowingFile) -> None:
    """All of it, as it comes out of its compression, whose own checksum is of what psql has given.

    :raises PlatformError: when a byte of it cannot be read, or it is no whole copy.
    """
    beginning, end = b"", b""

    def look(block: bytes) -> None:
        nonlocal beginning, end
        beginning = beginning if len(beginning) >= len(SIGNATURE) else beginning + block[: len(SIGNATURE)]
        end = (end + block)[-len(TRAILER) :]

    with growing.opened() as source:
        flow(source, copy.programs, look)
    if not beginning.startswith(SIGNATURE) or end != TRAILER:
        raise PlatformError(f"{copy.path} cannot be restored from", "it is no whole copy of a table", TAKE_ANOTHER)


@contextmanager
def archive_text(
    client: Any,
    server: Server,
    archive: Packed,
    exchange: str,
    purpose: str,
    selected: str,
    sentence: tuple[str, str],
    growing: GrowingFile | None = None,
) -> Iterator[tuple[Running, int]]:
    """pg_restore's job, and a descriptor with the SQL that it makes of an archive.

    :param purpose: names the container that does it.
    :param selected: what of it: pg_restore's option.
    :param sentence: what could not be done when it fails, and what to do then.
    """
    come, text = f"{purpose}-dump.pipe", f"{purpose}-text.pipe"
    # By way of its standard input: a file that it is given the name of it opens twice, and a pipe can be read once.
    command = f"exec pg_restore {selected} --file={EXCHANGE}/{text} < {EXCHANGE}/{come}"
    job = server.job(purpose, ("sh", "-c", command), exchange)
    with (
        job_pipe(server, exchange, come) as pipe,
        job_pipe(server, exchange, text) as out,
        running(client, job) as started,
        fed(started, pipe, archive, growing),
        open_pipe(out) as source,
    ):
        started.writes_to(source, *sentence)
        yield started, source


@contextmanager
def job_pipe(server: Server, exchange: str, name: str) -> Iterator[str]:
    """A named pipe in a job's exchange."""
    path = make_pipe(os.path.join(exchange, name), server.uid, server.gid)
    try:
        yield path
    finally:
        os.unlink(path)


@contextmanager
def fed(job: Running, pipe: str, archive: Packed, growing: GrowingFile | None = None) -> Iterator[None]:
    """The job reads from the pipe what the archive holds, while the block runs.

    :raises PlatformError: after the block, when a program has failed: also in place of what the block complains of,
        since a job that gets too little only sees the consequence. One that ends before its input is for the block.
    """
    failures: list[BaseException] = []

    def run() -> None:
        try:
            _feed(job, pipe, archive, growing)
        except BaseException as error:  # noqa: BLE001 (raised below, in the thread that waits for it)
            failures.append(error)

    feeding = threading.Thread(target=run, daemon=True)
    feeding.start()
    try:
        yield
    except PlatformError as error:
        # It may be held up by a job that reads no more; that one is ended by whoever started it.
        feeding.join(FEEDER_SECONDS)
        if failures:
            raise failures[0] from error
        raise
    feeding.join()
    if failures:
        raise failures[0]


def _feed(job: Running, pipe: str, archive: Packed, growing: GrowingFile | None) -> None:
    descriptor = job.reads_from(pipe)
    if descriptor is None:
        return
    with (
        os.fdopen(descriptor, "wb") as writing,
        growing.opened() if growing else _opened(archive.path) as reading,
        suppress(BrokenPipeError),
    ):
        feed(reading, archive.programs, writing.fileno())


@contextmanager
def _opened(path: str) -> Iterator[int]:
    with open(path, "rb") as file:
        yield file.fileno()
