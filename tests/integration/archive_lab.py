"""A PostgreSQL server that is archived as the postgres role does it, with a volume and folders of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jinja2
from ansible.module_utils.erni import archive_apply, engine, postgres_dump
from ansible.module_utils.erni.archive_apply import Archive
from postgres_server import ROOT, Server

UID = 999
TEMPLATES = ROOT / "roles" / "postgres" / "templates"


class ArchivedServer(Server):
    """``repository`` is the folder of its archive; ``platform`` the prefix of all that is made for it."""

    def __init__(self, client: Any, image: str, root: Path) -> None:
        self.client, self.platform, self.root = client, f"erni-test-{secrets.token_hex(4)}", root
        super().__init__(str(root / "socket"), secrets.token_urlsafe(16), f"{self.platform}-postgres")
        self.image, self.volume = image, f"{self.platform}-data"
        self.repository, self.configuration = root / "archive", root / "configuration"

    def configure(self, **variables: Any) -> None:
        """What the role writes, by its own template; a container's user must be able to pass to it."""
        for folder in (self.repository, self.configuration, Path(self.folder)):
            folder.mkdir(mode=0o700, exist_ok=True)
            os.chown(folder, UID, UID)
        known = {
            "platform_name": self.platform,
            "postgres_archive": {"to": "folder"},
            "__postgres_archive_elsewhere": False,
            "postgres_archive_passphrase": "not a secret, but long enough",
            "postgres_archive_retention_days": 30,
            "postgres_archive_processes": 2,
        }
        text = jinja2.Template((TEMPLATES / "pgbackrest.conf.j2").read_text()).render(known | variables)
        self.write("pgbackrest.conf", text + "\n")
        self.write("pgpass", f"*:*:*:postgres:{self.password}\n")

    def write(self, name: str, text: str) -> None:
        path = self.configuration / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        os.chown(path, UID, UID)
        path.chmod(0o600)

    def start(self, *further: str, init: bool = True, network: str = "none") -> None:
        binds = {
            self.folder: {"bind": "/var/run/postgresql", "mode": "rw"},
            str(self.configuration): {"bind": "/etc/erni", "mode": "ro"},
            str(self.repository): {"bind": archive_apply.REPOSITORY, "mode": "rw"},
            self.volume: {"bind": archive_apply.DATA, "mode": "rw"},
        }
        host = self.client.create_host_config(
            binds=binds, network_mode=network, init=init, read_only=True, tmpfs={"/tmp": "size=128m,mode=1777"}
        )
        push = f"archive_command=pgbackrest --stanza={self.platform} archive-push %p"
        settings = ("archive_mode=on", push, *further)
        self.client.create_container(
            self.image,
            command=["postgres", *(word for setting in settings for word in ("-c", setting))],
            name=self.container,
            user=f"{UID}:{UID}",
            environment={
                "POSTGRES_PASSWORD": self.password,
                "POSTGRES_INITDB_ARGS": "--data-checksums --auth-host=scram-sha-256 --auth-local=scram-sha-256",
                "PGPASSFILE": "/etc/erni/pgpass",
                "PGBACKREST_CONFIG": "/etc/erni/pgbackrest.conf",
            },
            host_config=host,
        )
        self.client.start(self.container)
        self.wait_ready()

    def wait_ready(self) -> None:
        ready = ("pg_isready", "--quiet", "--host=/var/run/postgresql")
        deadline = time.monotonic() + 90
        while engine.run_inside(self.client, self.container, ready)[0] != 0:
            assert time.monotonic() < deadline, self.client.logs(self.container)
            time.sleep(0.2)

    def archive(self) -> Archive:
        """As the modules see it."""
        place = {
            "platform": self.platform,
            "container": self.container,
            "image": self.image,
            "user": f"{UID}:{UID}",
            "socket_folder": self.folder,
            "configuration": str(self.configuration),
            "password": self.password,
            "volume": self.volume,
            "repository": str(self.repository),
            "network": "none",
        }
        return archive_apply.from_params(self.client, place)[0]

    def lose(self) -> None:
        """The server is killed, and its data is gone."""
        self.client.kill(self.container, "SIGKILL")
        engine.remove_if_present(self.client, self.container)
        engine.remove_volume(self.client, self.volume)

    def now(self) -> str:
        return (
            str(self.ask("select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US')")[0][0])
            + "Z"
        )

    def remove(self) -> None:
        for job in ("archive-recover", "archive-restore", "archive-backup", "dump", "verify"):
            engine.remove_if_present(self.client, self.archive_job(job))
        engine.remove_if_present(self.client, self.container)
        for volume in (self.volume, f"{self.platform}-point-in-time"):
            engine.remove_volume(self.client, volume)
        shutil.rmtree(self.root, ignore_errors=True)  # as much as goes: it is a test's own

    def archive_job(self, purpose: str) -> str:
        server = postgres_dump.Server(self.platform, self.image, UID, UID, self.folder, str(self.configuration), "")
        return server.job(purpose, ("true",)).name


@contextmanager
def archived_server(client: Any, image: str, root: Path, *settings: str, **options: Any) -> Iterator[ArchivedServer]:
    """A server whose archive is begun, and that takes no base backup by itself."""
    root.chmod(0o711)
    server = ArchivedServer(client, image, root)
    try:
        server.configure()
        server.start("archive_timeout=60", "fsync=off", *settings, **options)
        archive_apply.create(client, server.archive())
        yield server
    finally:
        server.remove()
