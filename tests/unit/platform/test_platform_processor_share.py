"""Operations give way to what serves, and an engine that they start does not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible.module_utils.erni.processor_share import (
    GROUP,
    HIERARCHY,
    MEMBERSHIP,
    SHARES,
    giving_way,
    set_free,
)
from platform_builders import ROOT


@pytest.fixture
def hierarchy(tmp_path: Path) -> Path:
    """Files in place of the kernel's."""
    (tmp_path / GROUP).mkdir()
    (tmp_path / GROUP / "cgroup.procs").write_text("")
    (tmp_path / "cgroup.procs").write_text("")
    return tmp_path


@pytest.fixture
def at_the_root(tmp_path: Path) -> Path:
    """What the kernel says of a session that nobody has put anywhere."""
    path = tmp_path / "membership"
    path.write_text("4:memory:/somewhere\n1:cpu,cpuacct:/\n0::/\n")
    return path


def test_a_run_is_in_a_group_of_its_own_with_a_small_share(hierarchy: Path, at_the_root: Path) -> None:
    with giving_way(hierarchy, at_the_root) as does:
        assert does
        assert (hierarchy / GROUP / "cpu.shares").read_text() == str(SHARES)
        assert (hierarchy / GROUP / "cgroup.procs").read_text() == str(os.getpid())
    assert (hierarchy / "cgroup.procs").read_text() == str(os.getpid())


def test_where_the_kernel_has_no_such_hierarchy_a_run_is_as_heavy_as_before(tmp_path: Path, at_the_root: Path) -> None:
    with giving_way(tmp_path / "none", at_the_root) as does:
        assert not does
    assert set_free(hierarchy=tmp_path / "none") == []


@pytest.mark.parametrize(
    "told", ["1:cpu:/docker/0123\n0::/\n", "2:cpuacct:/\n1:cpu,other:/user.slice\n", "0::/\n", None]
)
def test_a_run_that_somebody_has_put_somewhere_stays_there(hierarchy: Path, tmp_path: Path, told: str | None) -> None:
    """A container's limits are not to be left, and systemd's slices not either."""
    if told is not None:
        (tmp_path / "membership").write_text(told)
    with giving_way(hierarchy, tmp_path / "membership") as does:
        assert not does
    assert (hierarchy / GROUP / "cgroup.procs").read_text() == ""
    assert (hierarchy / "cgroup.procs").read_text() == ""


def test_of_the_group_only_those_of_that_name_are_set_free(hierarchy: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        while Path(f"/proc/{sleeper.pid}/comm").read_text() != "sleep\n":
            time.sleep(0.01)  # the kernel gives it its name a little after Popen has returned
        (hierarchy / GROUP / "cgroup.procs").write_text(f"{os.getpid()}\n{sleeper.pid}\n999999999\n")
        try:
            assert set_free(["sleep"], hierarchy) == [sleeper.pid]
            assert (hierarchy / "cgroup.procs").read_text() == str(sleeper.pid)
            assert set_free(["no-such-name"], hierarchy) == []
        finally:
            sleeper.kill()


WITHIN = """
import subprocess, sys
import ansible.module_utils
ansible.module_utils.__path__.append(sys.argv[1])
from ansible.module_utils.erni.processor_share import giving_way
def groups():
    words = ["setsid", "cat", "/proc/self/cgroup"]
    print(next(line for line in subprocess.check_output(words, text=True).splitlines() if ":cpu:" in line))
with giving_way():
    groups()
groups()
"""


@pytest.mark.skipif(
    not os.access(HIERARCHY, os.W_OK) or ":cpu:/\n" not in MEMBERSHIP.read_text(),
    reason="the kernel's hierarchy cannot be written to here, or somebody has put the tests somewhere in it",
)
def test_whatever_is_started_meanwhile_is_in_the_group_be_it_in_another_session() -> None:
    words = [sys.executable, "-c", WITHIN, str(ROOT / "module_utils")]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    assert [line.rpartition(":")[2] for line in told] == [f"/{GROUP}", "/"]
