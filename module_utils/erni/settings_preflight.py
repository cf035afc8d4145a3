"""Whether an environment's variables are filled in and make sense together. Pure; runs on the control node."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from .findings import Finding

FILL_IN = "FILL_IN"
_HOSTNAME = re.compile(
    r"^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$", re.IGNORECASE
)


def unfilled(variables: Mapping[str, Any]) -> list[Finding]:
    """Variables that still carry the mark of the example inventories."""
    return [
        Finding(
            f"The variable {path} is not filled in",
            f"it still says {FILL_IN}",
            "Set it in the inventory's group_vars or hosts file.",
        )
        for path in sorted({path for name, value in variables.items() for path in _marked(name, value)})
    ]


def _marked(path: str, value: Any) -> Iterator[str]:
    if isinstance(value, str) and FILL_IN in value:
        yield path
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _marked(f"{path}.{key}", entry)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _marked(path, entry)


def check_settings(
    hostname: str, public_url: str, allowed_hosts: list[str], cors_origins: list[str], *, strict: bool
) -> list[Finding]:
    """``PUBLIC_HOSTNAME``, ``ALLOWED_HOSTS`` and ``CORS_ORIGINS`` of the application's contract.

    :param strict: an environment that is open to the world: wildcards are refused.
    """
    found = []
    if not _HOSTNAME.fullmatch(hostname):
        found.append(
            Finding(
                f"platform_public_hostname is '{hostname}'",
                "that is no host name",
                "Set it to the name that users type, without scheme, port or path.",
            )
        )
    if hostname not in allowed_hosts and "*" not in allowed_hosts:
        found.append(
            Finding(
                "backend_allowed_hosts (ALLOWED_HOSTS) does not hold the public host name",
                f"the backend would refuse every request for {hostname}",
                "Add it, or remove the variable to get the default.",
            )
        )
    found += [finding for origin in cors_origins for finding in _origin(origin, strict=strict)]
    if public_url not in cors_origins and "*" not in cors_origins:
        found.append(
            Finding(
                "backend_cors_origins (CORS_ORIGINS) does not hold the public URL",
                f"pages served from {public_url} could not call the API",
                "Add it, or remove the variable to get the default.",
            )
        )
    if strict and "*" in allowed_hosts:
        found.append(_wildcard("backend_allowed_hosts (ALLOWED_HOSTS)"))
    if strict and "*" in cors_origins:
        found.append(_wildcard("backend_cors_origins (CORS_ORIGINS)"))
    return found


def check_live_restore(choice: str, network_driver: str) -> list[Finding]:
    """Overlay networks make the engine a part of a swarm."""
    if network_driver != "overlay" or choice == "never":
        return []
    return [
        Finding(
            f"docker_engine_live_restore is {choice}, and platform_network_driver is overlay",
            "an engine in a swarm does not start when its containers are to outlive it",
            "Set docker_engine_live_restore to never, or remove it to get the default.",
        )
    ]


def check_replicas(service: str, number: int, fits: int, hosts: int) -> list[Finding]:
    """:param fits: the largest number that has room on one of so many ``hosts``."""
    if 1 <= number <= fits:
        return []
    why = f"of the addresses in a slot there are {fits} for each host of the group {service}, which has {hosts}"
    remedy = f"Set it to a number from 1 to {fits}." if fits else f"Take hosts out of the group {service}."
    return [Finding(f"{service}_replicas is {number}", why, remedy)]


def check_archive(archive: Mapping[str, Any], secrets: Mapping[str, Any], timeout: int) -> list[Finding]:
    """Of ``postgres_archive``: {} for none, else what its ``to`` needs. pgBackRest 2.45, Debian's, has no SFTP."""
    if not archive:
        return []
    needed = ["archive_passphrase"]
    found = []
    if not archive.get("to"):
        remedy = "Write postgres_archive: {to: folder}, or {} for no archive."
        found.append(Finding("postgres_archive does not say where the archive is", "it has no 'to'", remedy))
    if archive.get("to") == "s3":
        needed += ["archive_s3_key", "archive_s3_key_secret"]
        found += [
            Finding(
                f"postgres_archive has no {name}",
                "an archive in an object store is found by it",
                f"Set it: postgres_archive: {{to: s3, {name}: …}}.",
            )
            for name in ("bucket", "endpoint", "region")
            if not archive.get(name)
        ]
    found += [
        Finding(
            f"The secret {name} is missing",
            "postgres_archive is on and needs it",
            "Put it into the environment's vault (ansible-vault edit), and keep a copy of it in a safe.",
        )
        for name in needed
        if not secrets.get(name)
    ]
    if timeout < 1:
        found.append(
            Finding(
                f"postgres_archive_timeout is {timeout}",
                "the server would finish a WAL segment only when it is full, and no loss would have a limit",
                "Set it to the seconds of committed data that may be lost.",
            )
        )
    return found


def _origin(origin: str, *, strict: bool) -> list[Finding]:
    """An origin is scheme, host and port, nothing else (RFC 6454, section 6.1)."""
    if origin == "*":
        return []
    schemes = ("https",) if strict else ("https", "http")
    if _is_origin(origin, schemes):
        return []
    return [
        Finding(
            f"backend_cors_origins (CORS_ORIGINS) holds '{origin}'",
            f"that is no origin ({' or '.join(schemes)}://host[:port], without a path)",
            "Correct it.",
        )
    ]


def _is_origin(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in schemes
            and bool(parts.hostname)
            and text.lower() == f"{parts.scheme}://{_host_and_port(parts)}"
        )
    except ValueError:
        return False


def _host_and_port(parts: SplitResult) -> str:
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port}" if parts.port is not None else str(host)


def _wildcard(what: str) -> Finding:
    return Finding(f"{what} holds '*'", "anyone's pages or host names would be let in", "Name the ones that are meant.")
