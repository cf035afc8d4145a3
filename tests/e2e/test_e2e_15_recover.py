"""A bare host becomes the platform again, from a backup location, the vault password and this repository."""

from __future__ import annotations

import shutil
from pathlib import Path

from e2e_backups import BACKUPS, newest
from e2e_platform import ENV, PLATFORM_ROOT, Platform
from e2e_web import secure


def test_a_lost_host_is_recovered_though_the_recovery_is_killed(
    encrypted: Platform, conversation: str, identity: Path, tmp_path: Path
) -> None:
    encrypted.make("backup").succeeded()
    taken, secrets = newest(encrypted)["id"], encrypted.secrets()
    shutil.copytree(BACKUPS, tmp_path / ENV, ignore=shutil.ignore_patterns(".*"))
    encrypted.make("destroy", confirm=ENV, volumes=1).succeeded()
    shutil.rmtree(PLATFORM_ROOT)
    vault = encrypted.inventories / ENV / "group_vars" / "all" / "vault.yml"
    vault.unlink()

    for moment in ("PostgreSQL serves", "It stands ready beside what serves"):
        started = encrypted.start("recover", location=tmp_path, identity=identity)
        started.says(moment)
        started.kill()
    run = encrypted.make("recover", location=tmp_path, identity=identity).succeeded()

    assert f"The recovery from set {taken} that was begun before goes on" in run.output
    assert f"The platform is recovered from set {taken}" in run.output
    assert "The recovery point is" in run.output
    assert encrypted.secrets() == secrets
    assert encrypted.messages_of(conversation) == 2
    assert "AGE-SECRET-KEY" not in run.output
    encrypted.make("verify").succeeded()
    again = encrypted.make("recover", location=tmp_path, identity=identity).succeeded()
    assert again.changes == []
    assert f"was recovered from set {taken} before" in again.output


def test_a_host_with_data_is_not_taken_for_a_bare_one(encrypted: Platform, conversation: str, identity: Path) -> None:
    (PLATFORM_ROOT / "recovery.json").unlink(missing_ok=True)
    before = encrypted.footprint()

    encrypted.make("recover", identity=identity).refused("there are data already")

    assert encrypted.footprint() == before
    assert encrypted.messages_of(conversation) == 2
    assert secure("GET", "/health").status == 200
