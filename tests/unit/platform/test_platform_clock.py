"""Something is done later, and nobody has to wait for it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from erni.clock import later
mark = Path(sys.argv[2])
later(float(sys.argv[3]), lambda: mark.write_text("done"), wanted=lambda: mark.parent.exists())
print("the module has said what it had to say")
"""


def start(mark: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", PROGRAM, str(ROOT / "module_utils"), str(mark), str(seconds)]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=5)


def test_whoever_reads_the_modules_output_does_not_wait_for_the_clock(tmp_path: Path) -> None:
    begin = time.monotonic()
    told = start(tmp_path / "gone" / "mark", 30)
    assert told.stdout == "the module has said what it had to say\n"
    assert time.monotonic() - begin < 5


def test_it_ends_by_itself_when_nobody_wants_it_any_more(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    start(folder / "mark", 60)
    assert sleepers(folder)
    folder.rmdir()
    deadline = time.monotonic() + 20
    while sleepers(folder):
        assert time.monotonic() < deadline, "it still waits"
        time.sleep(0.1)


def sleepers(folder: Path) -> list[str]:
    return [p.name for p in Path("/proc").glob("[0-9]*") if str(folder).encode() in _command_line(p)]


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def test_it_is_done_when_its_time_has_come(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    start(mark, 0.5)
    assert not mark.exists()
    deadline = time.monotonic() + 10
    while not mark.exists():
        assert time.monotonic() < deadline, "the clock was not heard"
        time.sleep(0.05)
    assert mark.read_text() == "done"
