"""Commands of the operator's own around a transition: hooks, and the backup that is taken before it.

A hook is a list of words, or a string for ``sh -c``. It runs on the host with the transition's facts in its
environment, never in its arguments, and is ended with everything it started when its time is up.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from .errors import PlatformError
from .excerpts import hidden, last_lines, one_line

PRE_DEPLOY, POST_SWITCH, POST_DEPLOY, ON_FAILURE = "pre_deploy", "post_switch", "post_deploy", "on_failure"
BACKUP = "backup"
STOPPING = frozenset({PRE_DEPLOY, BACKUP})  # they run before anything is touched, so that they can still say no
GRACE_SECONDS = 5  # between SIGTERM and SIGKILL: a backup may have something half-written to remove
KEPT_BYTES = 64 * 1024  # of the end of what a hook says
LONGEST_NAME = 200


@dataclass(frozen=True)
class HookResult:
    """``output`` is what the hook wrote last to its standard output; ``warning`` is '' where it succeeded."""

    name: str
    ran: bool = False
    seconds: float = 0.0
    output: str = ""
    warning: str = ""


@dataclass(frozen=True)
class _Ended:
    """How a command ended: ``why`` it counts as failed ('' for a success), and the ends of its two streams."""

    why: str
    output: str = ""
    errors: str = ""


def hook_environment(
    *, environment: str, verb: str, release: str, from_release: str, slot: str, operator: str, reason: str
) -> dict[str, str]:
    """What a hook is told, beside what this process has in its own environment."""
    return {
        "ERNI_ENVIRONMENT": environment,
        "ERNI_VERB": verb,
        "ERNI_RELEASE": release,
        "ERNI_FROM_RELEASE": from_release,
        "ERNI_SLOT": slot,
        "ERNI_OPERATOR": operator,
        "ERNI_REASON": reason,
    }


def run_hook(
    name: str, command: list[str] | str, environment: Mapping[str, str], timeout: float, hide: Iterable[str]
) -> HookResult:
    """Run a hook to its end. An empty command is none.

    :param timeout: seconds after which it is ended with its whole process group.
    :param hide: values that must not be seen in what is told of its output.
    :raises PlatformError: when one fails that is asked before anything is touched.
    """
    if not command:
        return HookResult(name)
    begin = time.monotonic()
    words = ["sh", "-c", command] if isinstance(command, str) else command
    ended = _run(words, {**os.environ, **environment}, timeout)
    seconds, secrets = round(time.monotonic() - begin, 1), list(hide)
    if ended.why:
        failure = _failure(name, ended, secrets)
        if name in STOPPING:
            raise failure
        return HookResult(name, True, seconds, warning=str(failure))
    return HookResult(name, True, seconds, output=last_lines(hidden(ended.output, secrets)))


def _failure(name: str, ended: _Ended, secrets: list[str]) -> PlatformError:
    said = last_lines(hidden(f"{ended.output}\n{ended.errors}", secrets))
    told = f"its last lines are:\n{said}" if said else "it said nothing"
    remedy = "The transition went on without it; look whether what it was to do is still to be done."
    if name in STOPPING:
        remedy = "Nothing was touched. Mend what it complains of, and run again."
    return PlatformError(f"The hook {name} failed", f"{ended.why}; {told}", remedy)


def _run(words: list[str], environment: dict[str, str], timeout: float) -> _Ended:
    """Into files, not pipes: a process that the hook leaves in the background would keep a pipe open."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                words, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL in a word
            reason = error.strerror if isinstance(error, OSError) else str(error)
            return _Ended(f"{words[0]} could not be started ({reason})")
        try:
            code = process.wait(timeout)
            why = "" if code == 0 else f"it was ended by signal {-code}" if code < 0 else f"it ended with code {code}"
        except subprocess.TimeoutExpired:
            why = f"it was ended after {timeout:g} s"
            _end_group(process)
        except BaseException:  # whatever ends this process must not leave the hook behind
            _end_group(process)
            raise
        return _Ended(why, _tail(output), _tail(errors))


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """The hook leads a session of its own, so its process group has its number."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            process.poll()  # reaped, so that only what still runs counts
            os.killpg(process.pid, 0)
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(stream: IO[bytes]) -> str:
    """The end of a file, from the start of a line: half a secret would not be recognised."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(size - KEPT_BYTES, 0))
    text = stream.read().decode(errors="replace")
    return text if size <= KEPT_BYTES else text.partition("\n")[2]


def backup_refusal(command: list[str] | str, required: bool, reason: str) -> str:
    """Why a deploy may not begin without a backup, or ''. A reason given by the operator is enough."""
    if command or not required or reason.strip():
        return ""
    return str(
        PlatformError(
            "This environment is deployed to only after a backup, and there is none to take",
            "release_backup_required is true and release_backup_command is empty",
            "Set release_backup_command; where it must be now, say why with REASON='…', which the journal keeps.",
        )
    )


def take_backup(command: list[str] | str, environment: Mapping[str, str], timeout: float, hide: Iterable[str]) -> str:
    """Run the backup command; the last line of its output is the backup's name. '' where there is no command.

    :raises PlatformError: when it fails, or names nothing.
    """
    result = run_hook(BACKUP, command, environment, timeout, hide)
    if not result.ran:
        return ""
    name = one_line(result.output.splitlines()[-1]) if result.output else ""
    if not name or len(name) > LONGEST_NAME:
        raise PlatformError(
            "The backup command named no backup",
            f"its last line of output must be the backup's name, of at most {LONGEST_NAME} characters",
            "Nothing was touched. Correct release_backup_command, and run again.",
        )
    return name
