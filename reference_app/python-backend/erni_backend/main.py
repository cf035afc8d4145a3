"""What gunicorn imports: the application, or a refusal to start that says what to mend."""

from __future__ import annotations

import logging
import os

from erni_backend.application import build
from erni_backend.settings import ConfigurationError, Settings, load

# gunicorn ends the whole server, instead of trying again for ever, when a worker leaves with this code.
WORKER_BOOT_ERROR = 3

log = logging.getLogger("erni_backend.main")


def _settings() -> Settings:
    try:
        return load(os.environ)
    except ConfigurationError as error:
        for problem in error.problems:
            log.critical("The backend does not start: %s", problem)
        raise SystemExit(WORKER_BOOT_ERROR) from None


app = build(_settings())
