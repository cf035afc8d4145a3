"""Runs a program to its end, passing on the signals that ask this one to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType

from ansible.module_utils.erni.processor_share import giving_way

# A lost connection (SIGHUP) ends the run in good order, too.
FORWARDED = {
    signal.SIGINT: signal.SIGINT,
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGHUP: signal.SIGTERM,
}


@dataclass(frozen=True)
class Ended:
    """How a program ended; ``code`` as a shell would give it (128 + n for signal n)."""

    code: int
    interrupted: bool


def run_to_its_end(
    command: Sequence[str], environment: Mapping[str, str], folder: str, inherited: Iterable[int] = ()
) -> Ended:
    """Start the command and wait for it, whatever arrives meanwhile. Containers on this machine come before it."""
    asked_to_stop: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _frame: FrameType | None) -> None:
        asked_to_stop.append(number)
        if child is not None and not (number == signal.SIGINT and _terminal_interrupts_the_group()):
            child.send_signal(FORWARDED[signal.Signals(number)])

    previous = {number: signal.signal(number, pass_on) for number in FORWARDED}
    try:
        with giving_way():
            child = subprocess.Popen(command, env=environment, cwd=folder, pass_fds=tuple(inherited))
            code = child.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return Ended(128 - code if code < 0 else code, bool(asked_to_stop))


def _terminal_interrupts_the_group() -> bool:
    """Ctrl-C reaches every process of the foreground group: a second SIGINT would break off the child's clean-up."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
