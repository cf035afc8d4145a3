"""What a release is made of, and its id: a digest of images, configuration and fingerprints of secrets. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import PlatformError
from .planning import Difference, compare
from .replicas import service_of
from .service_arguments import validated
from .service_spec import ServiceSpec, from_params

ID_LENGTH = 12
# Of a secret's digest only so much is kept that a change shows; too little to guess a secret from.
FINGERPRINT_LENGTH = 8
# Keys that only verify: a recorded release is given those of today, whether or not it was made with one.
PREVIOUS_KEY = "_PREVIOUS"


@dataclass(frozen=True)
class ReleaseContent:
    """``services`` are mappings without secret values, images pinned, one for each replica; ``secrets`` the values
    likewise, by name. The same content has the same ``id``."""

    services: dict[str, dict[str, Any]]
    secrets: dict[str, dict[str, str]] = field(repr=False)

    @property
    def images(self) -> dict[str, str]:
        """By service: its replicas share one."""
        return {service: str(mapping["image"]) for service, mapping in _firsts(self.services)}

    @property
    def fingerprints(self) -> dict[str, dict[str, str]]:
        return {
            service: {name: fingerprint(name, value) for name, value in values.items()}
            for service, values in self.secrets.items()
        }

    @property
    def config_digest(self) -> str:
        """Everything but the images: settings, limits, names of networks, fingerprints of secrets."""
        services = {name: {**service, "image": ""} for name, service in self.services.items()}
        return _digest({"services": services, "secrets": self.fingerprints})

    @property
    def id(self) -> str:
        return _digest({"images": self.images, "config": self.config_digest})[:ID_LENGTH]

    def specs(self, platform: str) -> dict[str, ServiceSpec]:
        """The services' specs, slots not filled in yet. A record may be older than some option of a mapping."""
        return {
            name: from_params(platform, {**validated(service), "secret_environment": self.secrets.get(name, {})})
            for name, service in self.services.items()
        }


def content_of(
    services: Mapping[str, Mapping[str, Any]], secrets: Mapping[str, Mapping[str, Any]], images: Mapping[str, str]
) -> ReleaseContent:
    """From service mappings as roles give them.

    :param secrets: by service; its replicas have the same.
    :param images: pinned references in place of the mappings' own, by service.
    :raises PlatformError: for a malformed mapping.
    """
    clean = {
        name: validated({**service, "image": images.get(service_of(name), service["image"]), "secret_environment": {}})
        for name, service in services.items()
    }
    given = {name: secrets.get(service_of(name)) or {} for name in services}
    values = {name: {key: str(value) for key, value in each.items()} for name, each in given.items()}
    return ReleaseContent(clean, values)


def combined_id(ids: Iterable[str]) -> str:
    """One id for what runs on several hosts, each with a content of its own: one that all share stays as it is."""
    different = sorted(set(ids))
    return different[0] if len(different) == 1 else _digest(different)[:ID_LENGTH]


def fingerprint(name: str, value: str) -> str:
    return hashlib.sha256(f"{name}\0{value}".encode()).hexdigest()[:FINGERPRINT_LENGTH]


def secrets_as_they_were(
    recorded: Mapping[str, Mapping[str, str]],
    current: Mapping[str, Mapping[str, str]],
    accepted: Mapping[str, Mapping[str, list[str]]],
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The secrets of a recorded release, and the names of those that have a successor by now.

    :param recorded: fingerprints of the release, by service and name.
    :param current: the values that hold now.
    :param accepted: former values that are still accepted where they are checked.
    :raises PlatformError: when a secret of the release exists no more.
    """
    values: dict[str, dict[str, str]] = {}
    replaced: list[str] = []
    for replica, prints in recorded.items():
        service = service_of(replica)
        given = current.get(service, {})
        values[replica] = {name: value for name, value in given.items() if name.endswith(PREVIOUS_KEY)}
        for name, wanted in prints.items():
            if name.endswith(PREVIOUS_KEY):
                continue
            now = given.get(name)
            if now is None:
                raise PlatformError(
                    f"The release needs the secret {name} of {service}, which is no longer given",
                    "its role's variables or the vault have lost it since",
                    "Give it again (make secrets, or ansible-vault edit), and run again.",
                )
            known = [now, *accepted.get(service, {}).get(name, [])]
            as_it_was = [value for value in known if fingerprint(name, value) == wanted]
            values[replica][name] = as_it_was[0] if as_it_was else now
            if not as_it_was:
                replaced.append(name)
    return values, sorted(set(replaced))


def differences(
    content: ReleaseContent, services: Mapping[str, Any], fingerprints: Mapping[str, Any]
) -> list[Difference]:
    """What ``content`` changes against a recorded release, by name; of a secret only that it differs."""
    wanted_marks, recorded_marks = _flat_marks(content.fingerprints), _flat_marks(fingerprints)
    desired, observed = _flat(content.services) | wanted_marks, _flat(services) | recorded_marks
    return compare(desired, observed, wanted_marks.keys() | recorded_marks.keys())


def _firsts(by_name: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """By service: further replicas are like the first, whose labels tell how many there are."""
    return ((name, each) for name, each in by_name.items() if name == service_of(name))


def _flat_marks(fingerprints: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    return {f"{service} {name}": mark for service, marks in _firsts(fingerprints) for name, mark in marks.items()}


def _flat(services: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One entry per option, and per variable of the environment: what an operator knows by name."""
    flat: dict[str, Any] = {}
    for service, options in _firsts(services):
        for option, value in options.items():
            if option == "environment":
                flat |= {f"{service} {name}": text for name, text in value.items()}
            elif option != "secret_environment":
                flat[f"{service} {option}"] = value
    return flat


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
