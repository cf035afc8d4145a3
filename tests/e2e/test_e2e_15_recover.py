"""A bare host becomes the platform again, from a backup location, the vault password and this repository."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_backups import BACKUPS, newest, recipients
from e2e_platform import ENV, PLATFORM_ROOT, Platform
from e2e_web import secure
from offsite_targets import Place, s3, s3_target

READY = "It stands ready beside what serves"
# What the run says when it comes to a step, in the order of the steps. Each kill meets what the ones before have left.
EVERY_STEP = (
    "There are no data that this could hurt",
    "The set is here, and whole",
    "Networks, folders and images are in place",
    "PostgreSQL serves",
    "Redis serves",
    "Nginx serves",
    "The application serves",
    "The platform works for a user",
    "A set is chosen, and is whole",
    READY,
    "The two change places",
    "All of it serves",
    "What serves now is what was restored",
    "The platform is recovered",
)
# A run for each step takes minutes; ERNI_EVERY_STEP=1 takes them.
STEPS = EVERY_STEP if os.environ.get("ERNI_EVERY_STEP") else ("PostgreSQL serves", READY, "The two change places")


@pytest.fixture
def bucket(encrypted: Platform, identity: Path, tmp_path: Path) -> Iterator[Place]:
    """Copies of its sets go there; those that other tests have damaged, which a backup would report, are gone."""
    shutil.rmtree(BACKUPS, ignore_errors=True)  # there may be none
    with s3_target(tmp_path) as place:
        target = place.target
        offsite = {"type": "s3", "endpoint": target.endpoint, "bucket": target.bucket, "path": target.path}
        offsite["access_key_id"] = target.access_key_id
        own = {"backup_recipients": recipients(identity), "backup_offsite": offsite}
        encrypted.write_environment(ENV, own, {**encrypted.secrets(), "backup_offsite_s3_secret_key": target.secret})
        try:
            yield place
        finally:
            encrypted.write_environment(ENV)
            s3.end()


@pytest.mark.timeout(1200)  # a run of make for each step
def test_a_lost_host_is_recovered_from_a_bucket_though_the_recovery_is_killed(
    encrypted: Platform, conversation: str, identity: Path, bucket: Place, tmp_path: Path
) -> None:
    encrypted.make("backup").succeeded()
    taken, secrets = newest(encrypted)["id"], encrypted.secrets()
    shutil.copytree(BACKUPS, tmp_path / ENV, ignore=shutil.ignore_patterns(".*"))
    encrypted.make("destroy", confirm=ENV, volumes=1).succeeded()
    shutil.rmtree(PLATFORM_ROOT)
    encrypted.vault_file.unlink()
    (tmp_path / "credential").write_text(f"{bucket.target.secret}\n")
    options = {"identity": identity, "credential": tmp_path / "credential"}

    encrypted.make("recover", identity=identity).refused("The off-site target's secret is missing")
    predicted = encrypted.make("recover", identity=identity, location=tmp_path, check=1).succeeded()
    assert f"would: Set {taken} is fetched from off-site" in predicted.output
    for step in STEPS:
        started = encrypted.start("recover", **options)
        started.says(step)
        started.kill()
        if step == READY:
            assert secure("GET", "/").status == 503, "nobody writes into what is about to be replaced"
    run = encrypted.make("recover", **options).succeeded()

    assert f"The recovery from set {taken} that was begun before goes on" in run.output
    assert f"The platform is recovered from set {taken}" in run.output
    assert "The recovery point is" in run.output
    assert encrypted.secrets() == secrets
    assert encrypted.messages_of(conversation) == 2
    assert "AGE-SECRET-KEY" not in run.output
    assert bucket.target.secret not in run.output
    encrypted.make("verify").succeeded()
    again = encrypted.make("recover", **options).succeeded()
    assert again.changes == []
    assert f"was recovered from set {taken} before" in again.output

    shutil.rmtree(BACKUPS)
    predicted = encrypted.make("restore", identity=identity, check=1).succeeded()
    assert f"would: Set {taken} is fetched from off-site" in predicted.output
    assert not list(BACKUPS.glob("*"))


def test_a_host_with_data_is_not_taken_for_a_bare_one(encrypted: Platform, conversation: str, identity: Path) -> None:
    (PLATFORM_ROOT / "recovery.json").unlink(missing_ok=True)
    before = encrypted.footprint()

    encrypted.make("recover", identity=identity).refused("there are data already")

    assert encrypted.footprint() == before
    assert encrypted.messages_of(conversation) == 2
    assert secure("GET", "/health").status == 200
