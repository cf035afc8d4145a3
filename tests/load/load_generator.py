"""A fixed rate of mixed requests without a single retry: what it reports as failed, a user would have seen fail.

    python tests/load/load_generator.py --port 8443 --ca /var/lib/erni/authority/ca.crt --rate 300 --seconds 60

Without --seconds it runs until standard input ends; each line on it marks the moment in the report. It ends with 0
when nothing failed, with 1 when something did, with 2 when there was nothing to put under load.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from load_clients import Fleet
from load_http import Server
from load_report import Recorder, Report
from load_settings import Settings

READY = "ready"
CLEAN, FAILURES, NO_SITE = 0, 1, 2
# Beyond the longest request's own time: the report of a long load is many megabytes.
STOP_SECONDS = 60.0


class Load:
    """A load in a process of its own, so that a test which computes does not slow it down.

    with Load(Settings(port=8443, authority="ca.crt")) as load:
        load.mark("deploy begins")
        ...
        report = load.stop()
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the process may write to it

    def start(self) -> Self:
        """Returns once requests are being sent.

        :raises RuntimeError: when the site does not serve.
        """
        words = [sys.executable, __file__, "--port", str(self._settings.port), "--ca", self._settings.authority]
        self._process = subprocess.Popen(
            [*words, "--settings", self._settings.as_json(), "--json", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
        )
        assert self._process.stdout
        if self._process.stdout.readline().strip() != READY:
            self._process.wait(STOP_SECONDS)
            raise RuntimeError(f"The load did not begin: {self._complained()}")
        return self

    def mark(self, text: str) -> None:
        """Note in the report that something happens now."""
        assert self._process is not None
        assert self._process.stdin
        with suppress(BrokenPipeError):  # stop() says why it is gone
            self._process.stdin.write(" ".join(text.split()) + "\n")
            self._process.stdin.flush()

    def stop(self) -> Report:
        """Send nothing more, wait for what is under way, and tell all.

        :raises RuntimeError: when the generator itself has failed.
        """
        assert self._process is not None
        longest = max(self._settings.slow_seconds, *self._settings.stream_seconds) + self._settings.timeout
        output, _ = self._process.communicate(timeout=longest + STOP_SECONDS)
        if self._process.returncode not in (CLEAN, FAILURES):
            raise RuntimeError(f"The load generator failed: {self._complained()}")
        return Report.from_json(output)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
        self._complaints.close()

    def _complained(self) -> str:
        self._complaints.seek(0)
        return self._complaints.read().strip()[-2000:]


async def run_load(settings: Settings, seconds: float | None) -> Report:
    """Put the site under load for so long, or until standard input ends.

    :raises RuntimeError: when the site does not serve its page to begin with: such a load would prove nothing.
    """
    loop = asyncio.get_running_loop()
    context = ssl.create_default_context(cafile=settings.authority)
    server = Server(settings.address, settings.port, settings.hostname, context)
    started, processor = time.time(), time.process_time()
    recorder = Recorder(loop.time())
    fleet = Fleet(settings, server, recorder)
    if not await fleet.read_page():
        raise RuntimeError(f"{settings.hostname}:{settings.port} does not serve its page: {recorder.first_problem}.")
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, fleet.stopping.set)
    print(READY, flush=True)
    following = asyncio.create_task(_follow_input(fleet, recorder)) if seconds is None else None
    if seconds is not None:
        loop.call_later(seconds, fleet.stopping.set)
    ended = await fleet.run()
    if following is not None:
        following.cancel()
    return recorder.report(ended, started, time.process_time() - processor)


async def _follow_input(fleet: Fleet, recorder: Recorder) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        recorder.mark(line.decode(errors="replace").strip(), loop.time())
    fleet.stopping.set()


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, required=True, help="where the site listens with TLS")
    parser.add_argument("--ca", required=True, help="PEM file with the authority that issued its certificate")
    parser.add_argument("--rate", type=float, help="requests a second (300)")
    parser.add_argument("--seconds", type=float, help="how long; without it, until standard input ends")
    parser.add_argument("--settings", default="{}", help="any other setting, as a JSON object (see load_settings.py)")
    parser.add_argument("--json", default="", help="file for the whole report ('-' writes it in place of the summary)")
    asked = parser.parse_args(words)
    given = {"port": asked.port, "authority": asked.ca} | ({"rate": asked.rate} if asked.rate else {})
    try:
        report = asyncio.run(run_load(Settings.from_json(asked.settings, **given), asked.seconds))
    except (RuntimeError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return NO_SITE
    if asked.json not in ("", "-"):
        Path(asked.json).write_text(report.as_json(), encoding="utf-8")
    print(report.as_json() if asked.json == "-" else report.as_text())
    return FAILURES if report.failures else CLEAN


if __name__ == "__main__":
    sys.exit(main())
