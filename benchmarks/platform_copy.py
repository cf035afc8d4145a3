"""A platform of the benchmarks' own beside any other on the machine, and commands with their times."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
NAME = "erni-bench"
VARIABLES: dict[str, Any] = {
    "erni_env": "bench",
    "platform_name": NAME,
    "platform_root": f"/var/lib/{NAME}",
    "platform_edge_subnet": "172.30.40.0/24",
    "platform_data_subnet": "172.30.41.0/24",
    "nginx_http_port": 28080,
    "nginx_https_port": 28443,
    "frontend_public_api_url": "https://localhost:8443/api",
}
# For benchmarks that send it hundreds of requests a second, and switch often.
UNDER_LOAD: dict[str, Any] = {
    "backend_rate_limits": {"minute": 600_000, "hour": 6_000_000, "day": 60_000_000},
    "release_bake_seconds": 1,
    "release_drain_seconds": 12,
}


def inventory(folder: Path, further: dict[str, Any] | None = None) -> None:
    """The local environment under another name, beside which it can run."""
    variables = folder / "bench" / "group_vars" / "all"
    variables.mkdir(parents=True)
    local = ROOT / "inventories" / "local"
    shutil.copy(local / "hosts.yml", folder / "bench" / "hosts.yml")
    (variables / "00-shared").symlink_to(ROOT / "group_vars" / "all")
    settings = yaml.safe_load((local / "group_vars" / "all" / "main.yml").read_text(encoding="utf-8"))
    (variables / "main.yml").write_text(yaml.safe_dump(settings | VARIABLES | (further or {})), encoding="utf-8")


def clean_environment() -> dict[str, str]:
    """Without what an outer make would tell an inner one."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("ERNI_", "MAKE", "MFLAGS"))}


def timed(command: list[str], **options: Any) -> float:
    begin = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise SystemExit(f"`{' '.join(command)}` failed:\n{done.stdout}{done.stderr}")
    return time.monotonic() - begin
