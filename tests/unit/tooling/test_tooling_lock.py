from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from erni_cli.errors import LockHeldError
from erni_cli.lock import environment_lock, lock_file

HOLDER = """
import sys, time
sys.path.insert(0, {tools!r})
from pathlib import Path
from erni_cli.lock import environment_lock
with environment_lock(Path({path!r}), "ana", "up", 0):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def held_by_another(path: Path) -> Iterator[subprocess.Popen[str]]:
    tools = Path(__file__).resolve().parents[3] / "tools"
    program = HOLDER.format(tools=str(tools), path=str(path))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()


def test_a_second_run_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_by_another(path) as holder, pytest.raises(LockHeldError) as refusal, environment_lock(path, "b", "up", 0):
        pass
    assert str(refusal.value).startswith("Another run is changing this environment: ana runs 'up' since 20")
    assert f"(process {holder.pid})" in str(refusal.value)


def test_the_lock_dies_with_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_by_another(path) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with environment_lock(path, "ben", "up", 0):
            assert '"who": "ben"' in path.read_text()


def test_a_second_run_waits_and_says_so_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lock"
    with held_by_another(path) as holder:
        os.system(f"(sleep 0.6; kill -9 {holder.pid}) &")  # noqa: S605 (numbers only)
        begin = time.monotonic()
        with environment_lock(path, "ben", "up", 30):
            waited = time.monotonic() - begin
    assert 0.3 < waited < 10
    assert "ana runs 'up' since" in capfd.readouterr().err


def test_an_heir_keeps_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with environment_lock(path, "ana", "up", 0) as descriptor:
        heir = subprocess.Popen(["sleep", "60"], pass_fds=[descriptor])
    with pytest.raises(LockHeldError), environment_lock(path, "ben", "up", 0):
        pass
    heir.kill()
    heir.wait()
    with environment_lock(path, "ben", "up", 0):
        pass


def test_every_operator_of_the_machine_can_take_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with environment_lock(path, "ana", "up", 0):
        assert path.stat().st_mode & 0o777 == 0o666


def test_a_link_in_the_locks_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic"), environment_lock(tmp_path / "lock", "ana", "up", 0):
        pass
    assert not (tmp_path / "victim").exists()


def test_where_the_shared_folder_is_closed_the_lock_is_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lock_file("demo", tmp_path) == tmp_path / "erni-demo.lock"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert lock_file("demo", tmp_path / "missing") == tmp_path / f"erni-{os.getuid()}-demo.lock"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert lock_file("demo", tmp_path / "missing") == Path(f"/tmp/erni-{os.getuid()}-demo.lock")
