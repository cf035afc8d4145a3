"""The service mapping as modules take it: options, types and defaults, as Ansible's argument specs say them."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .errors import PlatformError

FILE = {
    "path": {"type": "str", "required": True},
    "content": {"type": "str", "required": True},
    "mode": {"type": "str", "default": "0400"},
    "on_change": {"type": "str", "choices": ["restart", "reload", "nothing"], "default": "restart"},
}

SERVICE = {
    "name": {"type": "str", "required": True},
    "image": {"type": "str", "required": True},
    "user": {"type": "str", "default": ""},
    "command": {"type": "list", "elements": "str", "default": []},
    "environment": {"type": "dict", "default": {}},
    "secret_environment": {"type": "dict", "default": {}, "no_log": True},
    "labels": {"type": "dict", "default": {}},
    "networks": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "address": {"type": "str", "default": ""},
            "addresses": {"type": "dict", "default": {}},
            "aliases": {"type": "list", "elements": "str", "default": []},
        },
    },
    "ports": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "address": {"type": "str", "default": "0.0.0.0"},  # noqa: S104 (a proxy serves all addresses)
            "host": {"type": "int", "required": True},
            "container": {"type": "int", "required": True},
        },
    },
    "volumes": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "target": {"type": "str", "required": True},
            "read_only": {"type": "bool", "default": False},
        },
    },
    "binds": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "source": {"type": "str", "required": True},
            "target": {"type": "str", "required": True},
            "read_only": {"type": "bool", "default": True},
        },
    },
    "tmpfs": {"type": "dict", "default": {}},
    "folders": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "str", "required": True},
            "mode": {"type": "str", "default": "0700"},
            "owned": {"type": "bool", "default": True},
        },
    },
    "files": {"type": "list", "elements": "dict", "default": [], "options": FILE},
    "secret_files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "no_log": False,
        "options": FILE | {"content": {"type": "str", "required": True, "no_log": True}},
    },
    "watched_files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "str", "required": True},
            "on_change": {"type": "str", "choices": ["restart", "reload"], "default": "reload"},
        },
    },
    "health": {
        "type": "dict",
        "required": True,
        "options": {
            "command": {"type": "list", "elements": "str", "required": True},
            "interval": {"type": "int", "default": 10},
            "timeout": {"type": "int", "default": 5},
            "retries": {"type": "int", "default": 3},
            "start_period": {"type": "int", "default": 30},
        },
    },
    "gate": {
        "type": "dict",
        "default": {},
        "options": {
            "command": {"type": "list", "elements": "str", "default": []},
            "port": {"type": "int", "default": 0},
            "path": {"type": "str", "default": "/"},
            "passes": {"type": "int", "default": 1},
            "timeout": {"type": "int", "default": 90},
        },
    },
    "reload_command": {"type": "list", "elements": "str", "default": []},
    "reload_signal": {"type": "str", "default": "SIGHUP"},
    "validate_command": {"type": "list", "elements": "str", "default": []},
    "limits": {
        "type": "dict",
        "required": True,
        "options": {
            "memory": {"type": "str", "required": True},
            "cpus": {"type": "float", "required": True},
            "pids": {"type": "int", "required": True},
            "shm": {"type": "str", "default": "64m"},
        },
    },
    "read_only": {"type": "bool", "default": True},
    "capabilities": {"type": "list", "elements": "str", "default": []},
    "stop_timeout": {"type": "int", "default": 30},
    "stop_signal": {"type": "str", "default": "SIGTERM"},
    "log_max_size": {"type": "str", "default": "10m"},
    "log_max_files": {"type": "int", "default": 5},
    "extra_hosts": {"type": "dict", "default": {}},
    "init": {"type": "bool", "default": False},
}


def validated(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with its types converted and its defaults filled in.

    :raises PlatformError: when an option is unknown, missing or malformed.
    """
    # The validator hands out the spec's own defaults, and fills in what lies below them: each mapping gets new ones.
    result = ArgumentSpecValidator(deepcopy(SERVICE)).validate(dict(mapping))
    if result.error_messages:
        raise PlatformError(
            f"The service mapping of {mapping.get('name', 'a service without a name')} is malformed",
            "; ".join(result.error_messages),
            "Correct its variables in the inventory; the role's README lists them.",
        )
    parameters: dict[str, Any] = result.validated_parameters
    return parameters
