"""What all environments share, each can override: whichever of Ansible's programs asks."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from small_project import BIN, ROOT, Project

ENVIRONMENTS = sorted(path for path in (ROOT / "inventories").iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", ENVIRONMENTS, ids=lambda folder: folder.name)
def test_every_environment_has_the_shared_variables_first(folder: Path) -> None:
    entries = sorted(entry.name for entry in (folder / "group_vars" / "all").iterdir())
    assert entries[0] == "00-shared"
    assert (folder / "group_vars" / "all" / "00-shared").resolve() == ROOT / "group_vars" / "all"


@pytest.fixture
def environment(project: Project) -> Path:
    folder = project.environment("demo", "overridden: by the environment")
    shared = project.folder / "group_vars" / "all"
    shared.mkdir(parents=True)
    (shared / "zz.yml").write_text("overridden: no\nshared: by all\n")
    (folder / "group_vars" / "all" / "00-shared").symlink_to(shared)
    return folder


def asked(environment: Path, *words: str) -> str:
    folder = environment.parents[1]
    return subprocess.run(
        [BIN / words[0], "-i", environment, *words[1:]],
        cwd=folder,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_a_playbook_sees_the_environments_value(project: Project, environment: Path) -> None:
    project.playbook(
        "show",
        "- name: Show\n  hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.set_fact: {erni_report: '{{ overridden }}, {{ shared }}'}\n",
    )
    assert asked(environment, "ansible-playbook", "playbooks/show.yml").endswith("by the environment, by all\n")


def test_so_do_ad_hoc_programs(environment: Path) -> None:
    variables = json.loads(asked(environment, "ansible-inventory", "--host", "here"))
    assert (variables["overridden"], variables["shared"]) == ("by the environment", "by all")
    assert "by the environment" in asked(environment, "ansible", "here", "-m", "debug", "-a", "var=overridden")
