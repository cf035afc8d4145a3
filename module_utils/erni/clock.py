"""Do something later, in a process that outlives the module: what was to wait for a while is stopped when it is over.

A timer of the host would have to be installed, and to find the code again; this process has it in memory. When it is
killed, or the host goes down, the next run does what it was to do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

HIGHEST_DESCRIPTOR = 4096
LOOK_SECONDS = 2.0


def later(seconds: float, work: Callable[[], object], wanted: Callable[[], bool]) -> None:
    """Call ``work`` in ``seconds``, detached from whoever waits for this process (daemon(7), the steps for SysV).

    Nobody hears what it says, so it leaves its traces elsewhere; and it must not need a file that goes with the module.

    :param wanted: asked every few seconds; once it says no, the process ends without a word.
    """
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    try:
        _let_go_of_descriptors()
        if _waited(seconds, wanted):
            work()
    finally:
        os._exit(0)


def _waited(seconds: float, wanted: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while (rest := end - time.monotonic()) > 0:
        time.sleep(min(rest, LOOK_SECONDS))
        if not wanted():
            return False
    return True


def _let_go_of_descriptors() -> None:
    """Ansible reads a module's output until the last holder of the pipe has closed it."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.closerange(3, HIGHEST_DESCRIPTOR)
