"""One transition at a time on a host."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.host_lock import host_lock
from platform_builders import ROOT


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of ``erni``, with a program of its own that it started under the lock."""
    program = textwrap.dedent(
        f"""
        import subprocess, sys
        sys.path.insert(0, {str(ROOT / "module_utils")!r})
        from erni.host_lock import host_lock
        with host_lock("erni", "service postgres", folder={str(tmp_path)!r}):
            child = subprocess.Popen(["sleep", "60"], close_fds=False, stdout=subprocess.DEVNULL)
            print(child.pid, flush=True)
            sys.stdin.readline()
        print("released", flush=True)
        sys.stdin.readline()
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        yield process
    finally:
        os.kill(child, signal.SIGKILL)
        process.kill()
        process.communicate()


def acquire(folder: Path, platform: str = "erni", wait: float = 0) -> None:
    with host_lock(platform, "test", wait_seconds=wait, folder=str(folder)):
        pass


def test_a_second_process_is_refused_and_told_who_holds_the_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(PlatformError) as refused:
        acquire(tmp_path)
    assert f"process {holder.pid} holds it since 2" in str(refused.value)
    assert "for service postgres" in str(refused.value)
    assert str(tmp_path / "erni-host-erni.lock") in str(refused.value)


def test_a_second_process_waits_as_long_as_it_was_told_to(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert holder.poll() is None
    started = time.monotonic()
    with pytest.raises(PlatformError, match="after 1 s"):
        acquire(tmp_path, wait=0.6)
    assert 0.6 <= time.monotonic() - started < 5


def test_another_platform_on_the_same_host_does_not_wait(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert holder.poll() is None
    acquire(tmp_path, platform="other")


def test_the_lock_dies_with_a_killed_holder_although_its_child_lives(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    acquire(tmp_path)


def test_the_lock_ends_with_its_block_although_a_program_started_under_it_lives(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdin.write("\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "released\n"
    acquire(tmp_path)


def test_a_waiting_process_gets_the_lock_once_it_is_free(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert holder.stdin is not None
    waiter = f"import sys; sys.path.insert(0, {str(ROOT / 'module_utils')!r}); from erni.host_lock import host_lock\n"
    waiter += f"with host_lock('erni', 'waiter', 30, {str(tmp_path)!r}): print('mine')"
    with subprocess.Popen([sys.executable, "-c", waiter], stdout=subprocess.PIPE, text=True) as process:
        time.sleep(0.4)
        assert process.poll() is None
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert process.communicate(timeout=30)[0] == "mine\n"


def test_the_lock_is_given_back_after_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(KeyError), host_lock("erni", "test", folder=str(tmp_path)):
        raise KeyError
    acquire(tmp_path)


def test_the_file_tells_who_holds_the_lock_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "erni-host-erni.lock"
    path.write_text("a longer note that a former holder left " * 9)
    path.chmod(0o600)
    with host_lock("erni", "restart web", folder=str(tmp_path)):
        note = json.loads(path.read_text())
    assert (note["pid"], note["purpose"]) == (os.getpid(), "restart web")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("note", ["", "{", "[]", "{}", "7"])
def test_a_note_that_cannot_be_read_does_not_hide_that_the_lock_is_held(
    tmp_path: Path, holder: subprocess.Popen[str], note: str
) -> None:
    assert holder.poll() is None
    (tmp_path / "erni-host-erni.lock").write_text(note)
    with pytest.raises(PlatformError, match="has not written who it is"):
        acquire(tmp_path)
