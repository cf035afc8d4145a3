"""Kill a process of its own after any of its operations, as SIGKILL does: nothing is cleaned up."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

Operation = tuple[Any, str]  # what has it, and its name there


def killed_after(number: int, operations: list[Operation], action: Callable[[], None]) -> bool:
    """Run the action in a child and kill it when ``number`` of the operations are done; False where it ended before."""
    child = os.fork()
    if child == 0:
        _run_as_victim(number, operations, action)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "it failed, and was not killed; what it says is above"
    return False


def _run_as_victim(number: int, operations: list[Operation], action: Callable[[], None]) -> None:
    left = number

    def watched(operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            result = operation(*arguments, **named)
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return run

    try:
        for owner, name in operations:
            setattr(owner, name, watched(getattr(owner, name)))
        action()
        os._exit(0)
    except BaseException:  # noqa: BLE001 (whatever it was, the child ends here)
        traceback.print_exc()
        os._exit(1)
