"""The folder for shared metrics: made, emptied, or done without."""

from __future__ import annotations

from pathlib import Path

from erni_backend import multiprocess


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "prometheus"
    assert multiprocess.prepare({multiprocess.VARIABLE: str(folder)}) is None
    assert folder.is_dir()


def test_numbers_of_an_earlier_start_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").touch()
    (tmp_path / "other.txt").touch()
    multiprocess.prepare({multiprocess.VARIABLE: str(tmp_path)})
    assert [path.name for path in tmp_path.iterdir()] == ["other.txt"]


def test_an_unusable_folder_is_reported_and_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environ = {multiprocess.VARIABLE: str(tmp_path / "file" / "prometheus")}
    problem = multiprocess.prepare(environ)
    assert problem is not None
    assert multiprocess.VARIABLE in problem
    assert environ == {}


def test_nothing_is_done_where_nothing_is_asked() -> None:
    assert multiprocess.prepare({}) is None
