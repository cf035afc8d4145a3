"""The Docker Engine as this platform uses it: a few verbs over the docker SDK's low-level client."""

from __future__ import annotations

import io
import tarfile
import time
from typing import Any

from .container_state import ContainerState, container_state, image_facts
from .engine_connection import EngineAwayError, connect, docker_errors, explained, explanation, heard
from .errors import PlatformError
from .service_spec import LABEL_PREFIX, ImageFacts, ServiceSpec

# Named for type checkers: other adapters know the way to the engine, and its errors, by this module's name.
__all__ = ["EngineAwayError", "connect", "docker_errors", "explained", "explanation", "heard"]

LOG_EXCERPT_LINES = 15
ASKED_AGAIN = 4  # times, where an answer was lost, or another came in between
PAUSE_SECONDS = 0.5
ENDS_BY_ITSELF = "is not running", "is already in progress"  # as the engine says it, of a container that it removes
# Beside a service: what is set aside while its successor proves itself, read from, and run to check a configuration.
SUFFIXES = REPLACED_SUFFIX, SCRATCH_SUFFIX, VALIDATION_SUFFIX = "-replaced", "-image", "-validate"


def image_id(client: Any, reference: str) -> str | None:
    """The id that a reference resolves to on this host, or None where it is not present."""
    try:
        return str(client.inspect_image(reference)["Id"])
    except docker_errors.ImageNotFound:
        return None


def image_unavailable(client: Any, reference: str, credentials: dict[str, str]) -> str:
    """Why an image is neither on the host nor in its registry, or ''."""
    return "" if image_id(client, reference) else missing_in_registry(client, reference, credentials)


def missing_in_registry(client: Any, reference: str, credentials: dict[str, str]) -> str:
    """Why the registry does not give an image, or ''. Asks for the manifest only, pulls nothing."""
    try:
        client.inspect_distribution(reference, auth_config=credentials or None)
    except docker_errors.APIError as error:
        return explanation(error)
    return ""


def observe_image(client: Any, reference: str) -> ImageFacts | None:
    """The image's facts, or None where it is not present on this host."""
    try:
        return image_facts(client.inspect_image(reference))
    except docker_errors.ImageNotFound:
        return None


def network_ids(client: Any) -> dict[str, str]:
    return {network["Name"]: network["Id"] for network in client.networks()}


def observe_container(client: Any, name: str, networks: dict[str, str]) -> ContainerState | None:
    try:
        inspected = client.inspect_container(name)
    except docker_errors.NotFound:
        return None
    return container_state(inspected, networks)


def create_container(client: Any, spec: ServiceSpec) -> str:
    """Create (not start) the container on all its networks and return its id."""
    config = container_config(spec)
    try:
        container_id = client.create_container_from_config(config, spec.container)["Id"]
    except docker_errors.ImageNotFound:
        raise PlatformError(
            f"{spec.container} cannot be created: the image {spec.image} is not on this host",
            "",
            "Run make up, which builds or pulls it; check the reference where it is given by hand.",
        ) from None
    for network in spec.networks[1:]:
        attach(client, spec, network.name)
    return str(container_id)


def attach(client: Any, spec: ServiceSpec, network_name: str) -> None:
    network = next(network for network in spec.networks if network.name == network_name)
    client.connect_container_to_network(
        spec.container, network.name, ipv4_address=network.address or None, aliases=list(network.aliases)
    )


def container_config(spec: ServiceSpec) -> dict[str, Any]:
    """The body of ``POST /containers/create`` (Docker Engine API 1.41)."""
    flat = spec.properties(None)
    environment = {**spec.environment, **spec.secret_environment}
    config: dict[str, Any] = {
        "Image": spec.image,
        "Hostname": spec.name,
        "User": spec.user,
        "Env": [f"{name}={value}" for name, value in sorted(environment.items())],
        "Labels": spec.labels,
        "Healthcheck": flat["health"],
        "StopSignal": spec.stop_signal,
        "StopTimeout": spec.stop_timeout,
        "ExposedPorts": {port: {} for port in spec.ports},
        "HostConfig": _host_config(spec),
    }
    if spec.command:
        config["Cmd"] = list(spec.command)
    if spec.networks:
        config["NetworkingConfig"] = {"EndpointsConfig": {spec.networks[0].name: _endpoint(spec)}}
    return config


def _endpoint(spec: ServiceSpec) -> dict[str, Any]:
    first = spec.networks[0]
    endpoint: dict[str, Any] = {"Aliases": list(first.aliases)}
    if first.address:
        endpoint["IPAMConfig"] = {"IPv4Address": first.address}
    return endpoint


def _host_config(spec: ServiceSpec) -> dict[str, Any]:
    flat = spec.properties(None)
    return {
        "NetworkMode": spec.networks[0].name if spec.networks else "none",
        "PortBindings": {port: [_binding(bound)] for port, bound in spec.ports.items()},
        "Mounts": [
            {"Type": m.kind, "Source": m.source, "Target": m.target, "ReadOnly": m.read_only} for m in spec.mounts
        ],
        "Tmpfs": spec.tmpfs,
        "ReadonlyRootfs": spec.read_only,
        "CapDrop": ["ALL"],
        "CapAdd": list(spec.capabilities),
        "SecurityOpt": flat["security"],
        "Memory": spec.memory,
        "MemorySwap": spec.memory,
        "NanoCpus": round(spec.cpus * 1_000_000_000),
        "CpuShares": spec.cpu_shares,
        "PidsLimit": spec.pids,
        "ShmSize": spec.shm_size,
        "RestartPolicy": {"Name": flat["restart"]},
        "LogConfig": {"Type": "json-file", "Config": flat["log"]},
        "ExtraHosts": [f"{name}:{address}" for name, address in spec.extra_hosts.items()],
        "Init": spec.init,
    }


def _binding(bound: str) -> dict[str, str]:
    address, _, port = bound.rpartition(":")
    return {"HostIp": address, "HostPort": port}


def update_limits(client: Any, spec: ServiceSpec) -> None:
    """Memory, CPU and pid limits of a running container (``POST /containers/{id}/update``)."""
    url = client._url("/containers/{0}/update", spec.container)  # update_container() knows no NanoCpus
    body = {
        "Memory": spec.memory,
        "MemorySwap": spec.memory,
        "NanoCpus": round(spec.cpus * 1_000_000_000),
        "PidsLimit": spec.pids,
    }
    client._result(client._post_json(url, data=body), json=True)


def run_inside(client: Any, container: str, command: tuple[str, ...], user: str = "") -> tuple[int, str]:
    """Run a command in a running container; its exit code and output (both streams)."""
    execution = client.exec_create(container, list(command), user=user)
    output = client.exec_start(execution["Id"])
    return int(client.exec_inspect(execution["Id"])["ExitCode"] or 0), output.decode(errors="replace").strip()


def ask_inside(client: Any, container: str, question: tuple[str, ...]) -> tuple[int, str]:
    """:func:`run_inside` for a command that changes nothing and always prints something: asked again where nothing
    has come, since the engine sometimes loses what a program printed that ended at once (moby's issue 27289)."""
    code, output = run_inside(client, container, question)
    for _ in range(ASKED_AGAIN):
        if code != 0 or output:
            break
        code, output = run_inside(client, container, question)
    return code, output


def run_once(client: Any, config: dict[str, Any], name: str, timeout: int = 60) -> tuple[int, str]:
    """Run a throwaway container to its end; it is removed whatever happens."""
    remove_if_present(client, name)
    container = client.create_container_from_config(config, name)["Id"]
    try:
        client.start(container)
        code = client.wait(container, timeout=timeout)["StatusCode"]
        return int(code), client.logs(container, tail=LOG_EXCERPT_LINES).decode(errors="replace").strip()
    finally:
        remove_if_present(client, container)


def remove_if_present(client: Any, name: str) -> None:
    """Remove a container, and the nameless volumes that its image declares; named ones hold data and stay.

    The engine refuses where the container ends by itself just then (moby's daemon/delete.go): it is asked again.
    """
    for attempt in range(ASKED_AGAIN + 1):
        try:
            client.remove_container(name, force=True, v=True)
        except docker_errors.NotFound:
            return
        except docker_errors.APIError as error:
            if attempt == ASKED_AGAIN or not any(said in str(error) for said in ENDS_BY_ITSELF):
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            return


def remove_volume(client: Any, name: str) -> bool:
    """Whether there was such a volume."""
    try:
        client.remove_volume(name)
        return True
    except docker_errors.NotFound:
        return False


def remove_network(client: Any, name: str) -> None:
    try:
        client.remove_network(name)
    except docker_errors.NotFound:
        return


def log_excerpt(client: Any, container: str, hide: list[str], lines: int = LOG_EXCERPT_LINES) -> str:
    """The container's last log lines with every value in ``hide`` blacked out."""
    text: str = client.logs(container, tail=lines).decode(errors="replace").strip()
    for value in hide:
        text = text.replace(value, "(secret)")
    return text


def logs_since(client: Any, platform: str, since: float) -> dict[str, str]:
    """What each container of a platform has logged since that moment (seconds since the epoch), by its name."""
    labelled = client.containers(all=True, filters={"label": f"{LABEL_PREFIX}platform={platform}"})
    names = sorted(str(container["Names"][0]).lstrip("/") for container in labelled)
    return {name: client.logs(name, since=since).decode(errors="replace") for name in names}


def is_running(client: Any, container: str) -> bool:
    return bool(client.inspect_container(container)["State"]["Running"])


def user_ids(client: Any, spec: ServiceSpec) -> tuple[int, int]:
    """The numeric user and group of the service's user (``name``, ``uid``, or ``uid:gid``; '' means the image's own).

    A name is looked up in ``/etc/passwd``: of the service's container where that has the image, else of one that is
    made for it and never started.
    """
    wanted = spec.user or str(client.inspect_image(spec.image)["Config"].get("User") or "0")
    name, _, group = wanted.partition(":")
    if name.isdigit():
        return int(name), int(group) if group.isdigit() else int(name)
    for line in _passwd(client, spec).splitlines():
        fields = line.split(":")
        if fields[0] == name:
            return int(fields[2]), int(fields[3])
    raise PlatformError(
        f"The image {spec.image} runs as user '{name}' but has no such user",
        "its /etc/passwd does not name it",
        "Check the image's USER instruction, or set the service's user to a number.",
    )


def _passwd(client: Any, spec: ServiceSpec) -> str:
    try:
        if client.inspect_container(spec.container)["Image"] == image_id(client, spec.image):
            return read_file(client, spec.container, "/etc/passwd")
    except docker_errors.NotFound:
        pass  # it is still to be made
    scratch = f"{spec.container}{SCRATCH_SUFFIX}"
    remove_if_present(client, scratch)  # left by a run that was killed just here
    client.create_container_from_config({"Image": spec.image, "Cmd": ["true"]}, scratch)
    try:
        return read_file(client, scratch, "/etc/passwd")
    finally:
        remove_if_present(client, scratch)


def image_has(client: Any, platform: str, reference: str, path: str) -> bool:
    """Whether there is such a file in an image, found without running anything of it; True for one that is not here."""
    if image_id(client, reference) is None:
        return True
    scratch = f"{platform}-preflight{SCRATCH_SUFFIX}"
    with explained(f"The image {reference} could not be looked into"):
        remove_if_present(client, scratch)  # left by a run that was killed just here
        client.create_container_from_config({"Image": reference, "Cmd": ["true"]}, scratch)
        try:
            client.get_archive(scratch, path)
            return True
        except docker_errors.NotFound:
            return False
        finally:
            remove_if_present(client, scratch)


def read_file(client: Any, container: str, path: str) -> str:
    with heard():
        stream, _ = client.get_archive(container, path)
        content = b"".join(stream)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        member = archive.extractfile(archive.getmembers()[0])
        return member.read().decode(errors="replace") if member else ""
