"""What each phase of a transition took, and from when on the first one counts."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible.module_utils.erni import release_diary
from ansible.module_utils.erni.release_diary import Diary, process_began
from ansible.module_utils.erni.release_record import JournalEntry, read_journal

TEMPLATE = JournalEntry(time="", transition="t1", verb="deploy", release="a" * 12, slot="green", phase="")


def test_a_line_takes_the_seconds_since_the_line_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(release_diary.time, "monotonic", lambda: now[0])
    diary = Diary(str(tmp_path), TEMPLATE, begun=99.5)
    for phase, at in (("begun", 100.0), ("prepared", 100.25), ("switched", 102.0)):
        now[0] = at
        diary.note(phase)

    assert [(e.phase, e.seconds) for e in read_journal(str(tmp_path))] == [
        ("begun", 0.5),
        ("prepared", 0.25),
        ("switched", 1.75),
    ]
    assert diary.summary() == "prepared 0.2 s, switched 1.8 s"


def test_a_process_knows_when_it_began() -> None:
    folder = Path(release_diary.__file__).parents[1]
    program = (
        "import time, ansible.module_utils; "
        f"ansible.module_utils.__path__.append({str(folder)!r}); "
        "from ansible.module_utils.erni.release_diary import process_began; print(process_began())"
    )
    before = time.monotonic()
    told = float(subprocess.check_output([sys.executable, "-c", program], text=True))

    assert before - 0.02 < told < time.monotonic()
    assert process_began() < before
