"""Log lines as JSON on standard output and, where the folder can be written, in a file that rotates."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

from erni_backend.settings import LOG_LEVELS, secret_values

LOG_FILE = Path("/var/log/erni-backend/backend.log")
ROTATE_AT_BYTES = 10 * 1024 * 1024
ROTATED_FILES = 5
HIDDEN = "[hidden]"
# Shorter values are words that would blank out half a log; none of them passes as a secret in production.
SHORTEST_HIDDEN = 8

correlation_id: ContextVar[str] = ContextVar("correlation_id", default="")


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with every secret of this process's environment blanked out."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets = [value for value in secret_values(os.environ) if len(value) >= SHORTEST_HIDDEN]

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": self._without_secrets(record.getMessage()),
        }
        if correlation_id.get():
            line["correlation_id"] = correlation_id.get()
        if record.exc_info:
            line["exception"] = self._without_secrets(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text


class SharedRotatingFileHandler(WatchedFileHandler):
    """Rotates a file that several processes append to, which `RotatingFileHandler` cannot do without losing lines.

    Whoever finds the file full renames it under a kernel lock; the others notice the new inode and open it again.
    """

    def __init__(self, filename: str, rotate_at: int = ROTATE_AT_BYTES, keep: int = ROTATED_FILES) -> None:
        super().__init__(filename, encoding="utf-8", delay=True)
        self._rotate_at = rotate_at
        self._keep = keep

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._is_full():
                self._rotate()
        except OSError:
            # A full disk or a lost mount must not take requests down; standard output still has the line.
            self.handleError(record)
            return
        super().emit(record)

    def _is_full(self) -> bool:
        try:
            return os.path.getsize(self.baseFilename) >= self._rotate_at
        except FileNotFoundError:
            return False

    def _rotate(self) -> None:
        with Path(f"{self.baseFilename}.lock").open("w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._is_full():
                return
            for number in range(self._keep - 1, 0, -1):
                _rename_if_there(f"{self.baseFilename}.{number}", f"{self.baseFilename}.{number + 1}")
            os.rename(self.baseFilename, f"{self.baseFilename}.1")


def dict_config(environ: Mapping[str, str], log_file: Path = LOG_FILE) -> dict[str, Any]:
    """The configuration for `logging.config.dictConfig`, which gunicorn applies before it forks its workers."""
    level = environ.get("LOG_LEVEL", "").strip().upper()
    level = level if level in LOG_LEVELS else "INFO"
    handlers = _handlers(log_file)
    names = list(handlers)
    # gunicorn hands the handlers of its error log on to uvicorn, so that this logger needs its own.
    own = {"level": level, "handlers": names, "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "erni_backend.logs.JsonFormatter"}},
        "handlers": handlers,
        "root": {"level": level, "handlers": names},
        "loggers": {"gunicorn.error": own, "gunicorn.access": {**own, "level": "WARNING"}},
    }


def _handlers(log_file: Path) -> dict[str, dict[str, Any]]:
    handlers: dict[str, dict[str, Any]] = {
        "stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}
    }
    if os.access(log_file.parent, os.W_OK):
        handlers["file"] = {
            "class": "erni_backend.logs.SharedRotatingFileHandler",
            "filename": str(log_file),
            "formatter": "json",
        }
    return handlers


def _rename_if_there(source: str, target: str) -> None:
    with suppress(FileNotFoundError):
        os.rename(source, target)
