"""An operator's own task files around a transition, through the real ansible-playbook."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small_project import BIN, Project

FAIL = "- name: It refuses\n  ansible.builtin.fail:\n    msg: the change is not approved.\n"
SUCCEED = "- name: It is noted\n  ansible.builtin.copy: {content: done, dest: '{{ noted }}', mode: '0600'}\n"


def at(project: Project, moment: str, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A play that comes to the moment, and goes on if it may."""
    going_on = {"name": "It goes on", "ansible.builtin.debug": {"msg": "-"}, "changed_when": True}
    play = {
        "name": "Deploy",
        "hosts": "all",
        "gather_facts": False,
        "vars": {
            "platform_source_root": str(project.folder),
            "release_hook_files": files,
            "release_moment": moment,
            "noted": str(project.folder / "noted"),
        },
        "tasks": [{"include_role": {"name": "release", "tasks_from": "hook"}}, going_on],
    }
    (project.folder / "book.yml").write_text(yaml.safe_dump([play]))
    (project.folder / "hosts").write_text(f"one ansible_connection=local ansible_python_interpreter={sys.executable}\n")
    return subprocess.run(
        [BIN / "ansible-playbook", "-i", "hosts", "book.yml"],
        cwd=project.folder,
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def hook(project: Project) -> Path:
    path = project.folder / "own" / "hook.yml"
    path.parent.mkdir()
    return path


@pytest.mark.parametrize("absolute", [True, False])
def test_the_file_of_the_moment_is_run_from_wherever_it_lies(project: Project, hook: Path, absolute: bool) -> None:
    hook.write_text(SUCCEED)
    ran = at(project, "post_switch", {"post_switch": str(hook) if absolute else "own/hook.yml"})
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (project.folder / "noted").read_text() == "done"
    assert "It goes on" in ran.stdout


@pytest.mark.parametrize("files", [{}, {"pre_deploy": ""}, {"on_failure": "own/hook.yml"}])
def test_a_moment_without_a_file_is_passed_over(project: Project, hook: Path, files: dict[str, str]) -> None:
    hook.write_text(FAIL)
    ran = at(project, "pre_deploy", files)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "It goes on" in ran.stdout


def test_a_file_that_fails_before_the_deploy_stops_it(project: Project, hook: Path) -> None:
    hook.write_text(FAIL)
    ran = at(project, "pre_deploy", {"pre_deploy": "own/hook.yml"})
    assert ran.returncode == 2
    assert (
        f"Before the deploy, the pre_deploy tasks in {hook} failed: the change is not approved. Nothing was touched. "
        "Mend what they complain of, and run again."
    ) in ran.stdout
    assert "It goes on" not in ran.stdout


def test_a_file_that_is_not_there_stops_a_deploy_before_it_begins(project: Project, hook: Path) -> None:
    ran = at(project, "pre_deploy", {"pre_deploy": str(hook)})
    assert ran.returncode != 0
    assert str(hook) in ran.stdout + ran.stderr
    assert "It goes on" not in ran.stdout


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("moment", ["post_switch", "post_deploy", "on_failure"])
def test_a_file_that_fails_later_is_a_warning(project: Project, hook: Path, moment: str, there: bool) -> None:
    if there:
        hook.write_text(FAIL)
    ran = at(project, moment, {moment: "own/hook.yml"})
    assert ran.returncode == 0, ran.stdout + ran.stderr
    why = "the change is not approved." if there else "they could not be read."
    assert f"Warning: the {moment} tasks in {hook} failed: {why}" in ran.stdout
    assert "It goes on" in ran.stdout
