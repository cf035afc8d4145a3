"""What an alert looks at: also runs that fail are counted, and the last success is not forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.module_utils.erni.scheduled_figures import Record, as_text, begun, ended, from_text, path, read, write

WELL = ended(begun(Record(), 100.0), 130.5, 0, 30.5)


def test_what_is_not_known_is_left_out() -> None:
    assert as_text(Record(), "demo", "backup") == ""
    assert [line for line in as_text(begun(Record(), 100.0), "demo", "backup").splitlines() if line[0] != "#"] == [
        'erni_scheduled_last_start_timestamp_seconds{environment="demo",verb="backup"} 100.0'
    ]


def test_a_run_that_fails_is_counted_and_the_last_success_stays() -> None:
    failed = ended(begun(WELL, 200.0), 205.0, 2, 5.0)
    assert failed == Record(
        last_start_timestamp_seconds=200.0,
        last_end_timestamp_seconds=205.0,
        last_success_timestamp_seconds=130.5,
        last_exit_code=2,
        last_duration_seconds=5.0,
    )


def test_a_run_that_was_killed_shows_a_start_after_the_last_end() -> None:
    killed = begun(WELL, 200.0)
    assert killed.last_start_timestamp_seconds == 200.0
    assert killed.last_end_timestamp_seconds == 130.5


@pytest.mark.parametrize("record", [Record(), begun(Record(), 100.0), WELL, ended(WELL, 205.0, 130, 5.0)])
def test_what_was_written_is_read_again(record: Record, tmp_path: Path) -> None:
    file = path(str(tmp_path / "metrics"), "de mo/1", "backup")
    assert file == str(tmp_path / "metrics" / "erni_scheduled_de-mo-1_backup.prom")
    assert read(file) == Record()
    write(file, record, "de mo/1", "backup")
    assert read(file) == record
    assert Path(file).stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in Path(file).parent.iterdir()] == [Path(file).name]


@pytest.mark.parametrize("text", ["", "\x00", "erni_scheduled_last_exit_code{} nan\n", "erni_scheduled_other{} 1\n"])
def test_what_cannot_be_read_counts_as_not_known(text: str) -> None:
    assert from_text(text) == Record()
