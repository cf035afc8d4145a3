"""Rotations of secrets under load, side by side: `make rotate` with `make revoke-previous`, and the runbook's way.

Both ways work on the same platform, behind the same nginx, under the same load: 300 mixed requests a second without a
retry (tests/load). Ours replaces each secret and the certificate by itself, and then all together, ROUNDS times, and
revokes what was before each time; all together once more ROUNDS times with nobody there. The runbook's way is to change
the passwords in PostgreSQL and Redis, to edit `.env`, and to recreate the backend (`docker-compose up -d --no-deps
backend`). A token that was signed before is tried after each: whether users stay logged in.

Prints a table: rotations, requests, those that failed, seconds in which something failed, rotations after which users
had to log in again, and the median time of a command, which shares the processors with the load. Ends with 1 when one
of our requests was lost, users had to log in again, or all together took more than 60 s with nobody there.
Run: make bench, or this file; ROUNDS=3. Needs Debian's package docker-compose.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import docker
import yaml
from platform_copy import NAME, ROOT, UNDER_LOAD, VARIABLES, clean_environment, inventory, timed
from runbook_compose import Compose, forget_images

sys.path.append(str(ROOT / "tests" / "load"))
sys.path.append(str(ROOT / "tests" / "shared"))

from load_generator import Load
from load_posts import posts_applied_exactly_once
from load_report import SHOWN_FAILURES, Report, line_about
from load_settings import Settings
from signed_token import token, user_of

ROUNDS = int(os.environ.get("ROUNDS", "3"))
RATE = float(os.environ.get("RATE", "300"))
SECRETS = ("db_password", "redis_password", "secret_key", "jwt_secret_key")
EACH = (*SECRETS, "certificate")
LONGEST_SECONDS = 60.0
BACK_SECONDS = 60.0
OURS = "make rotate, make revoke-previous"


@dataclass(frozen=True)
class Outcome:
    """What one way did: the load's report, the seconds of each command, how often users had to log in again, and POSTs
    that were not applied exactly once."""

    report: Report
    seconds: list[float]
    logged_out: int
    wrongly_applied: int

    @property
    def lost(self) -> int:
        return len(self.report.failures) + self.wrongly_applied


class Platform:
    """That of the benchmark, and what its vault holds now."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = int(VARIABLES["nginx_https_port"])
        self.authority = f"{VARIABLES['platform_root']}/authority/ca.crt"

    def make(self, verb: str, *words: str) -> float:
        return timed(["make", verb, "ENV=bench", f"INVENTORIES={self._folder}", *words], env=clean_environment())

    def secrets(self) -> dict[str, str]:
        folder = self._folder / "bench"
        words = [str(ROOT / ".venv/bin/ansible-vault"), "view", str(folder / "group_vars/all/vault.yml")]
        words += ["--vault-password-file", str(folder / ".vault_password")]
        return dict(yaml.safe_load(subprocess.check_output(words, text=True, cwd=ROOT))["erni_secrets"])

    def run(self, service: str, *words: str, **environment: str) -> str:
        container = docker.from_env().containers.get(f"{NAME}-{service}")
        code, output = container.exec_run(list(words), environment=environment)
        if code:
            raise SystemExit(output.decode())
        return str(output.decode())

    def sql(self, statement: str) -> str:
        return self.run("postgres", "psql", "-XAt", "--username=postgres", "--dbname=erni_agents", "-c", statement)

    def key(self) -> str:
        """With which the container that serves signs."""
        entries = docker.from_env().containers.get(f"{NAME}-backend").attrs["Config"]["Env"]
        return dict(entry.split("=", 1) for entry in entries)["JWT_SECRET_KEY"]

    def is_logged_in(self, bearer: str) -> bool:
        """Asked until there is an answer: after the runbook's way the backend is away for a while."""
        deadline = time.monotonic() + BACK_SECONDS
        while True:
            try:
                return user_of(bearer, self.port, self.authority) is not None
            except (AssertionError, OSError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)


def under_load(platform: Platform, rotations: list[Callable[[], float]]) -> Outcome:
    """:param rotations: each replaces some secret and tells how many seconds that took."""
    seconds: list[float] = []
    logged_out = 0
    with Load(Settings(port=platform.port, authority=platform.authority, rate=RATE)) as traffic:
        for rotate in rotations:
            bearer = token(platform.key())
            seconds.append(rotate())
            logged_out += not platform.is_logged_in(bearer)
        report = traffic.stop()
    return Outcome(report, seconds, logged_out, len(posts_applied_exactly_once(report.posts_answered, platform.sql)))


def rotation(platform: Platform, names: str = "") -> float:
    """:param names: of the secrets; '' for all."""
    platform.make("revoke-previous", "FORCE=1")
    return platform.make("rotate", *([f"SECRETS={names}"] if names else []))


def ours(platform: Platform) -> Outcome:
    return under_load(platform, [partial(rotation, platform, names) for _ in range(ROUNDS) for names in (*EACH, "")])


def runbooks(platform: Platform, folder: Path) -> Outcome:
    with Compose(folder, f"{NAME}-release/backend:runbook") as compose:
        compose.dockerfile()
        compose.up("--build")

        def rotate() -> float:
            new = {name: os.urandom(24).hex() for name in SECRETS}
            login = compose.environment()["DATABASE_URL"].split("//")[1].split(":")[0]
            platform.sql(f"alter role {login} password '{new['db_password']}'")
            operator = platform.secrets()["redis_operator_password"]
            words = ("redis-cli", "--user", "operator", "config", "set", "requirepass", new["redis_password"])
            platform.run("redis", *words, REDISCLI_AUTH=operator)
            url = f"postgresql://{login}:{new['db_password']}@postgres:5432/erni_agents"
            redis = f"redis://:{new['redis_password']}@redis:6379/0"
            upper = {name.upper(): value for name, value in new.items()}
            compose.edit(upper | {"DATABASE_URL": url, "REDIS_URL": redis})
            return compose.up()

        return under_load(platform, [rotate] * ROUNDS)


def table(outcomes: dict[str, Outcome]) -> str:
    columns = ("rotations", "requests", "failed", "bad seconds", "logged out", "median")
    lines = [f"{'way':34}" + "".join(f"{column:>13}" for column in columns)]
    for way, outcome in outcomes.items():
        cells = (
            str(len(outcome.seconds)),
            str(outcome.report.total),
            str(outcome.lost),
            str(outcome.report.seconds_with_failures),
            str(outcome.logged_out),
            f"{statistics.median(outcome.seconds):.1f} s",
        )
        lines.append(f"{way:34}" + "".join(f"{cell:>13}" for cell in cells))
    return "\n".join([*lines, f"{RATE:.0f} requests/s throughout."])


def measure(folder: Path) -> tuple[dict[str, Outcome], list[float]]:
    """What each way did under load, and the seconds of rotations of all together with nobody there."""
    inventory(folder, UNDER_LOAD | {"release_evidence_file": str(folder / "releases.jsonl")})
    context = folder / "context"
    context.mkdir()
    platform = Platform(folder)
    platform.make("up")
    try:
        outcomes = {OURS: ours(platform)}
        alone = [rotation(platform) for _ in range(ROUNDS)]
        return outcomes | {"the runbook's: .env, recreate": runbooks(platform, context)}, alone
    finally:
        platform.make("destroy", "CONFIRM=bench", "VOLUMES=1")
        shutil.rmtree(VARIABLES["platform_root"], ignore_errors=True)  # as much as goes: it is the benchmark's own
        forget_images(f"{NAME}-release/backend")


def main() -> int:
    if shutil.which("docker-compose") is None:
        print("docker-compose is not installed; run make bench, or apt-get install docker-compose.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        outcomes, alone = measure(Path(folder))
    print(table(outcomes))
    rotations = outcomes[OURS]
    together = statistics.median(rotations.seconds[len(EACH) :: len(EACH) + 1])
    print(
        f"All together: {together:.1f} s under load; {statistics.median(alone):.1f} s with nobody there"
        f" (at most {LONGEST_SECONDS:.0f} s)."
    )
    for failure in rotations.report.failures[:SHOWN_FAILURES]:
        print(line_about(failure))
    return int(rotations.lost > 0 or rotations.logged_out > 0 or max(alone) > LONGEST_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
