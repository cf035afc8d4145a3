"""A verb from its options to its exit code, with the real ansible-playbook."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni.processor_share import GROUP, HIERARCHY, MEMBERSHIP
from small_project import Project

from erni_cli.lock import environment_lock, lock_file

SHOW_VARIABLES = """---
- name: Variables are shown
  hosts: backend
  gather_facts: false
  tasks:
    - name: Variables
      ansible.builtin.copy:
        content: "{{ vars | dict2items | selectattr('key', 'match', 'erni_|confirm') | items2dict | to_json }}"
        dest: "{{ inventory_dir }}/seen.json"
        mode: "0600"
"""

START_A_DAEMON = """---
- name: A daemon is started
  hosts: backend
  gather_facts: false
  tasks:
    - name: It runs
      ansible.builtin.shell: setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $! >>{{ inventory_dir }}/daemons
"""

TAKE_LONG = """---
- name: It takes long
  hosts: backend
  gather_facts: false
  tasks:
    - name: It has begun, and goes on
      ansible.builtin.shell: touch {{ inventory_dir }}/begun; exec sleep 50
"""

SHOW_GROUPS = """---
- name: The groups are shown
  hosts: backend
  gather_facts: false
  tasks:
    - name: Those of a module's process
      ansible.builtin.command: cp /proc/self/cgroup {{ inventory_dir }}/groups
"""

FAIL = """---
- name: It fails
  hosts: backend
  gather_facts: false
  tasks: [{name: It works, ansible.builtin.fail: {msg: It does not.}}]
"""


@pytest.fixture
def env(project: Project, tmp_path: Path) -> str:
    """An environment whose name, and so whose lock, no other run has."""
    name = f"test-{os.getpid()}-{tmp_path.name.lower()}"[:80]
    project.environment(name)
    return name


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come up"
        time.sleep(0.05)


def records(project: Project) -> list[dict[str, Any]]:
    return [json.loads(line) for line in project.journal.read_text().splitlines()]


def test_options_arrive_in_the_playbook_unharmed(project: Project, env: str) -> None:
    project.playbook("status", SHOW_VARIABLES)
    done = project.run("status", ENV=env, SERVICE="backend", TAIL="5", GREP="a 'b' \"{{ c }}\" $d", CONFIRM=env)
    assert done.returncode == 0, done.stderr
    seen = json.loads((project.folder / "inventories" / env / "seen.json").read_text())
    assert (seen["erni_env"], seen["erni_verb"], seen["erni_service"]) == (env, "status", "backend")
    assert (seen["erni_tail"], seen["erni_grep"], seen["confirm"]) == (5, "a 'b' \"{{ c }}\" $d", env)
    assert "erni_query" not in seen


@pytest.mark.skipif(
    not os.access(HIERARCHY, os.W_OK) or ":cpu:/\n" not in MEMBERSHIP.read_text(),
    reason="the kernel's hierarchy cannot be written to here, or somebody has put the tests somewhere in it",
)
def test_what_a_run_does_on_this_machine_gives_way_to_containers(project: Project, env: str) -> None:
    project.playbook("status", SHOW_GROUPS)
    assert project.run("status", ENV=env).returncode == 0
    assert f":cpu:/{GROUP}\n" in (project.folder / "inventories" / env / "groups").read_text()


def test_a_failure_is_passed_on_and_written_down(project: Project, env: str) -> None:
    project.playbook("verify", FAIL)
    project.playbook("status", SHOW_VARIABLES)
    assert project.run("verify", ENV=env).returncode == 2
    assert project.run("status", ENV=env).returncode == 0
    kept = [(record["verb"], record["env"], record["outcome"], record["exit_code"]) for record in records(project)]
    assert kept == [("verify", env, "failed", 2), ("status", env, "ok", 0)]
    assert project.journal.stat().st_mode & 0o777 == 0o600


def test_a_daemon_that_a_task_started_does_not_keep_the_lock(project: Project, env: str) -> None:
    project.playbook("up", START_A_DAEMON)
    try:
        assert project.run("up", ENV=env, LOCK_WAIT="0").returncode == 0
        assert project.run("up", ENV=env, LOCK_WAIT="0").returncode == 0
    finally:
        for daemon in (project.folder / "inventories" / env / "daemons").read_text().split():
            os.kill(int(daemon), signal.SIGKILL)


def test_ansible_keeps_the_lock_of_a_run_that_was_killed(project: Project, env: str) -> None:
    project.playbook("up", TAKE_LONG)
    first = project.start("up", ENV=env)
    wait_for(project.folder / "inventories" / env / "begun")
    orphan = int(Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()[0])
    first.kill()
    first.wait()
    refused = project.run("up", ENV=env, LOCK_WAIT="0")
    os.kill(orphan, signal.SIGTERM)
    assert refused.returncode == 3
    assert "runs 'up' since" in refused.stderr
    assert f"(process {first.pid})" in refused.stderr
    project.playbook("up", SHOW_VARIABLES)
    assert project.run("up", ENV=env, LOCK_WAIT="120").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_reaches_ansible_and_is_waited_for(project: Project, env: str, number: signal.Signals) -> None:
    project.playbook("up", TAKE_LONG)
    run = project.start("up", ENV=env)
    wait_for(project.folder / "inventories" / env / "begun")
    run.send_signal(number)
    assert run.wait(timeout=120) in (99, 128 + number)
    assert records(project)[0]["outcome"] == "interrupted"
    project.playbook("up", SHOW_VARIABLES)
    assert project.run("up", ENV=env, LOCK_WAIT="0").returncode == 0


@pytest.mark.parametrize(
    ("verb", "options"), [("deploy", {}), ("rollback", {}), ("maintenance", {"STATE": "on"}), ("releases", {})]
)
def test_what_moves_traffic_waits_for_the_lock_and_what_lists_releases_does_not(
    project: Project, env: str, verb: str, options: dict[str, str]
) -> None:
    project.playbook(verb, SHOW_VARIABLES)
    with environment_lock(lock_file(env), "somebody", "up", 0):
        assert project.run(verb, ENV=env, LOCK_WAIT="0", **options).returncode == (0 if verb == "releases" else 3)


def test_a_verb_that_only_reads_does_not_wait(project: Project, env: str) -> None:
    project.playbook("up", TAKE_LONG)
    project.playbook("status", SHOW_VARIABLES)
    changing = project.start("up", ENV=env)
    wait_for(project.folder / "inventories" / env / "begun")
    assert project.run("status", ENV=env, LOCK_WAIT="0").returncode == 0
    changing.terminate()
    changing.wait(timeout=120)


SAY = """
- hosts: all
  gather_facts: false
  tasks: [{debug: {msg: "%s {{ erni_set | default() }} {{ erni_only | default() }}"}}]
"""


def test_a_rollback_with_the_data_restores_them_first(project: Project, env: str) -> None:
    project.playbook("restore", SAY % "data of")
    project.playbook("rollback", SAY % "release")
    words = {"RESTORE_DB": "1", "SET": "20260102T120000Z-00ff", "V": "1"}
    run = project.run("rollback", ENV=env, **words)
    assert run.returncode == 0, run.stderr
    assert [json.loads(line)["verb"] for line in project.journal.read_text().splitlines()] == ["restore", "rollback"]
    told = run.stdout + run.stderr
    assert told.index("data of 20260102T120000Z-00ff postgres") < told.index("release ")


def test_local_secrets_are_made_before_the_first_verb(project: Project, env: str) -> None:
    shared = "erni_secrets_autogenerate: true\nerni_secret_specs: [{name: db_password, supplied_by_operator: true}]\n"
    folder = project.folder / "inventories" / env
    (folder / "group_vars/all/main.yml").write_text(shared)
    project.playbook("up", SHOW_VARIABLES)
    assert project.run("up", ENV=env).returncode == 0
    assert [record["verb"] for record in records(project)] == ["secrets", "up"]
    seen = json.loads((folder / "seen.json").read_text())
    assert len(seen["erni_secrets"]["db_password"]) == 32
    assert (folder / ".vault_password").stat().st_mode & 0o777 == 0o600
    assert project.run("up", ENV=env).returncode == 0
    assert [record["verb"] for record in records(project)] == ["secrets", "up", "up"]


@pytest.mark.parametrize(
    ("verb", "options", "said"),
    [
        ("up", {"ENV": "nope"}, "There is no environment 'nope': "),
        ("frobnicate", {}, "There is no verb 'frobnicate'. Run `make help` to see them."),
        ("../up", {}, "There is no verb '../up'."),
        ("status", {"FORMAT": "xml"}, "FORMAT=xml is unknown."),
        ("deploy", {"RELEASE": "main~1"}, "RELEASE=main~1 cannot be deployed: '~' cannot stand there"),
        ("deploy", {"TO": "0123456789ab"}, "TO is an option of make rollback, not of make deploy."),
        ("rollback", {"TO": "last"}, "TO=last is no release"),
        ("maintenance", {}, "Write STATE=on or STATE=off."),
        ("logs", {"FOLLOW": "1"}, "Only one service can be followed."),
        (
            "logs",
            {"FOLLOW": "1", "SERVICE": "nginx"},
            "does not say how to reach the service 'nginx': the group 'nginx' has no host.",
        ),
    ],
)
def test_bad_input_is_refused_in_a_sentence(
    project: Project, env: str, verb: str, options: dict[str, str], said: str
) -> None:
    for existing in ("status", "deploy", "rollback", "maintenance"):
        project.playbook(existing, SHOW_VARIABLES)
    refused = project.run(verb, **{"ENV": env, **options})
    assert refused.returncode == 2
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""
    assert not project.journal.exists()


@pytest.fixture(autouse=True)
def _no_lock_is_left(env: str) -> Any:
    yield
    lock_file(env).unlink(missing_ok=True)
