"""A backup is made of what users have written, and brings it back through the application, whatever is in between."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from e2e_backups import BACKUPS, newest, sets
from e2e_platform import ENV, NAME, PLATFORM_ROOT, Platform
from e2e_web import chat, secure


def test_a_set_holds_everything_and_lies_open_to_nobody(encrypted: Platform, conversation: str) -> None:
    assert encrypted.messages_of(conversation) == 2
    run = encrypted.make("backup", reason="before the tests").succeeded()
    made = newest(encrypted)
    assert {part["kind"] for part in made["parts"] if part["files"]} >= {"postgres", "redis", "sessions", "release"}
    folder = BACKUPS / made["id"]
    assert {path.name.rpartition(".")[2] for path in folder.iterdir()} <= {"age", "json", "yml"}
    assert {path.stat().st_mode & 0o077 for path in (BACKUPS, folder, *folder.iterdir())} == {0}
    everything = b"".join(path.read_bytes() for path in folder.iterdir()) + run.output.encode()
    for secret in encrypted.secrets().values():
        assert secret.encode() not in everything


def test_a_second_backup_within_its_time_changes_nothing(encrypted: Platform) -> None:
    before = encrypted.footprint()["files"], [one["id"] for one in sets(encrypted)]
    assert encrypted.make("backup", max_age=3600).succeeded().changes == []
    assert (encrypted.footprint()["files"], [one["id"] for one in sets(encrypted)]) == before


def test_what_was_written_after_a_backup_is_gone_after_a_restore_and_back_after_undo(
    encrypted: Platform, conversation: str, identity: Path
) -> None:
    encrypted.make("backup").succeeded()
    later = str(chat("written after the backup")["conversation_id"])
    before = encrypted.serving()

    run = encrypted.make("restore", identity=identity).succeeded()

    assert (encrypted.messages_of(conversation), encrypted.messages_of(later)) == (2, 0)
    assert "AGE-SECRET-KEY" not in run.output
    unchanged = {name: one for name, one in encrypted.serving().items() if name != "redis"}
    assert unchanged.items() <= before.items(), "nothing but Redis was started again"
    assert encrypted.make("restore", identity=identity).succeeded().changes == [], "it is what serves"
    encrypted.make("verify").succeeded()

    encrypted.make("restore-undo").succeeded()

    assert encrypted.messages_of(later) == 2
    assert encrypted.make("restore-undo").succeeded().changes == []


def test_a_restore_that_must_not_be_touches_nothing(encrypted: Platform, identity: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    subprocess.run(["age-keygen", "-o", str(wrong)], check=True, capture_output=True)
    before = encrypted.sql("select count(*) from messages"), encrypted.serving()
    newest_id = newest(encrypted)["id"]
    manifest = BACKUPS / newest_id / "manifest.json"
    told = manifest.read_text()

    encrypted.make("restore").refused("is encrypted: none of the private keys")
    encrypted.make("restore", identity=wrong).refused("no identity matched any of the recipients")
    encrypted.make("restore", identity=identity, set="20200101T000000Z-ffff").refused(
        "There is no set 20200101T000000Z"
    )
    manifest.write_text(told.replace(f'"environment": "{ENV}"', '"environment": "production"'))
    encrypted.make("restore", identity=identity, set=newest_id).refused("is of the environment production")
    manifest.write_text(told)
    dump = next((BACKUPS / newest_id).glob("postgres.dump*"))
    dump.write_bytes(dump.read_bytes()[:-1])
    encrypted.make("restore", identity=identity, set=newest_id).refused("is damaged: postgres.dump.zst.age has")

    assert (encrypted.sql("select count(*) from messages"), encrypted.serving()) == before
    assert secure("GET", "/health").status == 200


def test_a_restore_that_is_killed_in_the_swap_is_finished_by_the_next(encrypted: Platform, identity: Path) -> None:
    encrypted.make("backup").succeeded()
    later = str(chat("written after the backup")["conversation_id"])
    started = encrypted.start("restore", identity=identity)
    started.says("The two change places")
    started.kill()

    encrypted.make("restore", identity=identity).succeeded()

    assert encrypted.messages_of(later) == 0
    assert secure("GET", "/health").status == 200
    assert encrypted.sql("select count(*) from pg_database where datname like '%restored'") == "0"
    assert not [each for each in encrypted.containers() if "backup" in str(each.name)]
    encrypted.make("verify").succeeded()


def test_a_deploy_makes_a_set_first_and_one_that_changes_nothing_makes_none(encrypted: Platform) -> None:
    wanted = {"release_backup": True, "backend_settings": {"LOG_LEVEL": "WARNING"}}
    before = {one["id"] for one in sets(encrypted)}

    encrypted.make("deploy", args=wanted).succeeded()

    (made,) = [one for one in sets(encrypted) if one["id"] not in before]
    record = json.loads((PLATFORM_ROOT / "releases" / encrypted.release() / "manifest.json").read_text())
    assert (record["backup"], made["reason"]) == (made["id"], "before a deploy")
    assert encrypted.make("deploy", args=wanted).succeeded().changes == []
    assert {one["id"] for one in sets(encrypted)} == before | {made["id"]}


# Drills


def drill_leftovers(platform: Platform) -> list[str]:
    left = [str(each.name) for each in platform.containers() if "drill" in str(each.name)]
    return left + [str(path) for path in PLATFORM_ROOT.glob("drill*")]


def test_a_drill_restores_a_set_where_nobody_reaches_it_and_is_on_record(encrypted: Platform, identity: Path) -> None:
    before = encrypted.serving(), encrypted.sql("select count(*) from messages")

    run = encrypted.make("drill", identity=identity).succeeded()

    assert "The application came up on it, with 0 sessions" not in run.output
    assert "The application came up on it" in run.output
    assert newest(encrypted)["drilled"] > newest(encrypted)["began"]
    figures = (PLATFORM_ROOT / "metrics" / "erni_backup.prom").read_text()
    assert "erni_backup_last_drill_duration_seconds" in figures
    assert drill_leftovers(encrypted) == []
    assert (encrypted.serving(), encrypted.sql("select count(*) from messages")) == before


def test_a_drill_that_is_killed_leaves_nothing_after_the_next(encrypted: Platform, identity: Path) -> None:
    started = encrypted.start("drill", identity=identity)
    deadline = time.monotonic() + 60
    while f"{NAME}-drill-postgres" not in [str(each.name) for each in encrypted.containers()]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    started.kill()
    encrypted.make("drill", identity=identity).succeeded()
    assert drill_leftovers(encrypted) == []


def test_a_set_that_cannot_be_restored_fails_its_drill(encrypted: Platform, identity: Path) -> None:
    newest_id = newest(encrypted)["id"]
    manifest = BACKUPS / newest_id / "manifest.json"
    told = json.loads(manifest.read_text())
    postgres = next(part for part in told["parts"] if part["kind"] == "postgres")
    postgres["facts"]["rows"]["public.messages"] += 1
    manifest.write_text(json.dumps(told))
    drilled = newest(encrypted)["drilled"]

    encrypted.make("drill", identity=identity).refused("What was restored is not what the set says that it held")

    assert newest(encrypted)["drilled"] == drilled
    assert drill_leftovers(encrypted) == []
