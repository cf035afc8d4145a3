"""A bring-up that is watched for secrets, and a search for them in whatever it shows and leaves."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

from e2e_platform import Platform, Run


class Watch:
    """Collects every process' arguments for as long as the block lasts."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self.rounds = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def text(self) -> str:
        return b"\n".join(self.seen).decode(errors="replace")

    def _look(self) -> None:
        while not self._over.wait(0.005):
            self.rounds += 1
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes().replace(b"\0", b" "))
                except OSError:
                    continue  # it ended between two looks


@dataclass(frozen=True)
class BringUp:
    """``up`` and ``verify`` with everything shown, and the arguments of every process meanwhile."""

    run: Run
    verified: Run
    processes: str


def watched_bring_up(platform: Platform) -> BringUp:
    with Watch() as watch:
        run = platform.up(v=3)
        verified = platform.make("verify", v=3).succeeded()
    assert watch.rounds > 100, "the watch was too slow to see anything"
    assert any(b"ansible-playbook" in arguments for arguments in watch.seen)
    return BringUp(run, verified, watch.text())


class Evidence:
    """Texts by where they were found, and a search for secrets in them."""

    def __init__(self, secrets: dict[str, str]) -> None:
        self.texts: dict[str, str] = {}
        self._needles = {name: {value, quote(value, safe="")} for name, value in secrets.items()}

    def leaks(self) -> list[str]:
        """Where which secret was found; never its value."""
        return [
            f"{name} in {where}"
            for where, text in self.texts.items()
            for name, needles in self._needles.items()
            if any(needle in text for needle in needles)
        ]
