"""What an operator sees: tiny playbooks through the real ansible-playbook, compared with what should be printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from small_project import BIN, Project, shown_in_terminal

# A module that returns what it is told to.
SAY = """#!/usr/bin/python
import json
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({"result": {"type": "str"}}, supports_check_mode=True)
result = json.loads(module.params["result"])
for warning in result.pop("warn", []):
    module.warn(warning)
module.exit_json(**result)
"""


def play(name: str, *tasks: str, hosts: str = "one") -> str:
    listed = "".join(f"    - {task}\n" for task in tasks)
    return f"- name: {name}\n  hosts: {hosts}\n  gather_facts: false\n  tasks:\n{listed}"


def say(name: str, **result: object) -> str:
    return json.dumps({"name": name, "say": {"result": json.dumps(result)}})


@pytest.fixture
def folder(project: Project) -> Path:
    (project.folder / "library").unlink()
    (project.folder / "library").mkdir()
    (project.folder / "library" / "say.py").write_text(SAY)
    (project.folder / "hosts").write_text(
        "[one]\nhere ansible_connection=local\n[two]\nhere\nthere ansible_connection=local\n[nobody]\n"
        "[away]\nfar ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1\n"
    )
    return project.folder


def run(folder: Path, *plays: str, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    (folder / "book.yml").write_text("".join(plays))
    return subprocess.run(
        [BIN / "ansible-playbook", "-i", "hosts", "book.yml", *flags],
        cwd=folder,
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0"},
        capture_output=True,
        text=True,
        check=False,
    )


def timeless(text: str) -> str:
    """Durations and the columns that they are aligned in, made equal."""
    return re.sub(r" +\d+\.\d s", " N s", text)


SHOWN = [
    pytest.param(
        [play("It serves", say("A task"))],
        "[1/1] It serves\n      ok N s\n",
        id="nothing to do",
    ),
    pytest.param(
        [play("It serves", say("A task", changed=True))],
        "[1/1] It serves\n      changed N s\n      A task\n",
        id="a change without sentences shows the task",
    ),
    pytest.param(
        [play("It serves", say("A task", changed=True, actions=["x is created", "y is started"]))],
        "[1/1] It serves\n      changed N s\n      x is created\n      y is started\n",
        id="sentences",
    ),
    pytest.param(
        [play("It serves", say("A task", changed=True, actions=[{"id": 1}]))],
        "[1/1] It serves\n      changed N s\n      A task\n",
        id="another collection's actions are not sentences",
    ),
    pytest.param(
        [
            play(
                "It serves",
                '{name: Loop, loop: [a, b], say: {result: \'{"changed": true, "actions": ["{{ item }} is made"]}\'}}',
            )
        ],
        "[1/1] It serves\n      changed N s\n      a is made\n      b is made\n",
        id="a loop's sentences",
    ),
    pytest.param(
        [play("A", say("T")), play("B", say("T"), hosts="nobody"), play("C", say("T"))],
        "[1/3] A\n      ok N s\n[3/3] C\n      ok N s\n",
        id="a play without hosts is no phase, and numbers stay",
    ),
    pytest.param(
        [play("A", say("T")) for _ in range(4)],
        "[1/4] A\n      ok N s\n[2/4] A\n      ok N s\n[3/4] A\n      ok N s\n[4/4] A\n      ok N s\n\n"
        "  [1/4] A  ok N s\n  [2/4] A  ok N s\n  [3/4] A  ok N s\n  [4/4] A  ok N s\n  total N s\n",
        id="a table of more than three phases",
    ),
    pytest.param(
        [play("A", say("T", erni_report="the report")), play("B", say("T"))],
        "[1/2] A\n      ok N s\n[2/2] B\n      ok N s\n\nthe report\n",
        id="the report comes last",
    ),
    pytest.param(
        [play("A", say("T", warn=["mind this"]), say("T", warn=["mind this"])), play("B", say("T"))],
        "[1/2] A\n      ok N s\n[2/2] B\n      ok N s\nWarning: mind this\n",
        id="warnings are told once, at the end",
    ),
    pytest.param(
        [play("A", "{name: T, ansible.builtin.fail: {msg: broken}, ignore_errors: true}")],
        "[1/1] A\n      ok N s\n",
        id="an ignored failure is none",
    ),
    pytest.param(
        [
            play(
                "A",
                "{block: [{ansible.builtin.fail: {msg: broken}}], rescue: [{ansible.builtin.debug: {msg: mended}}]}",
            )
        ],
        "[1/1] A\n      ok N s\n",
        id="a rescued failure is told by whoever rescues",
    ),
    pytest.param(
        [play("A", say("T", findings=[{"what": "W", "why": "Y", "remedy": "R", "severity": "warning"}]))],
        "[1/1] A\n      ok N s\n      - warning: W\n        Y\n        R\n",
        id="findings that stop nothing",
    ),
]


@pytest.mark.parametrize(("plays", "expected"), SHOWN)
def test_a_run_is_shown_as_its_phases(folder: Path, plays: list[str], expected: str) -> None:
    done = run(folder, *plays)
    assert done.returncode == 0, done.stdout + done.stderr
    assert timeless(done.stdout) == expected


FAILURES = [
    pytest.param(
        [play("A", say("It works", failed=True, msg="It does not."))],
        "[1/1] A\n      failed on here: It works\n        It does not.\n      failed N s\n",
        id="a message",
    ),
    pytest.param(
        [play("A", say("T", failed=True, msg="No.", findings=[{"what": "W", "why": "Y", "remedy": "R"}]))],
        "[1/1] A\n      failed on here: T\n        No.\n        - W\n          Y\n          R\n      failed N s\n",
        id="findings",
    ),
    pytest.param(
        [
            play(
                "A",
                say("B", changed=True),
                "{name: T, ansible.builtin.command: sh -c 'echo bad >&2; exit 3'}",
            )
        ],
        "[1/1] A\n      B\n      failed on here: T\n        non-zero return code\n        bad\n      failed N s\n",
        id="a program's last words",
    ),
    pytest.param(
        [play("A", "{name: Loop, loop: [a, b], ansible.builtin.fail: {msg: broken}, when: item == 'b'}")],
        "[1/1] A\n      failed on here: Loop\n        b: broken\n      failed N s\n",
        id="only the items that failed",
    ),
    pytest.param(
        [play("A", "{name: Hidden, ansible.builtin.fail: {msg: secret}, no_log: true}")],
        "[1/1] A\n      failed on here: Hidden\n        the output has been hidden due to the fact that "
        "'no_log: true' was specified for this result\n      failed N s\n",
        id="no_log stays hidden",
    ),
    pytest.param(
        [play("A", say("T", failed=True, msg="no", erni_report="unhealthy"))],
        "[1/1] A\n      failed on here: T\n        no\n      failed N s\n\nunhealthy\n",
        id="a failure may report, too",
    ),
]


@pytest.mark.parametrize(("plays", "expected"), FAILURES)
def test_a_failure_is_a_sentence(folder: Path, plays: list[str], expected: str) -> None:
    done = run(folder, *plays)
    assert done.returncode == 2
    assert timeless(done.stdout) == expected
    assert "Traceback" not in done.stdout + done.stderr


def test_a_module_that_crashes_is_told_in_a_line(folder: Path) -> None:
    (folder / "library" / "crash.py").write_text("#!/usr/bin/python\nraise RuntimeError('boom')\n")
    done = run(folder, play("A", "{name: T, crash: {}}"))
    assert "RuntimeError: boom" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_an_unreachable_host_is_told_with_a_remedy(folder: Path) -> None:
    done = run(folder, play("A", say("T"), hosts="away"))
    assert done.returncode == 4
    assert "      far cannot be reached (while: T)\n" in done.stdout
    assert "Connection refused" in done.stdout
    assert "Check its address, user and key in the inventory" in done.stdout


def test_several_hosts_are_told_apart(folder: Path) -> None:
    done = run(folder, play("A", say("T", changed=True, actions=["x is made"]), hosts="two"))
    assert sorted(done.stdout.splitlines()[2:]) == ["      here: x is made", "      there: x is made"]


@pytest.mark.parametrize("strategy", ["free", "linear", "host_pinned"])
def test_every_strategy_is_shown(folder: Path, strategy: str) -> None:
    done = run(folder, play("A", say("T"), hosts=f"two\n  strategy: {strategy}"))
    assert timeless(done.stdout) == "[1/1] A\n      ok N s\n"


def test_batches_of_a_serial_play_are_one_phase(folder: Path) -> None:
    done = run(folder, play("A", say("T"), hosts="two\n  serial: 1"))
    assert timeless(done.stdout) == "[1/1] A\n      ok N s\n"


def test_check_mode_says_what_would_be(folder: Path) -> None:
    done = run(folder, play("A", say("T", changed=True, actions=["x is made"])), flags=("--check",))
    assert timeless(done.stdout) == "[1/1] A\n      changed N s\n      would: x is made\n"


def test_differences_are_shown_when_asked_for(folder: Path) -> None:
    changed = say("T", changed=True, diff={"before": "a\n", "after": "b\n"}, actions=["x is changed"])
    shown = run(folder, play("A", changed), flags=("--diff",)).stdout
    assert "T:\n--- before\n+++ after\n@@ -1 +1 @@\n-a\n+b\n      x is changed\n" in shown
    assert "+b" not in run(folder, play("A", changed)).stdout


@pytest.mark.parametrize("flags", [(), ("-v",), ("-vvv",)])
def test_for_machines_the_report_alone_is_on_standard_output(folder: Path, flags: tuple[str, ...]) -> None:
    plays = [play("A", say("T", changed=True, erni_report='{"healthy": true}', warn=["mind"])) for _ in range(4)]
    done = run(folder, *plays, flags=("-e", "erni_format=json", *flags))
    assert done.stdout.splitlines()[-1] == '{"healthy": true}'
    assert "[1/4] A" in done.stderr
    assert "[1/4] A" not in done.stdout
    if not flags:
        assert json.loads(done.stdout) == {"healthy": True}


def test_verbose_is_ansibles_own_output_with_numbers(folder: Path) -> None:
    shown = run(folder, play("A", say("T")), play("B", say("T"), hosts="nobody"), flags=("-v",)).stdout
    for line in ("PLAY [1/2] A ***", "TASK [T] ***", "ok: [here] =>", "skipping: no hosts matched", "PLAY RECAP ***"):
        assert line in shown


def in_a_terminal(folder: Path, **variables: str) -> str:
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "60", **variables}
    environment.pop("ANSIBLE_FORCE_COLOR", None)
    words = [str(BIN / "ansible-playbook"), "-i", "hosts", "book.yml"]
    return shown_in_terminal(words, folder, environment)


def test_in_a_terminal_phase_and_outcome_share_a_line(folder: Path) -> None:
    long = "The network is created, with a sentence that is longer than sixty characters"
    (folder / "book.yml").write_text(play("It serves", say("T", changed=True, actions=[long])))
    plain = in_a_terminal(folder, NO_COLOR="1")
    assert timeless(plain) == (
        "[1/1] It serves  changed N s\n"
        "      The network is created, with a sentence that is longer\n"
        "        than sixty characters\n"
    )
    assert "\x1b[" in in_a_terminal(folder)
