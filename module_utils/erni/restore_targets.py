"""PostgreSQL, Redis and the sessions as something that can be restored (restore_flow.py)."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from typing import Any

from . import engine, redis_restore, redis_snapshot, sessions_restore
from .postgres_dump import Server
from .postgres_fingerprint import fingerprint
from .postgres_restore import drop, existing, kept_databases, kept_name, maintenance, scratch_name, session, swap
from .redis_snapshot import SnapshotFacts
from .restore_record import BEFORE, Restored


@dataclass(frozen=True)
class PostgresTarget:
    """Names are those of databases."""

    server: Server
    database: str

    @property
    def prepared(self) -> str:
        return scratch_name(self.database)

    def state(self) -> str:
        with maintenance(self.server) as cursor:
            if not existing(cursor, self.database):
                return ""
        with session(self.server, self.database) as cursor:
            return fingerprint(cursor)

    def mark(self, name: str) -> str:
        return name

    def kept_name(self, moment: str) -> str:
        return kept_name(self.database, moment)

    def kept(self) -> list[str]:
        with maintenance(self.server) as cursor:
            return kept_databases(cursor, self.database)

    def swapped(self, going: Restored) -> bool:
        return going.kept in self.kept()

    def swap(self, going: Restored, incoming: str) -> float:
        return swap(self.server, self.database, incoming, going.kept)

    def exists(self, name: str) -> bool:
        with maintenance(self.server) as cursor:
            return bool(existing(cursor, name))

    def drop(self, name: str) -> None:
        with maintenance(self.server) as cursor:
            drop(cursor, name)


@dataclass(frozen=True)
class RedisTarget:
    """Names are those of folders in the server's volume, ``data``; their mark is their inode."""

    client: Any
    server: redis_snapshot.Server
    container: str
    data: str
    prepared: str = redis_restore.PREPARED

    def state(self) -> str:
        return redis_restore.state(self.client, self.container)

    def mark(self, name: str) -> str:
        return redis_restore.mark(os.path.join(self.data, name))

    def kept_name(self, moment: str) -> str:
        return f"{redis_restore.LIVE}.{BEFORE}{moment}"

    def kept(self) -> list[str]:
        return sorted(name for name in os.listdir(self.data) if name.startswith(f"{redis_restore.LIVE}.{BEFORE}"))

    def swapped(self, going: Restored) -> bool:
        """A run that was killed just then may have left Redis stopped, and what was kept under the other name."""
        if not going.mark or self.mark(redis_restore.LIVE) != going.mark:
            self._started()
            return False
        self._name_kept(going)
        self._started()
        return True

    def swap(self, going: Restored, incoming: str) -> float:
        began = time.monotonic()
        expected = SnapshotFacts(**going.facts) if going.facts else None
        redis_restore.swap(self.client, self.container, self.data, incoming, expected)
        seconds = time.monotonic() - began
        self._name_kept(going, incoming)
        return round(seconds, 3)

    def exists(self, name: str) -> bool:
        return os.path.isdir(os.path.join(self.data, name))

    def drop(self, name: str) -> None:
        shutil.rmtree(os.path.join(self.data, name))

    def _name_kept(self, going: Restored, incoming: str = "") -> None:
        """Where nothing served before, there is nothing to name."""
        replaced = os.path.join(self.data, incoming or self.prepared)
        if os.path.exists(replaced):
            os.rename(replaced, os.path.join(self.data, going.kept))

    def _started(self) -> None:
        if not engine.is_running(self.client, self.container):
            redis_restore.start(self.client, self.container)


@dataclass(frozen=True)
class SessionsTarget:
    """Names are those of files in ``folder``; ``live`` is the file that the application has open."""

    live: str
    folder: str
    prepared: str = "sessions.restored.db"

    def state(self) -> str:
        return sessions_restore.state(self.live)

    def mark(self, name: str) -> str:
        return sessions_restore.state(os.path.join(self.folder, name))

    def kept_name(self, moment: str) -> str:
        return f"sessions.{BEFORE}{moment}.db"

    def kept(self) -> list[str]:
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        return sorted(name for name in names if name.startswith(f"sessions.{BEFORE}"))

    def swapped(self, going: Restored) -> bool:
        return self.state() == going.mark

    def swap(self, going: Restored, incoming: str) -> float:
        began = time.monotonic()
        if os.path.exists(self.live):
            sessions_restore.keep(self.live, os.path.join(self.folder, going.kept))
        sessions_restore.replace(self.live, os.path.join(self.folder, incoming))
        return round(time.monotonic() - began, 3)

    def exists(self, name: str) -> bool:
        return os.path.exists(os.path.join(self.folder, name))

    def drop(self, name: str) -> None:
        os.unlink(os.path.join(self.folder, name))
