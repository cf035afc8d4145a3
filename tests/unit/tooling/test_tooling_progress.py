"""Long work shows how far it has come: in a log on a line every ten seconds, in a terminal on one that is rewritten."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_project import BIN, ROOT, Project, shown_in_terminal

# Stands in for a module that works long: it says so, and its time is what the test gives it.
SLOW = """#!/usr/bin/python
import os
import time
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni.progress import Progress

module = AnsibleModule(
    {
        "seconds": {"type": "float", "required": True},
        "end": {"type": "str", "default": ""},
        "progress": {"type": "str", "default": ""},
    },
    supports_check_mode=True,
)
seconds, end = module.params["seconds"], module.params["end"]
with open("paths", "a") as file:  # beside the playbook
    file.write(module.params["progress"] + "\\n")
if end == "late":
    time.sleep(2.5)
with Progress(module.params["progress"], "postgres") as progress:
    began = time.monotonic()
    with progress.phase("dumping", round(seconds * 100e6)) as tell:
        while not module.check_mode and (now := time.monotonic() - began) < seconds:
            if end == "garbled":
                with open(module.params["progress"], "w") as file:
                    file.write('{"phase": ')
            else:
                tell(round(now * 100e6))
            time.sleep(0.05)
    if end == "killed":
        os.kill(os.getpid(), 9)
    if end == "failed":
        module.fail_json(msg="The disk is full.")
module.exit_json(changed=True, actions=["a set is made"])
"""
PLUGIN = ROOT / "plugins" / "action" / "with_progress.py"
LINE = re.compile(r"^ +(?:(\w+): )?postgres: dumping, .* of 2\.2 GB, ([\d.]+) MB/s, (\d+) s left$", re.MULTILINE)


@pytest.fixture
def folder(project: Project) -> Path:
    (project.folder / "library").unlink()
    (project.folder / "library").mkdir()
    (project.folder / "library" / "slow.py").write_text(SLOW)
    (project.folder / "plugins").unlink()
    (project.folder / "plugins").mkdir()
    for name in ("callback", "filter"):
        (project.folder / "plugins" / name).symlink_to(ROOT / "plugins" / name)
    (project.folder / "plugins" / "action").mkdir()
    (project.folder / "plugins" / "action" / "slow.py").symlink_to(PLUGIN)
    (project.folder / "hosts").write_text("[one]\nhere ansible_connection=local\n[two]\nhere\nthere\n"
                                          "[two:vars]\nansible_connection=local\n")  # fmt: skip
    return project.folder


@pytest.fixture
def impatient(folder: Path) -> Path:
    """The same with looks that follow each other sooner, so that not every test lasts as long as a log's line."""
    text = PLUGIN.read_text()
    assert text.count("LOOK_SECONDS = 2.0\n") == 1
    (folder / "plugins" / "action" / "slow.py").unlink()
    (folder / "plugins" / "action" / "slow.py").write_text(text.replace("LOOK_SECONDS = 2.0\n", "LOOK_SECONDS = 0.6\n"))
    return folder


@pytest.fixture(autouse=True)
def nothing_is_left(folder: Path) -> Iterator[None]:
    yield
    told = folder / "paths"
    paths = [Path(path) for path in told.read_text().split()] if told.exists() else []
    assert [path for path in paths if path.exists() or Path(f"{path}.new").exists()] == []


def play(folder: Path, *tasks: dict[str, object], hosts: str = "one") -> None:
    (folder / "book.yml").write_text(json.dumps([{"name": "It is made", "hosts": hosts, "tasks": list(tasks)}]))


def slow(seconds: float | str, end: str = "") -> dict[str, object]:
    return {"name": "A set", "slow": {"seconds": seconds, "end": end}}


def words(*flags: str) -> list[str]:
    interpreter = f"ansible_python_interpreter={BIN / 'python'}"
    return [str(BIN / "ansible-playbook"), "-i", "hosts", "book.yml", "-e", interpreter, *flags]


def run(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"}
    return subprocess.run(words(*flags), cwd=folder, env=environment, capture_output=True, text=True, check=False)


def in_a_terminal(folder: Path, columns: int) -> str:
    settings = {"ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "NO_COLOR": "1"}
    environment = {**os.environ, **settings, "TERM": "xterm", "COLUMNS": str(columns)}
    environment.pop("ANSIBLE_FORCE_COLOR", None)
    return shown_in_terminal(words(), folder, environment)


@pytest.mark.slow
def test_in_a_log_a_line_every_ten_seconds_says_how_fast_it_goes_and_how_long_it_takes(folder: Path) -> None:
    play(folder, slow(22), hosts="two")
    done = run(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = LINE.findall(done.stdout)
    assert sorted(host for host, _rate, _left in lines) == ["here", "here", "there", "there"]
    assert all(80 <= float(rate) <= 120 for _host, rate, _left in lines)
    for host in ("here", "there"):
        first, second = (int(left) for name, _rate, left in lines if name == host)
        assert 22 >= first >= second + 5 >= 5
    assert done.stdout.splitlines()[0] == "[1/1] It is made"
    assert len(done.stdout.splitlines()) == 1 + len(lines) + 3, done.stdout
    assert "\r" not in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("columns", [60, 34])
def test_in_a_terminal_one_line_is_rewritten_and_goes_with_the_work(impatient: Path, columns: int) -> None:
    play(impatient, slow(3))
    shown = in_a_terminal(impatient, columns)
    head, *rows, rest = shown.split("\r\x1b[K")
    assert head == "[1/1] It is made\n"
    assert 2 <= len(rows) <= 10, shown
    assert all("\n" not in row and len(row) < columns for row in rows)
    assert all(row.startswith("      postgres: dumping") for row in rows)
    assert re.fullmatch(r"      changed +\d+\.\d s\n      a set is made\n", rest)
    if columns == 60:
        assert re.fullmatch(r"      postgres: dumping, [\d.]+ of 300 MB, [\d.]+ MB/s, \d s left", rows[-1])
    else:
        assert rows[-1].endswith("…")


def test_in_a_terminal_several_hosts_share_the_line_until_each_has_done_its_work(impatient: Path) -> None:
    play(impatient, slow("{{ 2 if inventory_hostname == 'here' else 6 }}"), hosts="two")
    rows = in_a_terminal(impatient, 200).split("\r\x1b[K")[1:-1]
    assert any(" here: postgres: dumping" in row and " there: postgres: dumping" in row for row in rows), rows
    assert "here: " not in rows[-1].replace("there: ", "")
    assert "there: postgres: dumping, " in rows[-1]


def test_work_that_says_something_late_is_shown_from_then_on(impatient: Path) -> None:
    play(impatient, slow(2, "late"))
    assert "postgres: dumping, " in in_a_terminal(impatient, 80)


def test_work_that_is_soon_done_shows_nothing(folder: Path) -> None:
    play(folder, slow(0))
    assert re.fullmatch(r"\[1/1\] It is made  changed \d\.\d s\n      a set is made\n", in_a_terminal(folder, 80))


def test_a_check_shows_nothing_and_writes_nothing(folder: Path) -> None:
    play(folder, slow(60))
    done = run(folder, "--check")
    assert (folder / "paths").read_text() == "\n", "nowhere"
    assert done.stdout.splitlines()[2:] == ["      would: a set is made"]


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("failed", ["      failed on here: A set", "        The disk is full."]),
        (
            "killed",
            [
                "      failed on here: A set",
                "        Module result deserialization failed: No start of json char found",
                "        Killed",
                "        Run again with V=3 for the whole output.",
            ],
        ),
    ],
)
def test_work_that_fails_says_why_as_ever(impatient: Path, end: str, said: list[str]) -> None:
    play(impatient, slow(1.5, end))
    done = run(impatient)
    assert done.returncode == 2
    assert done.stdout.splitlines()[1:-1] == said
    assert done.stderr == ""


def test_a_file_that_says_nothing_leaves_the_run_as_it_was(impatient: Path) -> None:
    play(impatient, slow(2, "garbled"))
    done = run(impatient)
    assert done.returncode == 0
    assert [done.stdout.splitlines()[0], *done.stdout.splitlines()[2:]] == ["[1/1] It is made", "      a set is made"]


REFUSES = """
        if "cat /tmp/erni-progress" in cmd:
            raise AnsibleConnectionFailure("one at a time")
        return super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
"""
IS_ONE_AT_A_TIME = """
        if self.busy:
            pathlib.Path("/proc/self/cwd", "shared").touch()
        self.busy = True
        try:
            return super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        finally:
            self.busy = False
"""


def connect_by(folder: Path, how: str) -> None:
    """The host is reached by a connection plugin that executes a command as ``how`` says."""
    (folder / "connection").mkdir()
    (folder / "connection" / "peculiar.py").write_text(
        "import pathlib\n"
        "from ansible.errors import AnsibleConnectionFailure\n"
        "from ansible.plugins.connection.local import DOCUMENTATION, Connection as Local\n"
        "DOCUMENTATION = DOCUMENTATION.replace('name: local', 'name: peculiar')\n"
        "class Connection(Local):\n"
        "    transport, busy = 'peculiar', False\n"
        f"    def exec_command(self, cmd, in_data=None, sudoable=True):{how}"
    )
    settings = (folder / "ansible.cfg").read_text()
    settings = settings.replace("[defaults]\n", "[defaults]\nconnection_plugins = connection\n", 1)
    (folder / "ansible.cfg").write_text(settings)
    (folder / "hosts").write_text("[one]\nhere ansible_connection=peculiar\n")


def test_a_host_that_cannot_be_asked_meanwhile_leaves_the_run_as_it_was(impatient: Path) -> None:
    connect_by(impatient, REFUSES)
    play(impatient, slow(3))
    done = run(impatient)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [done.stdout.splitlines()[0], *done.stdout.splitlines()[2:]] == ["[1/1] It is made", "      a set is made"]
    assert done.stderr == ""


def test_what_carries_the_work_carries_nothing_else_meanwhile(impatient: Path) -> None:
    connect_by(impatient, IS_ONE_AT_A_TIME)
    play(impatient, slow(3))
    assert "postgres: dumping, " in in_a_terminal(impatient, 80)
    assert not (impatient / "shared").exists()


def test_items_of_a_loop_are_each_told_for_themselves(impatient: Path) -> None:
    play(impatient, slow(1.9) | {"loop": [1, 2]})
    rows = in_a_terminal(impatient, 80).split("\r\x1b[K")[1:-1]
    with_rate = ["MB/s" in row for row in rows]
    assert with_rate.index(False, with_rate.index(True)) > 0, "the second one has no rate of the first"


@pytest.mark.slow
def test_when_everything_is_shown_it_is_a_line_like_others(folder: Path) -> None:
    play(folder, slow(12))
    shown = run(folder, "-v").stdout
    assert len(re.findall(r"^ +postgres: dumping, .* of 1\.2 GB, ", shown, re.MULTILINE)) == 1
    assert "ASYNC POLL" not in shown


LINKED = sorted(path for path in (ROOT / "plugins" / "action").iterdir() if path.is_symlink())


@pytest.mark.parametrize("link", LINKED, ids=lambda path: path.stem)
def test_every_module_that_is_watched_takes_the_file_to_tell_it_in(link: Path) -> None:
    assert link.resolve().name == "with_progress.py"
    spec = importlib.util.spec_from_file_location("watched", ROOT / "library" / link.name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.ARGUMENT_SPEC["progress"] == {"type": "str", "default": ""}


def test_there_are_modules_that_are_watched() -> None:
    assert {link.stem for link in LINKED} >= {"backup_part", "backup_set"}
