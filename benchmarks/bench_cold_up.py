"""The cold `make up`, phase by phase, on a machine that has only git, make and python3.

The machine is a container from the base image with an empty Docker of its own to come; this clone's HEAD is what it
gets. Prints the table of phases that `make up` itself prints, and the whole time. Run: make bench, or this file.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "erni-bench-cold"
MARK = "ch.erni.test=1"
UP_SECONDS = 1500
# What Docker in Docker needs; the rest of its isolation stays.
INNER_ENGINE = [
    "--cap-add=ALL",
    "--cap-drop=SYS_RESOURCE",
    "--security-opt=seccomp=unconfined",
    "--security-opt=systempaths=unconfined",
    "--device-cgroup-rule=a *:* rwm",
    "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",
    "--volume=/var/lib/docker",
]
PREPARE = (
    "mount -o remount,rw /sys; mount -o remount,rw /proc/sys; apt-get update -qq >/dev/null && "
    "apt-get install -qq --yes --no-install-recommends git make python3 >/dev/null && "
    "git config --global --add safe.directory '*' && git clone -q /source /erni"
)


def run(*words: str, seconds: float = 120, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)
    if check and done.returncode != 0:
        raise SystemExit(f"`{' '.join(words[:6])} …` failed:\n{done.stdout}{done.stderr}")
    return done


def base_image() -> str:
    """The Debian base with the company's certificates, if any; the tests' image list names it."""
    listing = ROOT / ".run" / "test-images.json"
    if not listing.exists():
        raise SystemExit("There is no list of test images; run make bench, which makes it.")
    return str(json.loads(listing.read_text(encoding="utf-8"))["base"])


def measure() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run("git", "clone", "-q", "--bare", str(ROOT), f"{folder}/source")
        run("docker", "rm", "--force", "--volumes", NAME, check=False)
        machine = ["docker", "run", "--detach", "--init", "--name", NAME, "--label", MARK, *INNER_ENGINE]
        run(*machine, f"--volume={folder}/source:/source:ro", base_image(), "sleep", "infinity")
        try:
            run("docker", "exec", NAME, "bash", "-c", PREPARE, seconds=300)
            for title in ("cold", "again, changing nothing"):
                begin = time.monotonic()
                up = run("docker", "exec", NAME, "make", "-C", "/erni", "up", seconds=UP_SECONDS)
                print(f"== make up, {title}: {time.monotonic() - begin:.1f} s\n{up.stdout}")
        finally:
            run("docker", "rm", "--force", "--volumes", NAME, check=False)


if __name__ == "__main__":
    sys.exit(measure())
