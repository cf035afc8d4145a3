"""Programs in a row: each one's failure is noticed, and nothing half-written is left."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from ansible.module_utils.erni import progress
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.growing_file import GrowingFile
from ansible.module_utils.erni.pipeline import (
    Program,
    Written,
    feed,
    flow,
    measure,
    pour,
    pour_beginning,
    pour_file,
    read_through,
    through,
    write_new,
)

TEXT = b"some text\n" * 300_000
AS_IT_IS = Program(("cat",))
FAILS = Program(("sh", "-c", "cat > /dev/null; echo out of luck >&2; exit 3"))
FAILS_EARLY = Program(("sh", "-c", "echo no >&2; exit 4"))
DIES = Program(("sh", "-c", "kill -TERM $$"))


@pytest.fixture
def source(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "source").write_bytes(TEXT)
    descriptor = os.open(tmp_path / "source", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_everything_arrives_with_its_size_and_digest(source: int, tmp_path: Path, count: int) -> None:
    target = tmp_path / "target"
    written = pour(source, [AS_IT_IS] * count, str(target))
    assert target.read_bytes() == TEXT
    assert written == Written(len(TEXT), hashlib.sha256(TEXT).hexdigest()) == measure(str(target))
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("programs", "said"),
    [
        ([FAILS, AS_IT_IS], "sh failed: it ended with code 3; it says: out of luck."),
        ([AS_IT_IS, FAILS], "sh failed: it ended with code 3; it says: out of luck."),
        ([AS_IT_IS, FAILS, AS_IT_IS], "it says: out of luck."),
        ([AS_IT_IS, FAILS_EARLY], "sh failed: it ended with code 4; it says: no."),  # the first one dies of it, too
        ([FAILS, Program(("sh", "-c", "cat >&2; exit 9"))], "it says: out of luck."),  # the second one gets too little
        ([DIES], "sh failed: ended by signal SIGTERM; it says: nothing."),
        ([Program(("no-such-program",))], "no-such-program is missing on this host"),
        ([AS_IT_IS, Program(("no-such-program",))], "apt-get install no-such-program"),
    ],
)
def test_the_failure_of_any_program_is_told_and_leaves_no_file(
    source: int, tmp_path: Path, programs: list[Program], said: str
) -> None:
    with pytest.raises(PlatformError) as raised:
        pour(source, programs, str(tmp_path / "target"))
    assert said in str(raised.value)
    assert os.listdir(tmp_path) == ["source"]


EXPAND = Program(("sed", "s/.*/&&&&/"))


@pytest.mark.parametrize("programs", [[], [AS_IT_IS], [EXPAND, AS_IT_IS]], ids=["copied", "through one", "through two"])
@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_what_is_told_is_what_the_source_has_given_whatever_becomes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: list[Program], kind: str
) -> None:
    monkeypatch.setattr(progress, "WRITE_SECONDS", 0.0)
    told: list[int] = []
    tell = progress.Tell(progress.Standing("", "x"), lambda standing: told.append(standing.done))
    (tmp_path / "source").write_bytes(TEXT)
    with open(tmp_path / "source", "rb") as file, subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE) as cat:
        if kind == "file":
            pour_file(str(tmp_path / "source"), programs, str(tmp_path / "target"), tell=tell)
        else:
            assert cat.stdout is not None
            pour(cat.stdout.fileno(), programs, str(tmp_path / "target"), tell=tell)
    libraries = 100_000 if kind == "pipe" and programs else 0
    assert len(TEXT) <= told[-1] <= len(TEXT) + libraries
    assert told == sorted(told)
    assert len(told) > 1, "also while it flows"


def test_how_much_it_was_is_known_in_the_end_also_where_nobody_listens(source: int, tmp_path: Path) -> None:
    tell = progress.untold()
    pour(source, [AS_IT_IS], str(tmp_path / "target"), tell=tell)
    assert tell.standing.done == len(TEXT)


def test_reading_a_file_tells_how_much_of_it_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "WRITE_SECONDS", 0.0)
    told: list[int] = []
    (tmp_path / "source").write_bytes(TEXT)
    measure(str(tmp_path / "source"), progress.Tell(progress.Standing("", "x"), lambda one: told.append(one.done)))
    assert told == [1 << 20, 2 << 20, len(TEXT)]


def test_a_file_that_is_there_is_never_overwritten(source: int, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    with pytest.raises(PlatformError, match="target could not be written"):
        pour(source, [], str(tmp_path / "target"))
    assert (tmp_path / "target").read_text() == "precious"


def test_a_full_disk_leaves_no_file_and_no_program(
    source: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PlatformError, match=r"No space left on device\. Make room there"):
        pour(source, [AS_IT_IS], str(tmp_path / "target"))
    assert os.listdir(tmp_path) == ["source"]


def test_what_the_sink_raises_ends_the_programs(source: int) -> None:
    def stop(_block: bytes) -> None:
        raise ZeroDivisionError

    begin = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        flow(source, [AS_IT_IS, Program(("sh", "-c", "cat; sleep 60"))], stop)
    assert time.monotonic() - begin < 30


def test_programs_see_the_environment_and_secrets_in_it_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    program = Program(("sh", "-c", 'printf %s "$TOLD"'), {"TOLD": "a-secret"})
    pour_file(str(tmp_path / "empty"), [program], str(tmp_path / "target"))
    assert (tmp_path / "target").read_text() == "a-secret"
    assert "a-secret" not in repr(program)


# The beginning of it, all of it at once, and straight into a descriptor


@pytest.mark.parametrize("size", [1, 1 << 20, len(TEXT), 10 * len(TEXT)])
@pytest.mark.parametrize("programs", [[], [AS_IT_IS, AS_IT_IS]], ids=["copied", "through two"])
@pytest.mark.usefixtures("source")
def test_the_beginning_is_as_long_as_was_wanted_or_all_of_it(
    tmp_path: Path, programs: list[Program], size: int
) -> None:
    pour_beginning(str(tmp_path / "source"), programs, str(tmp_path / "target"), size)
    assert (tmp_path / "target").read_bytes() == TEXT[:size]


@pytest.mark.usefixtures("source")
def test_a_program_that_fails_before_there_is_enough_leaves_no_beginning(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="out of luck"):
        pour_beginning(str(tmp_path / "source"), [FAILS], str(tmp_path / "target"), 100)
    assert os.listdir(tmp_path) == ["source"]


def test_what_is_small_is_written_where_nothing_is_and_through_no_link(tmp_path: Path) -> None:
    write_new(str(tmp_path / "new"), b"text", 0o640)
    assert ((tmp_path / "new").read_bytes(), (tmp_path / "new").stat().st_mode & 0o777) == (b"text", 0o640)
    (tmp_path / "link").symlink_to("elsewhere")
    for there in ("new", "link"):
        with pytest.raises(PlatformError, match=f"{there} could not be written"):
            write_new(str(tmp_path / there), b"other", 0o640)
    assert (tmp_path / "new").read_bytes() == b"text"
    assert sorted(os.listdir(tmp_path)) == ["link", "new"]


@pytest.mark.usefixtures("source")
def test_what_is_small_is_read_at_once(tmp_path: Path) -> None:
    assert read_through(str(tmp_path / "source"), [AS_IT_IS]) == TEXT


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("count", [0, 1, 2])
def test_what_the_programs_make_of_a_file_is_read_like_a_file(tmp_path: Path, count: int) -> None:
    with through(str(tmp_path / "source"), [AS_IT_IS] * count) as output:
        assert b"".join(iter(lambda: output.read(1000), b"")) == TEXT


@pytest.mark.usefixtures("source")
@pytest.mark.parametrize(
    ("programs", "raised"),
    [
        pytest.param([FAILS], PlatformError, id="a program's failure is the cause"),
        pytest.param([FAILS, AS_IT_IS], PlatformError, id="whichever"),
        pytest.param([AS_IT_IS, AS_IT_IS], ValueError, id="whoever reads gives up"),
        pytest.param([], ValueError, id="of the file itself"),
    ],
)
def test_a_reader_that_complains_is_told_only_where_no_program_has_failed(
    tmp_path: Path, programs: list[Program], raised: type[Exception]
) -> None:
    def complain(output: IO[bytes]) -> None:
        output.read(10)
        raise ValueError("too little came")

    with pytest.raises(raised), through(str(tmp_path / "source"), programs) as output:
        complain(output)


@pytest.mark.usefixtures("source")
def test_a_program_that_fails_is_told_though_the_reader_has_not_noticed(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="out of luck"), through(str(tmp_path / "source"), [FAILS]) as output:
        output.read(10)


@pytest.mark.parametrize("count", [1, 2])
def test_the_last_program_writes_to_the_descriptor_itself(source: int, tmp_path: Path, count: int) -> None:
    with (tmp_path / "target").open("wb") as target:
        feed(source, [AS_IT_IS] * count, target.fileno())
    assert (tmp_path / "target").read_bytes() == TEXT


@pytest.mark.parametrize(
    ("programs", "raised"),
    [([AS_IT_IS], BrokenPipeError), ([AS_IT_IS, AS_IT_IS], BrokenPipeError), ([FAILS, AS_IT_IS], PlatformError)],
    ids=["the reader has gone", "and those before notice", "a failure is told first"],
)
def test_a_reader_that_has_gone_is_told_apart_from_a_failure(
    source: int, programs: list[Program], raised: type[Exception]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        with pytest.raises(raised):
            feed(source, programs, writing)
    finally:
        os.close(writing)


def read_all(descriptor: int) -> bytes:
    blocks = []
    while block := os.read(descriptor, 1 << 16):
        blocks.append(block)
    return b"".join(blocks)


def test_a_file_that_grows_is_read_to_where_it_ends_once_it_is_whole(tmp_path: Path) -> None:
    growing = GrowingFile(str(tmp_path / "file"))

    def write() -> None:
        time.sleep(0.05)  # it is waited for
        with (tmp_path / "file").open("wb", buffering=0) as file:
            for begin in range(0, len(TEXT), 500_000):
                file.write(TEXT[begin : begin + 500_000])
                time.sleep(0.03)
        growing.is_whole()

    writing = threading.Thread(target=write)
    writing.start()
    with growing.opened() as descriptor:
        assert read_all(descriptor) == TEXT
    writing.join()
    assert growing.given == len(TEXT)


def test_a_file_that_never_comes_has_nothing_in_it(tmp_path: Path) -> None:
    growing = GrowingFile(str(tmp_path / "file"))
    growing.is_whole()
    with growing.opened() as descriptor:
        assert read_all(descriptor) == b""


def test_whoever_stops_reading_a_growing_file_is_not_held_up(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(TEXT)
    growing = GrowingFile(str(tmp_path / "file"))
    with growing.opened() as descriptor:
        assert os.read(descriptor, 4) == TEXT[:4]
        growing.is_whole()
