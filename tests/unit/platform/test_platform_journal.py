"""The journal of runs: one durable line each, and figures that Prometheus can read."""

from __future__ import annotations

import json
import os
import re
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from ansible.module_utils.erni.journal import Run, append_line, figures, record

RUN = Run("up", "staging", "ada", "ok", "3f391f4", ended=1_900_000_000, seconds=12.34)
SAMPLES = {"erni_run_timestamp_seconds": 1_900_000_000, "erni_run_duration_seconds": 12.3}

# Prometheus' documentation, "Exposition formats": in a label's value, \, " and the line feed are escaped.
_SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*)\} (\S+)', re.ASCII)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_COMMENT = re.compile(r"# (?:HELP|TYPE) (\w+) (.+)")


def exposed(text: str) -> dict[str, tuple[dict[str, str], float]]:
    """Name to labels and value, as a strict reader of the format understands them."""
    assert text.endswith("\n"), "the last line, too, ends in a line feed"
    samples: dict[str, tuple[dict[str, str], float]] = {}
    types = {}
    for line in text.removesuffix("\n").split("\n"):
        if comment := _COMMENT.fullmatch(line):
            if line.startswith("# TYPE"):
                types[comment[1]] = comment[2]
            continue
        sample = _SAMPLE.fullmatch(line)
        assert sample, f"no line of the format: {line}"
        assert sample[1] not in samples, "the same name twice"
        assert types.get(sample[1]) == "gauge", "the type stands before the sample"
        samples[sample[1]] = ({name: _unescaped(value) for name, value in _LABEL.findall(sample[2])}, float(sample[3]))
    return samples


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), value)


def lines(root: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (root / "journal.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "run",
    [
        RUN,
        replace(RUN, operator="two\nlines", release=""),
        replace(RUN, operator='Zoë "the \\ operator"', seconds=0.0),
        replace(RUN, operator="the line separator \u2028 of others"),
    ],
)
def test_whatever_a_run_is_called_it_is_one_line_that_can_be_read_back(tmp_path: Path, run: Run) -> None:
    record(str(tmp_path), run)
    content = (tmp_path / "journal.jsonl").read_text()
    assert (content.count("\n"), content[-1]) == (1, "\n")
    assert json.loads(content) == asdict(run)


def test_the_journal_keeps_every_run_oldest_first(tmp_path: Path) -> None:
    for ended in (1, 2, 3):
        record(str(tmp_path), replace(RUN, ended=ended))
    assert [line["ended"] for line in lines(tmp_path)] == [1, 2, 3]


def test_runs_that_end_together_never_mix_their_lines(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.jsonl")

    def append(verb: str) -> None:
        for ended in range(25):
            append_line(path, replace(RUN, verb=verb, operator=verb * 9000, ended=ended))

    threads = [threading.Thread(target=append, args=(verb,)) for verb in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = lines(tmp_path)
    assert len(found) == 100
    assert [line["ended"] for line in found if line["verb"] == "c"] == list(range(25))


def test_a_line_is_on_the_disk_before_the_figures_are_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        synced.append(path.name if path.name == "journal.jsonl" else path.parent.name)
        if path.name == "journal.jsonl":
            assert json.loads(path.read_text()) == asdict(RUN)
            assert not (tmp_path / "metrics").exists()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    record(str(tmp_path), RUN)
    assert synced[0] == "journal.jsonl"
    assert "metrics" in synced


def test_history_is_kept_although_the_figures_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text("in the way")
    with pytest.raises(OSError, match="metrics"):
        record(str(tmp_path), RUN)
    assert lines(tmp_path) == [asdict(RUN)]


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text('{"verb": "up", "ended": 19')
    record(str(tmp_path), RUN)
    last = (tmp_path / "journal.jsonl").read_text().splitlines()[-1]
    assert json.loads(last) == asdict(RUN)


def test_others_can_read_the_figures_but_not_the_journal(tmp_path: Path) -> None:
    former = os.umask(0o022)
    try:
        record(str(tmp_path / "srv"), RUN)
    finally:
        os.umask(former)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "srv").rglob("*")}
    assert modes == {"journal.jsonl": 0o640, "metrics": 0o755, "erni_run_up_ok.prom": 0o644}
    assert (tmp_path / "srv").stat().st_mode & 0o777 == 0o711


def test_the_figures_say_which_run_ended_when_and_how_long_it_took() -> None:
    labels = {"verb": "up", "environment": "staging", "outcome": "ok"}
    assert exposed(figures(RUN)) == {name: (labels, value) for name, value in SAMPLES.items()}


@pytest.mark.parametrize("label", ["verb", "environment"])
@pytest.mark.parametrize("value", ["two words", "Zürich", "a,b={}", "# HELP"])
def test_a_label_may_hold_what_needs_no_escape(label: str, value: str) -> None:
    for labels, _ in exposed(figures(replace(RUN, **{label: value}))).values():
        assert labels[label] == value


@pytest.mark.parametrize("label", ["verb", "environment"])
@pytest.mark.parametrize("value", ['the "big" one', "back\\slash", "two\nlines"])
def test_no_name_can_break_the_figures(label: str, value: str) -> None:
    for labels, _ in exposed(figures(replace(RUN, **{label: value}))).values():
        assert labels[label] == value


def test_each_verb_and_outcome_keeps_its_last_run_in_a_file_of_its_own(tmp_path: Path) -> None:
    runs = [RUN, replace(RUN, outcome="failed"), replace(RUN, verb="backup"), replace(RUN, ended=RUN.ended + 60)]
    for run in runs:
        record(str(tmp_path), run)
    written = {path.name: exposed(path.read_text()) for path in (tmp_path / "metrics").iterdir()}
    assert written == {
        "erni_run_up_ok.prom": exposed(figures(runs[3])),
        "erni_run_up_failed.prom": exposed(figures(runs[1])),
        "erni_run_backup_ok.prom": exposed(figures(runs[2])),
    }


def test_a_verb_with_a_slash_has_figures_too(tmp_path: Path) -> None:
    record(str(tmp_path), replace(RUN, verb="up (1/4)"))
    (written,) = (tmp_path / "metrics").iterdir()
    assert exposed(written.read_text())["erni_run_timestamp_seconds"][0]["verb"] == "up (1/4)"


def test_figures_that_cannot_be_finished_leave_the_former_ones_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(str(tmp_path), RUN)
    monkeypatch.setattr(os, "rename", _full)
    with pytest.raises(OSError, match="no space"):
        record(str(tmp_path), replace(RUN, ended=1))
    (written,) = (tmp_path / "metrics").iterdir()
    assert written.read_text() == figures(RUN)


def _full(*_: object) -> None:
    raise OSError("no space left")
