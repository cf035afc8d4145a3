"""Whether a host can carry the platform."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.erni.host_facts import HostFacts, Listener
from ansible.module_utils.erni.host_preflight import Requirements, check_host, version_tuple

FIT = HostFacts(
    os_name="Debian GNU/Linux 12 (bookworm)",
    os_id="debian",
    os_version="12",
    memory_mb=4096,
    cpus=2,
    disk_free_gb=20.0,
    time_synchronised=True,
    engine_version="20.10.24+dfsg1",
)
NEEDS = Requirements("erni", (80, 443), 2048, 5.0, "20.10", require_time_sync=True)


def findings(required: Requirements = NEEDS, **changes: Any) -> list[tuple[str, str]]:
    return [(finding.severity, finding.what) for finding in check_host(replace(FIT, **changes), required)]


def test_a_host_that_fits_has_no_findings() -> None:
    assert findings() == []


@pytest.mark.parametrize(
    ("os_id", "version", "severity"),
    [
        ("debian", "12", ""),
        ("debian", "13", ""),
        ("debian", "11", "warning"),
        ("debian", "", "warning"),
        ("ubuntu", "22.04", ""),
        ("ubuntu", "24.04", ""),
        ("ubuntu", "20.04", "warning"),
        ("fedora", "41", "error"),
        ("", "", "error"),
    ],
)
def test_a_proven_system_passes_an_older_one_is_warned_of_and_a_foreign_one_is_refused(
    os_id: str, version: str, severity: str
) -> None:
    assert [found for found, _ in findings(os_id=os_id, os_version=version)] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"memory_mb": 2048}, None),
        ({"memory_mb": 2047}, "The host has 2047 MiB of memory"),
        ({"disk_free_gb": 5.0}, None),
        ({"disk_free_gb": 4.94}, "Only 4.9 GiB of disk are free where containers and volumes live"),
        ({"engine_version": ""}, None),
        ({"engine_version": "20.10.0"}, None),
        ({"engine_version": "27.1.1"}, None),
        ({"engine_version": "20.9.99"}, "The Docker Engine is version 20.9.99"),
        ({"engine_version": "19.03.15"}, "The Docker Engine is version 19.03.15"),
    ],
)
def test_what_is_too_small_or_too_old_is_refused_from_the_first_unit_on(
    changes: dict[str, Any], said: str | None
) -> None:
    assert findings(**changes) == ([("error", said)] if said else [])


@pytest.mark.parametrize(
    ("listeners", "published", "holder"),
    [
        ([], {}, None),
        ([Listener(80, "apache2 (process 7)")], {}, "by apache2 (process 7)"),
        ([Listener(80)], {}, "by a process that cannot be seen"),
        ([Listener(8080, "x")], {}, None),
        ([], {80: ("theirs", "")}, "by container theirs"),
        ([Listener(80, "docker-proxy (process 9)")], {80: ("theirs", "other")}, "by container theirs"),
        ([Listener(80, "docker-proxy (process 9)")], {80: ("erni-nginx", "erni")}, None),
    ],
)
def test_a_port_is_free_or_the_platforms_own_or_its_holder_is_named(
    listeners: list[Listener], published: dict[int, tuple[str, str]], holder: str | None
) -> None:
    found = check_host(replace(FIT, listeners=listeners, published=published), NEEDS)
    assert [(finding.what, finding.why) for finding in found] == ([("Port 80 is in use", holder)] if holder else [])


@pytest.mark.parametrize(("required", "severity"), [(True, "error"), (False, "warning")])
def test_an_unsynchronised_clock_is_an_error_only_where_that_was_asked_for(required: bool, severity: str) -> None:
    needs = replace(NEEDS, require_time_sync=required)
    assert findings(needs, time_synchronised=False) == [(severity, "The clock is not synchronised")]


def test_all_findings_come_at_once_and_each_says_what_to_do() -> None:
    worst = replace(FIT, os_id="x", memory_mb=1, disk_free_gb=0, engine_version="1", time_synchronised=False)
    found = check_host(replace(worst, listeners=[Listener(80), Listener(443)]), NEEDS)
    assert len(found) == 7
    assert all(finding.why and finding.remedy for finding in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("20.10.24+dfsg1", (20, 10, 24)), ("12", (12,)), ("22.04", (22, 4)), ("", ()), ("27.0.0-rc.1", (27, 0, 0, 1))],
)
def test_a_version_is_compared_by_its_numbers(text: str, expected: tuple[int, ...]) -> None:
    assert version_tuple(text) == expected
