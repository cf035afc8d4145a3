"""Small worlds for the tests: a service, the engine's answer about its container, and the state around it."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils.erni.container_state import ContainerState, container_state
from ansible.module_utils.erni.engine import container_config
from ansible.module_utils.erni.files import File, FileState
from ansible.module_utils.erni.service_plan import ServiceState, loaded_record
from ansible.module_utils.erni.service_spec import (
    Folder,
    Gate,
    Health,
    ImageFacts,
    Mount,
    NetworkAttachment,
    ServiceFile,
    ServiceSpec,
)

ROOT = Path(__file__).resolve().parents[3]
CONTAINER_ID = "c0ffee" * 10 + "c0ff"
SECRET = "correct horse battery staple"

IMAGE = ImageFacts(
    id="sha256:1111", command=("serve",), user="1000:1000", environment={"PATH": "/usr/bin", "LANG": "C.UTF-8"}
)
NETWORK_IDS = {"erni-edge": "id-of-edge", "erni-data": "id-of-data"}

SLOW_FILE = ServiceFile(File("/srv/web/main.conf", "listen 80\n", 0o400), "restart")
QUICK_FILE = ServiceFile(File("/srv/web/routes.conf", "route /\n", 0o400), "reload")
QUIET_FILE = ServiceFile(File("/srv/web/password", f"{SECRET}\n", 0o400, secret=True), "nothing")
CERTIFICATE = "/srv/web/tls/fullchain.pem"


def service(**changes: Any) -> ServiceSpec:
    """A service that uses every property that a container can have."""
    spec = ServiceSpec(
        name="web",
        container="erni-web",
        image="erni/web:abc",
        user="",
        command=(),
        environment={"MODE": "plain"},
        secret_environment={"TOKEN": SECRET},
        labels={"ch.erni.platform": "erni", "ch.erni.service": "web"},
        networks=(
            NetworkAttachment("erni-edge", "172.30.10.20", ("web",)),
            NetworkAttachment("erni-data", "", ("web", "www")),
        ),
        ports={"80/tcp": "0.0.0.0:8080"},
        mounts=(Mount("volume", "erni-web-data", "/data", False), Mount("bind", "/srv/web", "/etc/web", True)),
        tmpfs={"/tmp": "size=64m"},
        folders=(Folder("/srv/web", 0o700, True),),
        files=(),
        watched_files={},
        health=Health(("true",), 5, 4, 3, 30),
        gate=Gate(("true",), 1, 10),
        reload_command=(),
        reload_signal="SIGHUP",
        validate_command=(),
        memory=256 * 1024**2,
        shm_size=64 * 1024**2,
        cpus=1.5,
        pids=64,
        read_only=True,
        capabilities=("CHOWN", "NET_BIND_SERVICE"),
        stop_timeout=30,
        stop_signal="SIGQUIT",
        log_max_size="10m",
        log_max_files=5,
        extra_hosts={"api.example.org": "192.0.2.7"},
        init=True,
    )
    return replace(spec, **changes)


def engine_answer(spec: ServiceSpec, image: ImageFacts = IMAGE) -> dict[str, Any]:
    """What ``GET /containers/{id}/json`` says of a running container that was created from the spec.

    The engine's own habits are kept: it resolves the image, adds the image's environment, fills in what the create body
    leaves out, names capabilities with their prefix, and adds the container's id to its aliases.
    """
    body = copy.deepcopy(container_config(spec))
    host = body["HostConfig"]
    host["CapAdd"] = [f"CAP_{name}" for name in host["CapAdd"]]
    given = {entry.partition("=")[0] for entry in body["Env"]}
    inherited = [f"{name}={value}" for name, value in image.environment.items() if name not in given]
    return {
        "Id": CONTAINER_ID,
        "Image": image.id,
        "RestartCount": 0,
        "State": {"Status": "running", "Running": True, "Paused": False, "Health": {"Status": "healthy"}},
        "Config": {
            "Image": body["Image"],
            "User": body["User"] or image.user,
            "Cmd": body.get("Cmd") or list(image.command),
            "Env": body["Env"] + inherited,
            "Labels": body["Labels"] | {"maintainer": "of the image"},
            "Healthcheck": body["Healthcheck"],
            "StopSignal": body["StopSignal"],
            "StopTimeout": body["StopTimeout"],
        },
        "HostConfig": host,
        "NetworkSettings": {"Networks": {network.name: _endpoint(network) for network in spec.networks}},
    }


def _endpoint(network: NetworkAttachment) -> dict[str, Any]:
    return {
        "NetworkID": NETWORK_IDS[network.name],
        "Aliases": [*network.aliases, CONTAINER_ID[:12]],
        "IPAMConfig": {"IPv4Address": network.address} if network.address else None,
    }


def running(spec: ServiceSpec, **changes: Any) -> ContainerState:
    """The container of the spec as it is when all is well, or with some facts changed."""
    return replace(container_state(engine_answer(spec), NETWORK_IDS), **changes)


def written(entry: ServiceFile, **changes: Any) -> FileState:
    """The file on disk as the spec wants it, or with some facts changed."""
    return replace(FileState(entry.file.content.encode(), entry.file.mode, 1000, 1000), **changes)


def converged(spec: ServiceSpec, **changes: Any) -> ServiceState:
    """The world in which nothing is left to do for the spec, or with some facts changed."""
    watched = dict.fromkeys(spec.watched_files, "digest-now")
    state = ServiceState(
        container=running(spec),
        image=IMAGE,
        volumes=frozenset(mount.source for mount in spec.mounts if mount.kind == "volume"),
        files={entry.file.path: written(entry) for entry in spec.files},
        watched=watched,
        applied=loaded_record(spec, watched),
    )
    return replace(state, **changes)
