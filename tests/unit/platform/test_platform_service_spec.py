"""A service's mapping, as roles write it, becomes the spec that everything else works with."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.files import File
from ansible.module_utils.erni.service_spec import (
    Folder,
    Gate,
    Mount,
    NetworkAttachment,
    ServiceFile,
    ServiceSpec,
    from_params,
)
from platform_builders import ROOT

MINIMAL: dict[str, Any] = {
    "name": "web",
    "image": "erni/web:abc",
    "health": {"command": ["check"]},
    "limits": {"memory": "512m", "cpus": 1.5, "pids": 64},
}


def module_options() -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("container_service", ROOT / "library" / "container_service.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    options: dict[str, Any] = module.SERVICE
    return options


def spec_of(**service: Any) -> ServiceSpec:
    """As the module builds it, defaults filled in by Ansible itself."""
    validated = ArgumentSpecValidator(module_options()).validate(MINIMAL | service)
    assert validated.error_messages == []
    return from_params("erni", validated.validated_parameters)


def test_the_least_that_can_be_said_is_a_confined_service_that_belongs_to_the_platform() -> None:
    spec = spec_of()
    assert (spec.container, spec.labels) == ("erni-web", {"ch.erni.platform": "erni", "ch.erni.service": "web"})
    assert (spec.read_only, spec.capabilities, spec.networks, spec.ports) == (True, (), (), {})
    assert (spec.memory, spec.shm_size, spec.cpus, spec.pids) == (512 * 1024**2, 64 * 1024**2, 1.5, 64)
    assert spec.applied_record == ""


def test_a_gate_asks_what_the_health_check_asks_unless_it_is_told_otherwise() -> None:
    assert spec_of().gate == Gate(("check",), 1, 90)
    assert spec_of(gate={"command": ["other"], "passes": 3}).gate == Gate(("other",), 3, 90)


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (8000, "8000"), (1.5, "1.5"), ("", ""), ("True", "True")]
)
def test_values_reach_the_environment_as_applications_read_them(value: Any, text: str) -> None:
    assert spec_of(environment={"X": value}, secret_environment={"Y": value}).environment == {"X": text}


def test_everything_else_is_carried_over() -> None:
    spec = spec_of(
        labels={"release": 7},
        networks=[{"name": "edge", "address": "10.0.0.7", "aliases": ["web"]}],
        ports=[{"host": 8080, "container": 80}, {"address": "127.0.0.1", "host": 8443, "container": 443}],
        volumes=[{"name": "data", "target": "/data"}],
        binds=[{"source": "/srv/web", "target": "/etc/web"}],
        folders=[{"path": "/srv/web"}, {"path": "/srv/run", "mode": "0755", "owned": False}],
        files=[{"path": "/srv/web/a", "content": "a", "on_change": "reload", "mode": "0644"}],
        secret_files=[{"path": "/srv/web/b", "content": "b"}],
        watched_files=[{"path": "/srv/web/c"}],
    )
    assert spec.labels["ch.erni.release"] == "7"
    assert spec.networks == (NetworkAttachment("edge", "10.0.0.7", ("web",)),)
    assert spec.ports == {"80/tcp": "0.0.0.0:8080", "443/tcp": "127.0.0.1:8443"}
    assert spec.mounts == (Mount("volume", "data", "/data", False), Mount("bind", "/srv/web", "/etc/web", True))
    assert spec.folders == (Folder("/srv/web", 0o700, True), Folder("/srv/run", 0o755, False))
    assert spec.files == (
        ServiceFile(File("/srv/web/a", "a", 0o644), "reload"),
        ServiceFile(File("/srv/web/b", "b", 0o400, secret=True), "restart"),
    )
    assert spec.watched_files == {"/srv/web/c": "reload"}
    assert spec.applied_record == "/srv/web/.applied.json"


def test_all_that_must_not_appear_in_an_error_is_known_longest_first() -> None:
    spec = spec_of(
        environment={"PLAIN": "not a secret"},
        secret_environment={"A": "hunter2", "B": "abc", "C": "hunter2hunter2"},
        secret_files=[{"path": "/x", "content": "in a file\n"}],
    )
    assert spec.secret_values == ["hunter2hunter2", "in a file", "hunter2"]
    assert spec.secret_property_names == {"environment.A", "environment.B", "environment.C"}


def test_a_size_that_is_none_is_refused_before_anything_is_touched() -> None:
    with pytest.raises(PlatformError, match="'lots' is no size"):
        spec_of(limits={"memory": "lots", "cpus": 1, "pids": 1})
