"""What the engine says of a container, and what the spec wants, meet under the same names."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.erni.container_state import container_state, image_facts, observed_properties
from ansible.module_utils.erni.engine import container_config
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.planning import compare
from ansible.module_utils.erni.service_spec import ImageFacts, Mount, NetworkAttachment, size_in_bytes
from platform_builders import IMAGE, NETWORK_IDS, SECRET, engine_answer, service

BARE = {
    "user": "",
    "command": (),
    "environment": {},
    "secret_environment": {},
    "networks": (),
    "ports": {},
    "mounts": (),
    "tmpfs": {},
    "capabilities": (),
    "extra_hosts": {},
    "init": False,
    "read_only": False,
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        BARE,
        {"user": "33:33"},
        {"command": ("serve", "--fast")},
        {"environment": {"LANG": "de_CH.UTF-8", "EMPTY": "", "EQUAL": "a=b=c"}},
        {"capabilities": ("NET_RAW", "CHOWN", "KILL")},
        {"cpus": 0.1},
        {"cpus": 12.0},
        {"ports": {"80/tcp": "0.0.0.0:80", "443/tcp": "[::1]:8443"}},
        {"networks": (NetworkAttachment("erni-data", "172.30.11.9", ()),)},
        {"extra_hosts": {"v6.example.org": "2001:db8::7"}},
        {"mounts": (Mount("bind", "/a", "/b", False), Mount("volume", "v", "/c", True))},
    ],
)
def test_a_container_created_from_a_spec_is_observed_as_that_spec(changes: dict[str, Any]) -> None:
    spec = service(**changes)
    answer = json.loads(json.dumps(engine_answer(spec)))  # over the wire and back
    assert observed_properties(answer, NETWORK_IDS) == spec.properties(IMAGE)


DRIFT = {
    "user": {"user": "0:0"},
    "command": {"command": ("other",)},
    "environment.MODE": {"environment": {"MODE": "other"}},
    "environment.TOKEN": {"secret_environment": {"TOKEN": "rotated"}},
    "label.ch.erni.release": {
        "labels": {"ch.erni.platform": "erni", "ch.erni.service": "web", "ch.erni.release": "abc"}
    },
    "network.erni-edge": {
        "networks": (NetworkAttachment("erni-edge", "172.30.10.21", ("web",)), *service().networks[1:])
    },
    "network.erni-data": {"networks": service().networks[:1]},
    "port.80/tcp": {"ports": {"80/tcp": "127.0.0.1:8080"}},
    "mount./data": {"mounts": (Mount("volume", "other", "/data", False), *service().mounts[1:])},
    "mount./etc/web": {"mounts": (service().mounts[0], Mount("bind", "/srv/web", "/etc/web", False))},
    "tmpfs": {"tmpfs": {"/tmp": "size=1m"}},
    "health": {"health": replace(service().health, retries=9)},
    "memory": {"memory": 1},
    "shm_size": {"shm_size": 1},
    "cpus": {"cpus": 2.0},
    "pids": {"pids": 1},
    "read_only": {"read_only": False},
    "capabilities": {"capabilities": ()},
    "stop_timeout": {"stop_timeout": 31},
    "stop_signal": {"stop_signal": "SIGINT"},
    "log": {"log_max_files": 6},
    "extra_hosts": {"extra_hosts": {}},
    "init": {"init": False},
}


@pytest.mark.parametrize("name", DRIFT)
def test_each_change_of_a_spec_is_seen_under_its_own_name_and_no_other(name: str) -> None:
    observed = observed_properties(engine_answer(service()), NETWORK_IDS)
    differences = compare(service(**DRIFT[name]).properties(IMAGE), observed)
    assert [difference.name for difference in differences] == [name]


@pytest.mark.parametrize(
    ("name", "place", "key", "value"),
    [
        ("image", (), "Image", "sha256:2222"),
        ("restart", ("HostConfig",), "RestartPolicy", {"Name": "no"}),
        ("capabilities_dropped", ("HostConfig",), "CapDrop", []),
        ("security", ("HostConfig",), "SecurityOpt", None),
        ("environment.ADDED", ("Config",), "Env", [*engine_answer(service())["Config"]["Env"], "ADDED=1"]),
        ("mount./classic", ("HostConfig",), "Binds", ["/here:/classic:rw"]),
    ],
)
def test_what_someone_changed_behind_the_platforms_back_is_seen(
    name: str, place: tuple[str, ...], key: str, value: Any
) -> None:
    answer = engine_answer(service())
    target = answer
    for step in place:
        target = target[step]
    target[key] = value
    differences = compare(service().properties(IMAGE), observed_properties(answer, NETWORK_IDS))
    assert [difference.name for difference in differences] == [name]


def test_labels_that_are_not_the_platforms_do_not_count() -> None:
    assert engine_answer(service())["Config"]["Labels"]["maintainer"]
    assert not [n for n in observed_properties(engine_answer(service()), NETWORK_IDS) if "maintainer" in n]


@pytest.mark.parametrize("ids", [{"erni-edge": "id-of-edge"}, NETWORK_IDS | {"erni-data": "id-of-another"}])
def test_an_endpoint_of_a_network_that_was_removed_or_made_anew_does_not_count(ids: dict[str, str]) -> None:
    observed = observed_properties(engine_answer(service()), ids)
    assert "network.erni-data" not in observed
    assert "network.erni-edge" in observed


def test_an_answer_with_nothing_but_nulls_can_be_read() -> None:
    answer = {
        "Id": "x",
        "Image": "sha256:1",
        "State": {"Running": False},
        "Config": {"Env": None, "Cmd": None, "Labels": None, "Healthcheck": None},
        "HostConfig": dict.fromkeys(
            ("Tmpfs", "CapAdd", "CapDrop", "SecurityOpt", "PortBindings", "Mounts", "Binds", "ExtraHosts", "Init",
             "PidsLimit", "NanoCpus", "RestartPolicy", "LogConfig")
        ),
        "NetworkSettings": {"Networks": None},
    }  # fmt: skip
    state = container_state(answer, {})
    assert (state.running, state.paused, state.health) == (False, False, "none")
    assert state.properties["command"] == []


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"Running": True, "Paused": False, "Health": {"Status": "starting"}}, (True, False, "starting")),
        ({"Running": True, "Paused": True, "Health": {"Status": "healthy"}}, (True, True, "healthy")),
        ({"Running": False}, (False, False, "none")),
        ({"Running": True, "Health": None}, (True, False, "none")),
    ],
)
def test_running_paused_and_health_are_told(state: dict[str, Any], expected: tuple[bool, bool, str]) -> None:
    seen = container_state(engine_answer(service()) | {"State": state}, NETWORK_IDS)
    assert (seen.running, seen.paused, seen.health) == expected


def test_an_images_facts_are_read_even_where_it_says_nothing() -> None:
    assert image_facts({"Id": "sha256:9", "Config": None}) == ImageFacts("sha256:9")
    config = {"Cmd": ["a"], "User": "web", "Env": ["A=1", "B=x=y"]}
    assert image_facts({"Id": "sha256:9", "Config": config}) == ImageFacts(
        "sha256:9", ("a",), "web", {"A": "1", "B": "x=y"}
    )


def test_every_container_is_created_without_privileges_and_without_swap() -> None:
    host = container_config(service())["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["MemorySwap"] == host["Memory"] == 256 * 1024**2
    assert host["RestartPolicy"] == {"Name": "unless-stopped"}
    assert "Privileged" not in host


def test_the_first_network_is_part_of_the_creation_with_its_fixed_address() -> None:
    config = container_config(service())
    assert config["HostConfig"]["NetworkMode"] == "erni-edge"
    endpoints = {"erni-edge": {"Aliases": ["web"], "IPAMConfig": {"IPv4Address": "172.30.10.20"}}}
    assert config["NetworkingConfig"] == {"EndpointsConfig": endpoints}


def test_a_container_without_networks_has_none_at_all() -> None:
    config = container_config(service(networks=()))
    assert config["HostConfig"]["NetworkMode"] == "none"
    assert "NetworkingConfig" not in config


def test_secrets_reach_the_container_by_environment_and_no_other_way() -> None:
    config = container_config(service())
    assert f"TOKEN={SECRET}" in config.pop("Env")
    assert SECRET not in json.dumps(config)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("12", 12),
        ("1k", 1024),
        ("512m", 512 * 1024**2),
        ("2G", 2 * 1024**3),
        ("64mb", 64 * 1024**2),
        (" 1m ", 1024**2),
    ],
)
def test_a_size_is_read_in_binary_units(text: str, size: int) -> None:
    assert size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["", "m", "1.5g", "-1m", "1t", "1 m", "1m1", "much"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(PlatformError, match=r"is no size: .*512m"):
        size_in_bytes(text)
