"""Programs in a row, each reading what the one before it writes: the failure of any of them is the failure of all.

A shell tells of the last one's failure only, and so archives a dump that has failed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any

from .errors import PlatformError
from .excerpts import last_lines
from .files import sync_folder
from .progress import Tell, untold

BLOCK = 1 << 20  # bytes
SECRET_FILE = "{secret}"  # noqa: S105 (a placeholder)


@dataclass(frozen=True)
class Program:
    """A program with its arguments. What is secret is never one of them: everybody on the host sees those.

    Of ``words`` the one that is :data:`SECRET_FILE` becomes the path of a file with ``secret``, which is in memory only
    and which no other program can open.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret: str = field(default="", repr=False)


@dataclass(frozen=True)
class Written:
    """A file that is on the disk as a whole: ``size`` in bytes."""

    size: int
    sha256: str


def pour(source: int, programs: Sequence[Program], target: str, mode: int = 0o600, tell: Tell | None = None) -> Written:
    """Everything that the descriptor gives, through the programs, into a new file; on the disk when this returns.

    :param tell: hears how many bytes the descriptor has given.
    :raises PlatformError: when a program fails or the disk is full; the file is gone then.
    """
    digest, size = hashlib.sha256(), 0
    with _new_file(target, mode) as file:

        def write(block: bytes) -> None:
            nonlocal size
            file.write(block)
            digest.update(block)
            size += len(block)

        flow(source, programs, write, tell)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(os.path.dirname(target))
    return Written(size, digest.hexdigest())


@contextmanager
def _new_file(target: str, mode: int) -> Iterator[IO[bytes]]:
    """A file that is not there yet, since another one's is never overwritten; it is gone again when the block fails."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        raise _unwritten(target, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
    except BaseException as error:
        os.unlink(target)
        if isinstance(error, OSError):
            raise _unwritten(target, error) from error
        raise


def write_new(target: str, content: bytes, mode: int) -> None:
    """What is small, as a file that is not there yet.

    :raises PlatformError: where it is there, or the disk is full.
    """
    with _new_file(target, mode) as file:
        file.write(content)


def _unwritten(target: str, error: OSError) -> PlatformError:
    return PlatformError(f"{target} could not be written", str(error), "Make room there, or see to the disk.")


def pour_file(
    source: str, programs: Sequence[Program], target: str, mode: int = 0o600, tell: Tell | None = None
) -> Written:
    """:func:`pour` from a file."""
    with open(source, "rb") as file:
        return pour(file.fileno(), programs, target, mode, tell)


def pour_beginning(source: str, programs: Sequence[Program], target: str, size: int) -> None:
    """The first so many bytes of what the programs make of the file, into a file for this run alone.

    :raises PlatformError: when a program fails before there are so many, or the disk is full; the file is gone then.
    """

    with _new_file(target, 0o600) as file, open(source, "rb") as whole, suppress(_EnoughError):

        def write(block: bytes) -> None:
            file.write(block[: size - file.tell()])
            if file.tell() == size:
                raise _EnoughError

        flow(whole.fileno(), programs, write)


class _EnoughError(Exception):
    """There is as much as was wanted; the programs need not go on."""


def read_through(source: str, programs: Sequence[Program]) -> bytes:
    """What comes out of the programs when the file goes in; for what is small."""
    blocks: list[bytes] = []
    with open(source, "rb") as file:
        flow(file.fileno(), programs, blocks.append)
    return b"".join(blocks)


@contextmanager
def through(source: str, programs: Sequence[Program]) -> Iterator[IO[bytes]]:
    """What comes out of the programs when the file goes in, to be read while the block runs.

    :raises PlatformError: after the block, when a program has failed: also in place of what the block complains of,
        since it got too little then.
    """
    with ExitStack() as ends, open(source, "rb") as file:
        running, output = _in_a_row(ends, file.fileno(), programs)
        try:
            yield output
        except Exception:
            output.close()
            with suppress(BrokenPipeError):
                _judge(running, reader_may_go=True)
            raise
        _judge(running)


def measure(path: str, tell: Tell | None = None) -> Written:
    """A file's size and digest, by reading all of it."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
            if tell is not None:
                tell(size)
    return Written(size, digest.hexdigest())


def flow(source: int, programs: Sequence[Program], sink: Callable[[bytes], object], tell: Tell | None = None) -> None:
    """Give the sink, block by block, what comes out of the last program.

    :param tell: hears how many bytes the descriptor has given.
    :raises PlatformError: when a program fails. What the sink raises ends them all.
    """
    with ExitStack() as ends:
        running, output = _in_a_row(ends, source, programs)
        tell, came, first = tell or untold(), 0, running[0].process if running else None
        while block := output.read(BLOCK):
            sink(block)
            came += len(block)
            if tell.due():
                tell(_given(source, first, came))
        tell(_given(source, first, came))
        _judge(running)


def feed(source: int, programs: Sequence[Program], target: int) -> None:
    """Let the last program write to the descriptor itself: what passes through this process costs its time twice.

    :raises BrokenPipeError: when whoever reads there has gone, and nothing else has failed.
    :raises PlatformError: when a program fails.
    """
    with ExitStack() as ends:
        running, output = _in_a_row(ends, source, programs[:-1])
        running.append(_started(ends, programs[-1], output, target))
        output.close()
        _judge(running, reader_may_go=True)


@dataclass(frozen=True)
class _Running:
    """A program that was started, and the file with what it complains of."""

    program: Program
    process: subprocess.Popen[bytes]
    complaints: IO[bytes]


def _in_a_row(ends: ExitStack, source: int, programs: Sequence[Program]) -> tuple[list[_Running], IO[bytes]]:
    """All of them started, and what comes out of the last one; without any that is the source."""
    running: list[_Running] = []
    output: IO[bytes] = ends.enter_context(os.fdopen(os.dup(source), "rb", buffering=0))
    for program in programs:
        one = _started(ends, program, output, subprocess.PIPE)
        output.close()  # the program's alone now: it must hear when whoever reads from it has gone
        running.append(one)
        output = ends.enter_context(_output(one.process))
    return running, output


def _started(ends: ExitStack, program: Program, source: IO[bytes], target: int) -> _Running:
    complaints: IO[bytes] = ends.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (it is one's, until the end)
    process = _start(program, source, target, complaints)
    ends.callback(_end, process)
    return _Running(program, process, complaints)


def _given(source: int, first: subprocess.Popen[bytes] | None, came: int) -> int:
    """Bytes that the source has given to the first program; without one that is what ``came`` of it.

    The kernel knows: what flows need not pass through this process once more to be counted. A file's position is shared
    with the program that was started with it (open(2)); what a program has read from a pipe stands in its "rchar"
    (proc(5), /proc/pid/io), with some kilobytes of its libraries.
    """
    if first is None:
        return came
    try:
        if stat.S_ISREG(os.fstat(source).st_mode):
            return os.lseek(source, 0, os.SEEK_CUR)
        with open(f"/proc/{first.pid}/io", encoding="ascii") as file:
            return int(file.readline().removeprefix("rchar: "))
    except (OSError, ValueError):  # a kernel without that account
        return 0


def _start(program: Program, source: Any, target: int, complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    secret = _secret_file(program.secret)
    words = [f"/dev/fd/{secret}" if word == SECRET_FILE else word for word in program.words]
    try:
        return subprocess.Popen(
            words,
            stdin=source,
            stdout=target,
            stderr=complaints,
            env={**os.environ, **program.environment},
            bufsize=0,
            pass_fds=[] if secret is None else [secret],
        )
    except FileNotFoundError as error:
        raise PlatformError(
            f"{program.words[0]} is missing on this host",
            "there is no such program",
            f"Run make up, which installs it, or apt-get install {program.words[0]}.",
        ) from error
    finally:
        if secret is not None:
            os.close(secret)


def _secret_file(secret: str) -> int | None:
    if not secret:
        return None
    descriptor = os.memfd_create("secret")
    with os.fdopen(os.dup(descriptor), "w", encoding="utf-8") as file:
        file.write(secret)
    return descriptor


def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdout is None:
        raise ValueError("it was started without a pipe for its output")
    widen(process.stdout.fileno())
    return process.stdout


def widen(pipe: int) -> None:
    """Let a pipe hold a whole block: with the usual 64 kB its two ends wake each other so often that a dump takes half
    as long again (pipe(7), F_SETPIPE_SZ). Where that is refused, it works all the same."""
    with suppress(OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, BLOCK)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()


def _judge(running: list[_Running], *, reader_may_go: bool = False) -> None:
    """Whoever reads from one that has failed gets too little, and whoever writes to one gets a broken pipe: of all that
    failed, the first one that does not complain of its reader is the cause."""
    failed = []
    for one in running:
        if one.process.wait() != 0:
            one.complaints.seek(0)
            failed.append((one, last_lines(one.complaints.read().decode(errors="replace"))))
    if not failed:
        return
    causes = [(one, said) for one, said in failed if not _lost_its_reader(one.process.returncode, said)]
    if not causes and reader_may_go:
        raise BrokenPipeError
    cause, said = (causes or failed[::-1])[0]
    raise PlatformError(
        f"{cause.program.words[0]} failed", f"{_ending(cause.process.returncode)}; it says: {said or 'nothing'}"
    )


def _lost_its_reader(code: int, said: str) -> bool:
    return code == -signal.SIGPIPE or "broken pipe" in said.lower()


def _ending(code: int) -> str:
    """A code as :mod:`subprocess` tells it: below 0 it is the signal's number."""
    return f"ended by signal {signal.Signals(-code).name}" if code < 0 else f"it ended with code {code}"
