"""An operator's own commands around a transition: told what happens, ended in time, and quoted without secrets."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest
from ansible.module_utils.erni import hooks
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.excerpts import hidden
from ansible.module_utils.erni.hooks import (
    BACKUP,
    ON_FAILURE,
    POST_DEPLOY,
    POST_SWITCH,
    PRE_DEPLOY,
    HookResult,
    backup_refusal,
    hook_environment,
    run_hook,
    take_backup,
)

TOLD = hook_environment(
    environment="staging",
    verb="deploy",
    release="0123456789ab",
    from_release="ba9876543210",
    slot="green",
    operator="anna",
    reason='it\'s "time"; $(now)',
)
SECRET = "correct horse battery staple"


def run(command: list[str] | str, name: str = POST_DEPLOY, timeout: float = 20) -> HookResult:
    return run_hook(name, command, TOLD, timeout, [SECRET])


def refused(command: list[str] | str, name: str = PRE_DEPLOY, timeout: float = 20) -> str:
    with pytest.raises(PlatformError) as failure:
        run(command, name, timeout)
    return str(failure.value)


def gone(pid: int) -> bool:
    """Whether a process has ended; one that only waits to be collected has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_for(condition: object, seconds: float = 5) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_no_command_is_no_hook() -> None:
    assert run([]) == run("") == HookResult(POST_DEPLOY)


@pytest.mark.parametrize("command", [["sh", "-c", "env"], "env"])
def test_a_hook_is_told_what_happens_through_its_environment(command: list[str] | str, tmp_path: Path) -> None:
    result = run(["sh", "-c", f"env -0 > {tmp_path}/seen"])
    seen = dict(entry.split("=", 1) for entry in (tmp_path / "seen").read_text().split("\0") if entry)
    assert result.ran
    assert result.warning == ""
    assert {name: value for name, value in seen.items() if name.startswith("ERNI_")} == TOLD
    assert seen["PATH"] == os.environ["PATH"]
    assert run(command).warning == ""


def test_words_are_not_for_a_shell_and_a_string_is() -> None:
    assert run(["echo", "$ERNI_SLOT; echo two"]).output == "$ERNI_SLOT; echo two"
    assert run("echo $ERNI_SLOT; echo two").output == "green\ntwo"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("echo no room left >&2; exit 3", "it ended with code 3; its last lines are:\nno room left"),
        ("exit 1", "it ended with code 1; it said nothing"),
        ("kill -TERM $$", "it was ended by signal 15; it said nothing"),
        (["/no/such/program"], "/no/such/program could not be started (No such file or directory); it said nothing"),
        (["/etc"], "/etc could not be started (Permission denied); it said nothing"),
        (["echo", "a\0b"], "echo could not be started (embedded null byte); it said nothing"),
    ],
)
def test_a_failing_hook_says_why_in_a_sentence(command: list[str] | str, why: str) -> None:
    before = refused(command)
    assert (
        before == f"The hook pre_deploy failed: {why}. Nothing was touched. Mend what it complains of, and run again."
    )
    after = run(command)
    assert after.warning.startswith(f"The hook post_deploy failed: {why}. The transition went on without it")


@pytest.mark.parametrize("name", [PRE_DEPLOY, BACKUP])
def test_a_hook_before_anything_is_touched_can_say_no(name: str) -> None:
    assert f"The hook {name} failed" in refused("exit 1", name)


@pytest.mark.parametrize("name", [POST_SWITCH, POST_DEPLOY, ON_FAILURE])
def test_a_hook_after_the_switch_can_only_warn(name: str) -> None:
    result = run("exit 1", name)
    assert result.ran
    assert f"The hook {name} failed" in result.warning


def test_a_hook_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    begin = time.monotonic()
    said = refused(f"sleep 300 & echo $! > {tmp_path}/child; echo working; wait", timeout=0.5)
    assert "it was ended after 0.5 s; its last lines are:\nworking" in said
    assert time.monotonic() - begin < 4, "SIGTERM was enough"
    child = int((tmp_path / "child").read_text())
    wait_for(lambda: gone(child))


def test_a_hook_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hooks, "GRACE_SECONDS", 0.3)
    deaf = f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.1; done"
    assert "it was ended after" in refused(deaf, timeout=0.5)
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_hook_that_leaves_a_process_behind_is_not_waited_for(tmp_path: Path) -> None:
    begin = time.monotonic()
    result = run(f"sleep 300 & echo $! > {tmp_path}/child; echo done")
    child = int((tmp_path / "child").read_text())
    os.kill(child, signal.SIGKILL)
    assert (result.output, result.warning) == ("done", "")
    assert time.monotonic() - begin < 5


def test_what_a_hook_says_is_quoted_without_secrets() -> None:
    assert SECRET not in refused(["sh", "-c", f"echo 'login {SECRET} refused'; exit 1"])
    assert "login (secret) refused" in refused(["sh", "-c", f"echo 'login {SECRET} refused'; exit 1"])
    assert run(["echo", SECRET]).output == "(secret)"


@pytest.mark.parametrize(
    ("text", "hide", "shown"),
    [
        ("a correct horse", ["horse", "correct horse"], "a (secret)"),
        ("a correct horse", ["correct horse", "horse"], "a (secret)"),
        ("only the key of it", ["the key\n of it "], "only (secret) (secret)"),
        ("it is in us", ["i", "is", "", " "], "it is in us"),
    ],
)
def test_a_secret_is_hidden_whole_and_line_by_line(text: str, hide: list[str], shown: str) -> None:
    assert hidden(text, hide) == shown


def test_only_the_last_lines_are_quoted_and_a_cut_one_is_left_out() -> None:
    flood = f"i=0; while [ $i -lt 3000 ]; do echo line $i {SECRET}; i=$((i+1)); done; exit 1"
    said = refused(flood)
    assert re.findall(r"line (\d+)", said) == [str(number) for number in range(2985, 3000)]
    assert SECRET not in said
    endless = refused(f"printf '%70000s' '{SECRET}'; exit 1")
    assert "it said nothing" in endless


@pytest.mark.parametrize(
    ("command", "required", "reason", "refusal"),
    [
        ([], False, "", False),
        ([], True, "", True),
        ([], True, "   ", True),
        ([], True, "the disk is new", False),
        (["backup"], True, "", False),
        ("backup", True, "", False),
    ],
)
def test_an_environment_that_wants_a_backup_is_not_deployed_to_without_one_or_a_reason(
    command: list[str] | str, required: bool, reason: str, refusal: bool
) -> None:
    said = backup_refusal(command, required, reason)
    assert bool(said) is refusal
    if refusal:
        assert "Set release_backup_command" in said
        assert "REASON=" in said


def test_a_backup_is_known_by_the_last_line_of_its_output() -> None:
    command = "echo dumping; echo ' 2026-01-02T03:04:05Z '; echo; echo 'a warning' >&2"
    assert take_backup(command, TOLD, 20, []) == "2026-01-02T03:04:05Z"
    assert take_backup([], TOLD, 20, []) == ""


@pytest.mark.parametrize("command", ["true", "echo only to stderr >&2", f"echo {'x' * 201}"])
def test_a_backup_without_a_name_is_none(command: str) -> None:
    with pytest.raises(PlatformError, match="named no backup"):
        take_backup(command, TOLD, 20, [])


def test_a_failing_backup_stops_the_deploy() -> None:
    with pytest.raises(PlatformError, match="The hook backup failed: it ended with code 7"):
        take_backup("exit 7", TOLD, 20, [])
