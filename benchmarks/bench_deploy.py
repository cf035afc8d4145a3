"""Deploys and rollbacks under load, side by side: `make deploy` with `make rollback`, and the runbook's way.

Both ways change the backend of the same platform, behind the same nginx, under the same load: 300 mixed requests a
second without a retry (tests/load). The runbook's way is what its page says: `docker-compose up -d --no-deps --build
backend`, and to go back the same with the former source; the compose file is written from what the engine says of the
platform's own container.

Prints a table: switches, requests, those that failed, the longest time in which nothing was answered, seconds in which
something failed, and the median time of a command; and another one of what a switch takes when nothing else goes on,
beside what it may take. Ends with 1 when one of our requests was lost or something takes longer.
Run: make bench, or this file; CYCLES=50 for the long run. Needs Debian's package docker-compose.
"""

from __future__ import annotations

import io
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
from platform_copy import NAME, ROOT, UNDER_LOAD, VARIABLES, clean_environment, inventory, timed
from runbook_compose import Compose, forget_images
from transition_times import Bound, Transition, bounds_table, transitions

sys.path.append(str(ROOT / "tests" / "load"))

from load_generator import Load
from load_posts import posts_applied_exactly_once
from load_report import SHOWN_FAILURES, Report, line_about
from load_settings import Settings

CYCLES = int(os.environ.get("CYCLES", "5"))
RUNBOOK_CYCLES = min(CYCLES, 10)  # each of them is an outage, and they are all alike
QUIET_CYCLES = 3  # of each kind, without load
RATE = float(os.environ.get("RATE", "300"))
TAG = f"{NAME}-release/backend"


@dataclass(frozen=True)
class Outcome:
    """What one way did: the load's report, the seconds of each command, POSTs that were not applied exactly once."""

    report: Report
    there: list[float]
    back: list[float]
    wrongly_applied: int


def under_load(cycles: int, there: Callable[[], float], back: Callable[[], float]) -> Outcome:
    authority = f"{VARIABLES['platform_root']}/authority/ca.crt"
    went: list[float] = []
    returned: list[float] = []
    with Load(Settings(port=VARIABLES["nginx_https_port"], authority=authority, rate=RATE)) as traffic:
        for _ in range(cycles):
            went.append(there())
            returned.append(back())
        report = traffic.stop()
    return Outcome(report, went, returned, len(posts_applied_exactly_once(report.posts_answered, query)))


def query(statement: str) -> str:
    container = docker.from_env().containers.get(f"{NAME}-postgres")
    words = ["psql", "-XAt", "--username=postgres", "--dbname=erni_agents", "-c", statement]
    code, output = container.exec_run(words)
    if code:
        raise SystemExit(output.decode())
    return str(output.decode())


def releases(count: int) -> Iterator[str]:
    """RELEASE= for one backend after the other, none like one before: each deploy has to start a candidate.

    All are built before the first is wanted, so that the engine builds none while it is measured.
    """
    client = docker.from_env()
    image = client.containers.get(f"{NAME}-backend").attrs["Config"]["Image"]
    frontend = client.containers.get(f"{NAME}-frontend").attrs["Config"]["Image"]
    for number in range(count):
        dockerfile = f"FROM {image}\nLABEL variant={number}\n"
        client.images.build(fileobj=io.BytesIO(dockerfile.encode()), tag=f"{TAG}:{number}", rm=True)
    return iter([f"RELEASE=backend={TAG}:{number},frontend={frontend}" for number in range(count)])


def quiet(make: Callable[..., float], release: Iterator[str]) -> list[Bound]:
    """What a switch takes by itself: back to a release that runs, back to one that was stopped, and there."""
    root = Path(VARIABLES["platform_root"])
    went: list[Transition] = []
    back: dict[str, list[Transition]] = {}
    entered: dict[str, list[float]] = {}
    for kind, warm_seconds in (("warm", 600), ("stopped", 0)):
        for _ in range(QUIET_CYCLES):
            make("deploy", next(release), f"ARGS=-e release_warm_seconds={warm_seconds}")
            went.append(transitions(root)[-1])
            entered.setdefault(kind, []).append(make("rollback"))
            back.setdefault(kind, []).append(transitions(root)[-1])
    return [
        Bound("rollback, warm: module's start to switched", [t.until_switched for t in back["warm"]], 1),
        Bound("rollback, warm: Enter to summary", entered["warm"], 10),
        Bound("rollback, stopped: module's start to switched", [t.until_switched for t in back["stopped"]], 10),
        Bound("deploy: beyond start-up, drain and bake", [t.overhead for t in went], 3),
    ]


def with_compose(folder: Path) -> Outcome:
    """The runbook's two commands, for the container that serves, at its address and under its name on the network."""
    with Compose(folder, f"{TAG}:runbook") as compose:

        def bring(label: str) -> float:
            compose.dockerfile(f"LABEL variant={label}")
            return compose.up("--build")

        bring("former")
        return under_load(RUNBOOK_CYCLES, lambda: bring("new"), lambda: bring("former"))


def table(outcomes: dict[str, Outcome]) -> str:
    columns = ("switches", "requests", "failed", "silent for", "bad seconds", "there", "back")
    lines = [f"{'way':28}" + "".join(f"{column:>13}" for column in columns)]
    for way, outcome in outcomes.items():
        report = outcome.report
        cells = (
            str(len(outcome.there) + len(outcome.back)),
            str(report.total),
            str(len(report.failures) + outcome.wrongly_applied),
            f"{report.longest_silence:.1f} s",
            str(report.seconds_with_failures),
            f"{statistics.median(outcome.there):.1f} s",
            f"{statistics.median(outcome.back):.1f} s",
        )
        lines.append(f"{way:28}" + "".join(f"{cell:>13}" for cell in cells))
    lines += [f"{way}: {report_kinds(outcome)}" for way, outcome in outcomes.items() if outcome.report.failures]
    return "\n".join([*lines, f"A cycle is two switches; {RATE:.0f} requests/s throughout."])


def details(outcome: Outcome) -> str:
    """What is known of the first that failed, for whoever looks for the cause."""
    return "\n".join(line_about(failure) for failure in outcome.report.failures[:SHOWN_FAILURES])


def report_kinds(outcome: Outcome) -> str:
    return ", ".join(f"{count} x {kind}" for kind, count in list(outcome.report.failures_by_kind().items())[:6])


def measure(folder: Path) -> tuple[dict[str, Outcome], list[Bound]]:
    inventory(folder, UNDER_LOAD | {"release_evidence_file": str(folder / "releases.jsonl")})
    context = folder / "context"
    context.mkdir()

    def make(verb: str, *words: str) -> float:
        return timed(["make", verb, "ENV=bench", f"INVENTORIES={folder}", *words], env=clean_environment())

    make("up")
    try:
        release = releases(CYCLES + 2 * QUIET_CYCLES)
        ours = under_load(CYCLES, lambda: make("deploy", next(release)), lambda: make("rollback"))
        bounds = quiet(make, release)
        return {"make deploy, make rollback": ours, "the runbook's docker-compose": with_compose(context)}, bounds
    finally:
        make("destroy", "CONFIRM=bench", "VOLUMES=1")
        shutil.rmtree(VARIABLES["platform_root"], ignore_errors=True)  # as much as goes: it is the benchmark's own
        forget_images(TAG)


def main() -> int:
    if shutil.which("docker-compose") is None:
        print("docker-compose is not installed; run make bench, or apt-get install docker-compose.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        outcomes, bounds = measure(Path(folder))
    print(table(outcomes))
    print()
    print(bounds_table(bounds))
    ours = outcomes["make deploy, make rollback"]
    lost = len(ours.report.failures) + ours.wrongly_applied
    if lost:
        print(details(ours))
    return int(lost > 0 or not all(bound.holds for bound in bounds))


if __name__ == "__main__":
    sys.exit(main())
