"""What preflight reads on a host."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from ansible.module_utils.erni import host_facts
from ansible.module_utils.erni.host_facts import (
    HostFacts,
    Listener,
    disk_free_gb,
    parse_listening,
    parse_memory_mb,
    parse_os_release,
    read_facts,
    read_listeners,
)

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LISTENING = "   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0\n"
CONNECTED = "   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0\n"
LISTENING_V6 = (
    "   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A "
    "00000000:00000000 00:00000000 00000000     0        0 4713 1 0\n"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'NAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n',
            {"NAME": "Debian GNU/Linux", "VERSION_ID": "12", "ID": "debian"},
        ),
        ("ID='ubuntu'\n# ID=other\n\nnonsense\n", {"ID": "ubuntu"}),
        ('URL="https://x/?a=b"', {"URL": "https://x/?a=b"}),
        ("", {}),
    ],
)
def test_os_release_is_read_without_quotes_and_comments(text: str, expected: dict[str, str]) -> None:
    assert parse_os_release(text) == expected


@pytest.mark.parametrize(("kib", "mib"), [(8145676, 7954), (1024, 1), (1023, 0)])
def test_memory_is_told_in_whole_mebibytes(kib: int, mib: int) -> None:
    assert parse_memory_mb(f"MemFree:  1 kB\nMemTotal:       {kib} kB\nMemAvailable: 5 kB\n") == mib


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("", {}),
        (LISTENING, {80: "4711"}),
        (CONNECTED, {}),
        (LISTENING_V6, {443: "4713"}),
        (LISTENING + CONNECTED + LISTENING_V6 + "cut off\n", {80: "4711", 443: "4713"}),
    ],
)
def test_only_listening_sockets_hold_a_port(rows: str, expected: dict[int, str]) -> None:
    assert parse_listening(HEADER + rows) == expected


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_listener_is_found_with_the_process_that_holds_it(family: socket.AddressFamily, address: str) -> None:
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        port = listener.getsockname()[1]
        assert read_listeners([port]) == [], "bound is not yet listening"
        listener.listen()
        (found,) = read_listeners([port])
    assert found.port == port
    assert f"(process {os.getpid()})" in found.holder
    assert read_listeners([port]) == []


def test_free_space_of_a_folder_that_will_be_made_is_that_of_where_it_will_be(tmp_path: Path) -> None:
    assert disk_free_gb(str(tmp_path / "not" / "yet")) == pytest.approx(disk_free_gb(str(tmp_path)), abs=0.1)
    status = os.statvfs(tmp_path)
    assert disk_free_gb(str(tmp_path)) == pytest.approx(status.f_bavail * status.f_frsize / 1024**3, abs=0.1)


def test_this_hosts_facts_can_be_read_without_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    facts = read_facts([], ["/"])
    assert facts.memory_mb == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024**2
    assert facts.cpus == len(os.sched_getaffinity(0))
    assert facts.disk_free_gb > 0
    assert (facts.engine_version, facts.published) == ("", {})


def test_ports_are_told_with_the_container_and_the_platform_that_publish_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class Engine:
        def containers(self) -> list[dict[str, object]]:
            ports = [{"PrivatePort": 80, "PublicPort": 8080}, {"PrivatePort": 9000}]
            return [
                {"Names": ["/erni-nginx"], "Labels": {"ch.erni.platform": "erni"}, "Ports": ports},
                {"Names": ["/theirs"], "Labels": {}, "Ports": [{"PrivatePort": 80, "PublicPort": 81}]},
            ]

        def version(self) -> dict[str, str]:
            return {"Version": "20.10.24+dfsg1"}

    monkeypatch.setattr("ansible.module_utils.erni.engine.connect", lambda **_: Engine())
    version, published = host_facts._engine()
    assert version == "20.10.24+dfsg1"
    assert published == {8080: ("erni-nginx", "erni"), 81: ("theirs", "")}


def test_the_roles_are_told_the_hosts_size() -> None:
    facts = HostFacts("Debian 12", "debian", "12", 4096, 2, 10.0, True, "20.10", [Listener(80)])
    assert facts.as_variables() == {"os": "Debian 12", "memory_mb": 4096, "cpus": 2, "engine_version": "20.10"}
