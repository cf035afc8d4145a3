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
later(float(sys.argv[3]), lambda: Path(sys.argv[2]).write_text("done"))
print("the module has said what it had to say")
"""


def start(mark: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", PROGRAM, str(ROOT / "module_utils"), str(mark), str(seconds)]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=5)


def test_whoever_reads_the_modules_output_does_not_wait_for_the_clock(tmp_path: Path) -> None:
    begin = time.monotonic()
    told = start(tmp_path / "mark", 30)
    assert told.stdout == "the module has said what it had to say\n"
    assert time.monotonic() - begin < 5
    for process in Path("/proc").glob("[0-9]*"):  # it would sleep for half a minute yet
        if str(tmp_path).encode() in _command_line(process):
            subprocess.run(["kill", process.name], check=True)


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
