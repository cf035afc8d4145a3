"""A run that nobody watches: what it leaves, whom it tells, and that nothing around it costs the run."""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import scheduled
from ansible.module_utils.erni import scheduled_figures
from ansible.module_utils.erni.scheduled_figures import Record
from scheduled import as_owner
from scheduled_site import Site, site
from small_servers import LOOPBACK, Web

from erni_cli.lock import environment_lock, lock_file

pytestmark = pytest.mark.usefixtures("no_proxy")

KEY = "B0T0K3N"
STAMP = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ "


def demo_site(tmp_path: Path, port: int) -> Site:
    """The watchdog and the people's webhook answer on that port."""
    address = f"http://{LOOPBACK}:{port}"
    secrets = {"backup_heartbeat_url": f"{address}/ping/{KEY}", "notify_webhook": f"{address}/hook/{KEY}"}
    made = site(tmp_path / "demo", f"test-{os.getpid()}-{tmp_path.name.lower()}"[:60], secrets)
    made.verb("backup")
    return made


@pytest.fixture
def demo(tmp_path: Path, web: Web) -> Iterator[Site]:
    made = demo_site(tmp_path, web.port)
    yield made
    lock_file(made.environment).unlink(missing_ok=True)


def run(demo: Site, **options: str) -> tuple[int, str]:
    process = demo.start("backup", **options)
    output, errors = process.communicate(timeout=120)
    assert output == ""
    return process.returncode, errors


def figures(demo: Site) -> Record:
    return scheduled_figures.read(scheduled_figures.path(str(demo.metrics), demo.environment, "backup"))


def everything_written(demo: Site) -> str:
    found = [path for folder in (demo.logs, demo.metrics) for path in folder.rglob("*") if path.is_file()]
    return "".join(path.read_text() for path in [*found, demo.folder / ".run" / "journal.jsonl"])


def test_a_run_that_ends_well_is_logged_counted_and_told_to_the_watchdog(demo: Site, web: Web) -> None:
    assert run(demo) == (0, "")
    assert demo.trace.read_text() == "backup begins\nbackup ends\n"
    assert [path for _, path, _, _ in web.seen] == [f"/ping/{KEY}/start", f"/ping/{KEY}"]
    lines = demo.log("backup").splitlines()
    assert all(re.match(STAMP, line) for line in lines)
    assert re.search(rf"make backup ENV={demo.environment} begins, process \d+$", lines[0])
    assert any("[1/1] It does its work" in line for line in lines), "what the run itself says"
    assert re.search(rf"make backup ENV={demo.environment} ended well after \d+\.\d s$", lines[-1])
    assert (demo.logs / f"{demo.environment}-backup.log").stat().st_mode & 0o777 == 0o640
    known = figures(demo)
    assert known.last_exit_code == 0
    assert known.last_start_timestamp_seconds < known.last_end_timestamp_seconds  # type: ignore[operator] # both known
    assert known.last_success_timestamp_seconds == known.last_end_timestamp_seconds
    assert KEY not in everything_written(demo)


def test_a_run_that_fails_is_told_to_the_watchdog_and_to_people_and_ends_with_its_code(demo: Site, web: Web) -> None:
    before = Record(last_success_timestamp_seconds=1000.0)
    file = scheduled_figures.path(str(demo.metrics), demo.environment, "backup")
    scheduled_figures.write(file, before, demo.environment, "backup")
    demo.verb("backup", then="echo 'the disk is full' >&2; exit 1")
    code, errors = run(demo)
    assert code == 2
    assert errors.startswith(f"make backup ENV={demo.environment} failed with code 2. Its log is {demo.logs}/")
    assert [path for _, path, _, _ in web.seen] == [f"/ping/{KEY}/start", f"/ping/{KEY}/fail", f"/hook/{KEY}"]
    message = json.loads(web.seen[-1][3])
    assert re.match(rf"{demo.environment}: backup failed after \d+ s\.", message["text"])
    told = {field["title"]: field["value"] for field in message["attachments"][0]["fields"]}
    assert "the disk is full" in told["Error"]
    known = figures(demo)
    assert (known.last_exit_code, known.last_success_timestamp_seconds) == (2, 1000.0)
    assert known.last_end_timestamp_seconds is not None
    assert KEY not in everything_written(demo)
    assert KEY not in errors


def test_a_run_waits_for_another_one_only_as_long_as_it_was_told(demo: Site, web: Web) -> None:
    with environment_lock(lock_file(demo.environment), "somebody", "up", 0):
        code, _ = run(demo, LOCK_WAIT="1")
    assert code == 3
    assert not demo.trace.exists()
    assert "somebody runs 'up' since" in demo.log("backup")
    assert figures(demo).last_exit_code == 3
    assert web.seen[1][1] == f"/ping/{KEY}/fail"


def test_a_run_that_is_asked_to_stop_ends_in_good_order_and_counts_as_failed(demo: Site, web: Web) -> None:
    demo.verb("backup", seconds=50)
    process = demo.start("backup")
    deadline = time.monotonic() + 60
    while not demo.trace.exists():
        assert time.monotonic() < deadline, demo.log("backup")
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) in (99, 128 + signal.SIGTERM)
    assert figures(demo).last_exit_code == process.returncode
    assert web.seen[1][1] == f"/ping/{KEY}/fail"
    journal = json.loads((demo.folder / ".run" / "journal.jsonl").read_text())
    assert journal["outcome"] == "interrupted"


def test_what_is_around_a_run_never_costs_the_run(tmp_path: Path) -> None:
    """No watchdog answers, nothing can be counted and nothing logged: the work is done all the same."""
    demo = demo_site(tmp_path, free_port())
    demo.logs.write_text("a file where the folder should be")
    demo.metrics.parent.mkdir()
    demo.metrics.write_text("likewise")
    code, errors = run(demo)
    lock_file(demo.environment).unlink()
    assert code == 0
    assert demo.trace.read_text() == "backup begins\nbackup ends\n"
    assert f"The log in {demo.logs} cannot be written" in errors
    assert "The heartbeat 'start' could not be sent: Connection refused." in errors
    assert "The heartbeat 'success' could not be sent: Connection refused." in errors
    assert errors.count("The figures are as they were: ") == 2
    assert KEY not in errors


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])


def test_a_run_whose_vault_is_shut_says_so_and_is_counted(demo: Site, web: Web) -> None:
    (demo.folder / "inventories" / demo.environment / ".vault_password").unlink()
    code, errors = run(demo)
    assert (code, web.seen) == (2, [])
    assert "There is no heartbeat: The secrets of " in demo.log("backup")
    assert "failed with code 2" in errors
    assert figures(demo).last_exit_code == 2


def test_a_log_stays_bounded(demo: Site) -> None:
    demo.logs.mkdir()
    log = demo.logs / f"{demo.environment}-backup.log"
    log.write_bytes(b"x" * 4_999_990 + b"\n")
    assert run(demo)[0] == 0
    kept = demo.logs / f"{log.name}.1"
    assert kept.stat().st_size <= 5_000_000
    assert "ended well" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_run_is_its_checkouts_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = pwd.getpwnam("nobody")
    os.chown(tmp_path, owner.pw_uid, -1)
    monkeypatch.setattr(scheduled, "ROOT", tmp_path)
    words = ["/bin/sh", "-c", "id -u; id -G; echo $HOME $USER $KEPT"]
    said = subprocess.run(
        words, cwd="/", text=True, capture_output=True, check=True, **as_owner({"KEPT": "kept"})
    ).stdout
    assert said == f"{owner.pw_uid}\n{owner.pw_gid}\n{owner.pw_dir} nobody kept\n"


@pytest.mark.parametrize("words", [[], ["backup"], ["nothing", "demo"], ["backup", "demo", "more"]])
def test_what_is_no_call_is_refused(demo: Site, words: list[str]) -> None:
    refused = subprocess.run(
        [sys.executable, "tools/scheduled.py", *words], cwd=demo.folder, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert refused.stderr.startswith("scheduled.py wants a verb and an environment")
