"""Filters of the platform: fixed addresses, replicas, ids and slots of releases, and quoting for URLs."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import ansible.module_utils
from ansible.errors import AnsibleFilterError

# On the control node the project's logic is found under the name that it has inside modules, too.
ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.erni import age_keys
from ansible.module_utils.erni.certificate import alternative_name
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.release_content import combined_id
from ansible.module_utils.erni.replicas import host_addresses, replicated, server_groups
from ansible.module_utils.erni.slots import other


def network_address(subnet: str, number: int) -> str:
    """The ``number``-th address of a subnet: ``'172.30.10.0/24' | erni_address(20)`` is ``172.30.10.20``."""
    try:
        return str(ipaddress.ip_network(subnet)[int(number)])
    except (ValueError, IndexError, TypeError) as error:
        raise AnsibleFilterError(f"'{subnet}' has no address number {number}: {error}") from error


def network_addresses(subnet: str, first: int, count: int) -> list[str]:
    """``count`` addresses of a subnet from number ``first`` on."""
    return [network_address(subnet, number) for number in range(first, first + count)]


def upper_half(subnet: str) -> str:
    """The half of a subnet that the engine assigns from; the lower one is for fixed addresses."""
    try:
        return str(list(ipaddress.ip_network(subnet).subnets(1))[1])
    except (ValueError, IndexError) as error:
        raise AnsibleFilterError(f"'{subnet}' is no subnet that can be halved: {error}") from error


def url_quote(text: str) -> str:
    """Percent-encode all that a URL's user or password part does not carry as it is (RFC 3986, section 3.2.1)."""
    return quote(str(text), safe="")


def replicas(service: dict[str, Any], number: int, addresses: list[dict[str, str]]) -> dict[str, dict[str, Any]]:
    """A service mapping for each replica, by its name; ``addresses`` are those of the host (erni_host_addresses)."""
    try:
        return replicated(service, int(number), addresses)
    except PlatformError as error:
        raise AnsibleFilterError(str(error)) from error


def age_recipients(identities: str) -> list[str]:
    """Whom sets are encrypted for so that the newest of these private keys opens them; nobody where there is none."""
    try:
        return age_keys.newest_recipient(str(identities))
    except PlatformError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "erni_alternative_name": alternative_name,
            "erni_age_recipients": age_recipients,
            "erni_address": network_address,
            "erni_addresses": network_addresses,
            "erni_upper_half": upper_half,
            "erni_url_quote": url_quote,
            "erni_combined_release": combined_id,
            "erni_other_slot": other,
            "erni_host_addresses": host_addresses,
            "erni_replicas": replicas,
            "erni_server_groups": server_groups,
        }
