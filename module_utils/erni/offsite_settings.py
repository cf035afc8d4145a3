"""Where copies of the backup sets go: a bucket, another host over SSH, or a folder. Pure.

What rclone takes from its environment is told in its manual: https://rclone.org/docs/#config-file, and per kind of
target in https://rclone.org/s3/ and https://rclone.org/sftp/.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from .errors import PlatformError
from .findings import Finding

KINDS = S3, SFTP, FOLDER = "s3", "sftp", "folder"
SECRET_NAMES = {S3: "backup_offsite_s3_secret_key", SFTP: "backup_offsite_ssh_key"}
REMOTE = "offsite"  # rclone's name for it, and so part of the names in its environment
DAY = 86_400.0

_EVERYWHERE: dict[str, type] = {"type": str, "path": str, "reread_days": int}
_OF_KIND: dict[str, dict[str, type]] = {
    S3: {"endpoint": str, "bucket": str, "region": str, "access_key_id": str, "ca_file": str},
    SFTP: {"host": str, "port": int, "user": str, "known_hosts": str},
    FOLDER: {"mounted": bool},
}
_NEEDED = {
    S3: ("endpoint", "bucket", "access_key_id"),
    SFTP: ("host", "user", "path", "known_hosts"),
    FOLDER: ("path",),
}
_TYPES = {str: "text", int: "a number", bool: "true or false"}
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_KNOWN_HOST = re.compile(r"(@cert-authority\s+)?\S+\s+(ssh|ecdsa|sk)-\S+\s+\S+.*")


@dataclass(frozen=True)
class Target:
    """A target as ``backup_offsite`` tells it. ``secret`` is the bucket's secret key, or the private SSH key.

    ``mounted``: a folder has to lie on another disk than the sets. ``reread_days``: how long what was read back from
    the target is believed without being read again.
    """

    type: str
    path: str = ""
    endpoint: str = ""
    bucket: str = ""
    region: str = ""
    access_key_id: str = ""
    ca_file: str = ""
    host: str = ""
    port: int = 22
    user: str = ""
    known_hosts: str = ""
    mounted: bool = True
    reread_days: int = 7
    secret: str = field(default="", repr=False)

    @property
    def where(self) -> str:
        """For sentences, and to tell it from another target."""
        match self.type:
            case "s3":
                return f"the bucket {posixpath.join(self.bucket, self.path)} at {self.endpoint}"
            case "sftp":
                return f"{self.path} on {self.user}@{self.host}:{self.port}"
            case _:
                return f"the folder {self.path}"


def target_from(settings: Mapping[str, Any], secret: str) -> Target:
    """:raises PlatformError: naming all that is wrong with the settings."""
    if found := findings(settings, secret):
        raise PlatformError(
            "backup_offsite cannot be used",
            "; ".join(f"{one.what}: {one.why}" for one in found),
            "Nothing was copied, and the sets here stay. Correct it; make preflight checks it.",
        )
    return Target(**settings, secret=secret if settings["type"] in SECRET_NAMES else "")


def findings(settings: Mapping[str, Any], secret: str) -> list[Finding]:
    """What is wrong with ``backup_offsite``; nothing where it is empty."""
    if not settings:
        return []
    kind = settings.get("type")
    if kind not in KINDS:
        return [_bad("type", f"it is '{kind}', and there are {', '.join(KINDS)}")]
    known = _EVERYWHERE | _OF_KIND[kind]
    wrong = [_bad(name, f"{kind} has {', '.join(known)}") for name in settings if name not in known]
    wrong += [_bad(name, f"{kind} needs it") for name in _NEEDED[kind] if not settings.get(name)]
    wrong += [
        _bad(name, f"it has to be {_TYPES[wanted]}")
        for name, wanted in known.items()
        if name in settings and not _is(settings[name], wanted)
    ]
    return wrong or [*_values(settings, kind), *_secret(kind, secret)]


def _is(value: Any, wanted: type) -> bool:
    """Ansible's values are of subclasses of these; and Python calls True a number."""
    return isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))


def production_findings(settings: Mapping[str, Any], recipients: list[str]) -> list[Finding]:
    """What production wants beyond that: nobody on the way or at the target reads a set."""
    if not settings:
        return []
    found = []
    if not recipients:
        found.append(
            Finding(
                "backup_recipients is empty, and backup_offsite is set",
                "in production only encrypted sets leave the platform's hosts",
                "Set backup_recipients to public keys of age (age-keygen); their private keys belong into a safe.",
            )
        )
    if str(settings.get("endpoint", "")).startswith("http://"):
        found.append(_bad("endpoint", "in production it has to be https"))
    return found


def _values(settings: Mapping[str, Any], kind: str) -> Iterator[Finding]:
    path = settings.get("path", "")
    if ".." in path.split("/") or not path.isprintable():
        yield _bad("path", f"'{path}' is no path without '..'")
    if kind == FOLDER and not path.startswith("/"):
        yield _bad("path", f"'{path}' does not begin with /")
    if settings.get("reread_days", 0) < 0:
        yield _bad("reread_days", "it is negative")
    if kind == S3:
        yield from _bucket_values(settings)
    if kind == SFTP:
        yield from _host_values(settings)


def _bucket_values(settings: Mapping[str, Any]) -> Iterator[Finding]:
    endpoint = urlsplit(settings["endpoint"])
    if endpoint.scheme not in ("http", "https") or not endpoint.hostname or "@" in endpoint.netloc or endpoint.query:
        yield _bad("endpoint", "it is no URL of the form https://host[:port]")
    if not _BUCKET.fullmatch(settings["bucket"]):
        yield _bad("bucket", f"'{settings['bucket']}' is no name of a bucket")


def _host_values(settings: Mapping[str, Any]) -> Iterator[Finding]:
    if not 0 < settings.get("port", 22) < 1 << 16:
        yield _bad("port", f"{settings['port']} is no port")
    if not re.fullmatch(r"[\w.:-]+", settings["host"]) or settings["host"].startswith("-"):
        yield _bad("host", f"'{settings['host']}' is no name of a host")
    lines = [line for line in settings["known_hosts"].splitlines() if line.strip() and not line.startswith("#")]
    if not lines or not all(_KNOWN_HOST.fullmatch(line.strip()) for line in lines):
        yield _bad("known_hosts", "it does not hold lines as ssh-keyscan prints them")


def _secret(kind: str, secret: str) -> Iterator[Finding]:
    if kind not in SECRET_NAMES:
        return
    remedy = f"Put {SECRET_NAMES[kind]} into the environment's vault (ansible-vault edit)."
    if not secret:
        yield Finding("The off-site target's secret is missing", f"backup_offsite is of the type {kind}", remedy)
    elif kind == SFTP and "PRIVATE KEY-----" not in secret:
        yield Finding("The off-site target's secret cannot be used", "it is no private SSH key", remedy)


def _bad(name: str, why: str) -> Finding:
    return Finding(f"backup_offsite.{name} cannot be used", why, "Correct it; docs/backup.md tells what it takes.")


def root(target: Target, environment: str) -> str:
    """The environment's folder at the target, as rclone writes it."""
    return f"{REMOTE}:{posixpath.join(target.bucket, target.path, environment)}"


def environment_of(target: Target, files: Mapping[str, str]) -> dict[str, str]:
    """Rclone's configuration of the target.

    :param files: paths of ``known_hosts`` and ``key``, which it wants as files.
    """
    match target.type:
        case "s3":
            options = {
                "type": "s3",
                "provider": "Other",
                "endpoint": target.endpoint,
                "region": target.region,
                "access_key_id": target.access_key_id,
                "secret_access_key": target.secret,
                "force_path_style": "true",
                "no_check_bucket": "true",  # or it would make the bucket, and needs the right to
                "no_head": "true",  # nor look at what it has sent: all of it is read back and compared
            }
        case "sftp":
            options = {
                "type": "sftp",
                "host": target.host,
                "port": str(target.port),
                "user": target.user,
                "key_file": files["key"],
                "known_hosts_file": files["known_hosts"],
                "shell_type": "none",  # sums are made from what is read back, and the account may have no shell
                "disable_hashcheck": "true",
            }
        case _:
            options = {"type": "local"}
    told = {f"RCLONE_CONFIG_{REMOTE.upper()}_{name.upper()}": value for name, value in options.items()}
    return told | ({"RCLONE_CA_CERT": target.ca_file} if target.ca_file else {})


def files_of(target: Target) -> dict[str, str]:
    """What rclone wants as files, by the names that :func:`environment_of` takes."""
    if target.type != SFTP:
        return {}
    return {"known_hosts": target.known_hosts.strip() + "\n", "key": target.secret.strip() + "\n"}
