"""A run that changes nothing, side by side: `make up` and `docker-compose up -d`, on the same containers' settings.

Both find everything converged. The compose file is written from what the engine says of the platform's own containers
(images, environment, mounts, limits, health checks, networks), under other names. `make up` also checks the host, the
secrets, every file, the database, its roles and the schema, and asks the platform for its page; compose does not.

Prints a table with the median, the fastest and the slowest of each, and the ratio of the medians.
Run: make bench, or this file. Needs Debian's package docker-compose, which make bench installs.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import docker
import yaml
from platform_copy import NAME, VARIABLES, clean_environment, inventory, timed

ROUNDS = int(os.environ.get("ROUNDS", "7"))
SETTLE_SECONDS = 10
# Two servers cannot listen on one Unix socket.
SOCKETS, OTHER_SOCKETS = f"{VARIABLES['platform_root']}/run", f"{VARIABLES['platform_root']}/run-compose"
SERVICES = ("postgres", "redis", "backend", "frontend", "nginx")


def compose_file() -> dict[str, Any]:
    """What a team would write by hand for the containers that run now."""
    client = docker.APIClient(version="auto")
    services = {name: compose_service(client.inspect_container(f"{NAME}-{name}"), name) for name in SERVICES}
    named = {
        mount["source"] for service in services.values() for mount in service["volumes"] if mount["type"] == "volume"
    }
    return {
        "version": "2.4",
        "services": services,
        "networks": {"edge": {}, "data": {"internal": True}},
        "volumes": {volume: {} for volume in sorted(named)},
    }


def compose_service(inspected: dict[str, Any], name: str) -> dict[str, Any]:
    config, host = inspected["Config"], inspected["HostConfig"]
    health = config["Healthcheck"]
    networks = [network.rsplit("-", 1)[-1] for network in inspected["NetworkSettings"]["Networks"]]
    return {
        "image": config["Image"],
        "container_name": f"{NAME}-compose-{name}",
        "command": config["Cmd"],
        "user": config["User"],
        "environment": [entry.replace("$", "$$") for entry in config["Env"]],
        "volumes": [
            {
                "type": m["Type"],
                "source": m["Source"].replace(SOCKETS, OTHER_SOCKETS),
                "target": m["Target"],
                "read_only": bool(m.get("ReadOnly")),
            }
            for m in host.get("Mounts") or []
        ],
        "tmpfs": [f"{path}:{options}" for path, options in (host.get("Tmpfs") or {}).items()],
        "networks": networks,
        "read_only": host["ReadonlyRootfs"],
        "cap_drop": ["ALL"],
        "security_opt": host["SecurityOpt"],
        "mem_limit": host["Memory"],
        "pids_limit": host["PidsLimit"],
        "restart": "unless-stopped",
        "healthcheck": {
            "test": [word.replace("$", "$$") for word in health["Test"]],
            "interval": f"{health['Interval'] // 10**9}s",
            "retries": health["Retries"],
        },
    }


def measure(folder: Path) -> dict[str, list[float]]:
    environment = clean_environment()
    make = ["make", "up", "ENV=bench", f"INVENTORIES={folder}"]
    timed(make, env=environment)
    file = folder / "docker-compose.yml"
    file.write_text(yaml.safe_dump(compose_file()), encoding="utf-8")
    file.chmod(0o600)
    timed(["cp", "--archive", SOCKETS, OTHER_SOCKETS])
    for socket in Path(OTHER_SOCKETS).rglob("*"):
        if socket.is_socket() or socket.name.endswith(".lock"):
            socket.unlink()
    compose = ["docker-compose", "--project-name", f"{NAME}-compose", "--file", str(file)]
    try:
        timed([*compose, "up", "--detach"], env=environment)
        time.sleep(SETTLE_SECONDS)
        require_running()
        times: dict[str, list[float]] = {"make up": [], "docker-compose up -d": []}
        for _ in range(ROUNDS):
            times["make up"].append(timed(make, env=environment))
            times["docker-compose up -d"].append(timed([*compose, "up", "--detach"], env=environment))
        return times
    finally:
        timed([*compose, "down", "--volumes"], env=environment)
        timed([*make[:1], "destroy", *make[2:], "CONFIRM=bench", "VOLUMES=1"], env=environment)
        shutil.rmtree(VARIABLES["platform_root"], ignore_errors=True)  # as much as goes: it is the benchmark's own


def require_running() -> None:
    """A container that keeps failing would be started again by each round: that is no no-op."""
    client = docker.APIClient(version="auto")
    for name in SERVICES:
        container = f"{NAME}-compose-{name}"
        if not client.inspect_container(container)["State"]["Running"]:
            raise SystemExit(f"{container} does not run:\n{client.logs(container, tail=10).decode()}")


def table(times: dict[str, list[float]]) -> str:
    lines = [f"{'no-op':24}{'median':>10}{'fastest':>10}{'slowest':>10}"]
    for name, seconds in times.items():
        lines.append(f"{name:24}{statistics.median(seconds):>8.2f} s{min(seconds):>8.2f} s{max(seconds):>8.2f} s")
    ratio = statistics.median(times["make up"]) / statistics.median(times["docker-compose up -d"])
    return "\n".join([*lines, f"ratio of the medians: {ratio:.1f} ({ROUNDS} rounds, alternating)"])


def main() -> int:
    if shutil.which("docker-compose") is None:
        print("docker-compose is not installed; run make bench, or apt-get install docker-compose.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        inventory(Path(folder))
        times = measure(Path(folder))
    print(table(times))
    print(json.dumps(times))
    return 0


if __name__ == "__main__":
    sys.exit(main())
