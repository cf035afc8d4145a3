"""Log lines: no secrets in them, and none lost when several processes rotate one file."""

from __future__ import annotations

import json
import logging
import logging.config
import multiprocessing
from pathlib import Path

import pytest
from erni_backend import logs

LINES, WRITERS = 200, 3


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("name", logging.INFO, __file__, 1, message, arguments, None)


def test_a_line_is_json_with_the_correlation_id() -> None:
    token = logs.correlation_id.set("request-1")
    line = json.loads(logs.JsonFormatter().format(record('said "%s"', "hello")))
    logs.correlation_id.reset(token)
    assert (line["message"], line["level"], line["correlation_id"]) == ('said "hello"', "INFO", "request-1")


def test_secrets_are_blanked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "hT4mQz9Lw2XrK7vB")
    monkeypatch.setenv("REDIS_URL", "redis://:bN8vC3xZ6kJ1hG5f@redis/0")
    text = logs.JsonFormatter().format(record("tried %s and %s", "hT4mQz9Lw2XrK7vB", "redis://:bN8vC3xZ6kJ1hG5f@redis"))
    assert "hT4mQz9Lw2XrK7vB" not in text
    assert "bN8vC3xZ6kJ1hG5f" not in text
    assert text.count(logs.HIDDEN) == 2


def test_the_file_is_left_out_where_its_folder_cannot_be_written(tmp_path: Path) -> None:
    assert set(logs.dict_config({}, tmp_path / "absent" / "backend.log")["handlers"]) == {"stdout"}
    assert set(logs.dict_config({}, tmp_path / "backend.log")["handlers"]) == {"stdout", "file"}


@pytest.mark.parametrize(("given", "level"), [("debug", "DEBUG"), ("", "INFO"), ("loud", "INFO")])
def test_the_configuration_is_one_that_logging_accepts(given: str, level: str, tmp_path: Path) -> None:
    config = logs.dict_config({"LOG_LEVEL": given}, tmp_path / "backend.log")
    logging.config.DictConfigurator(config)
    assert config["root"]["level"] == level


def write_lines(path: str, writer: int) -> None:
    handler = logs.SharedRotatingFileHandler(path, rotate_at=4_000, keep=50)
    for number in range(LINES):
        handler.emit(record("%s", f"{writer}-{number:04}"))
    handler.close()


def test_processes_that_rotate_one_file_lose_no_line(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(target=write_lines, args=(str(tmp_path / "backend.log"), writer)) for writer in range(WRITERS)
    ]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    files = list(tmp_path.glob("backend.log*"))
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(files) > 2
    assert sorted(lines) == sorted(f"{writer}-{number:04}" for writer in range(WRITERS) for number in range(LINES))
