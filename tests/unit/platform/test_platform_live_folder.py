"""What nginx looks at for each request is never missing and never half-changed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.live_folder import LiveFolder, plan_completion, plan_maintenance
from ansible.module_utils.erni.service_apply import Transition
from ansible.module_utils.erni.service_spec import Folder
from platform_builders import ROOT, converged, service

FIRST, SECOND, THIRD = "0123456789ab", "ba9876543210", "cafecafecafe"


@pytest.fixture
def live(tmp_path: Path) -> LiveFolder:
    """On a host where nginx has not been set up."""
    return LiveFolder(str(tmp_path / "services" / "nginx" / "live"))


def tree(live: LiveFolder) -> dict[str, str]:
    """Every path below the folder: where a link leads, the mode of all else."""
    root = Path(live.path)
    return {
        str(path.relative_to(root)): os.readlink(path) if path.is_symlink() else f"{path.stat().st_mode & 0o777:o}"
        for path in sorted(root.rglob("*"))
    }


EMPTY = {
    "ids": "755",
    "ids/none": "755",
    "releases": "755",
    "releases/blue": "../ids/none",
    "releases/green": "../ids/none",
    "releases/none": "../ids/none",
}


def test_where_nothing_is_yet_blue_serves_without_a_name_and_users_are_let_in(live: LiveFolder) -> None:
    assert (live.slot(), live.release("blue"), live.release("green"), live.in_maintenance()) == ("blue", "", "", False)
    assert not os.path.exists(live.path), "to look changes nothing"


def test_all_that_nginx_may_resolve_is_made_and_open_to_its_user(live: LiveFolder) -> None:
    before = os.umask(0o077)
    try:
        live.complete()
    finally:
        os.umask(before)
    assert tree(live) == EMPTY
    assert all(Path(live.path, "releases", link).is_dir() for link in ("blue", "green", "none"))
    assert live.missing() == []


NAMED = EMPTY | {f"ids/{FIRST}": "755", "releases/blue": f"../ids/{FIRST}"}


@pytest.mark.parametrize(
    ("lost", "back"),
    [
        ("releases/green", NAMED),
        ("ids/none", NAMED),
        (f"ids/{FIRST}", NAMED),
        ("ids", NAMED),
        ("releases", EMPTY | {f"ids/{FIRST}": "755"}),
        (".", EMPTY),
    ],
)
def test_what_was_lost_is_told_and_comes_back(live: LiveFolder, lost: str, back: dict[str, str]) -> None:
    live.name_release("blue", FIRST)
    gone = Path(live.path, lost)
    if gone.is_symlink():
        gone.unlink()
    else:
        shutil.rmtree(gone)
    assert str(gone) in live.missing()
    live.complete()
    assert tree(live) == back
    assert live.missing() == []


def test_a_folder_that_was_closed_to_nginx_is_opened_again(live: LiveFolder) -> None:
    live.complete()
    os.chmod(os.path.join(live.path, "releases"), 0o700)
    live.complete()
    assert tree(live) == EMPTY


@pytest.mark.parametrize("first", ["blue", "green"])
@pytest.mark.parametrize("then", ["blue", "green"])
def test_a_switch_is_one_file_and_may_be_repeated(live: LiveFolder, first: str, then: str) -> None:
    live.switch(first)
    live.switch(then)
    assert live.slot() == then
    assert tree(live) == EMPTY | ({"green": "644"} if then == "green" else {})


def test_each_slot_has_its_own_release_and_keeps_it_over_a_switch(live: LiveFolder) -> None:
    live.name_release("blue", FIRST)
    live.name_release("green", SECOND)
    live.switch("green")
    assert (live.release("blue"), live.release("green")) == (FIRST, SECOND)
    assert os.path.realpath(os.path.join(live.path, "releases", "green")) == os.path.join(live.path, "ids", SECOND)


def test_the_name_of_a_release_that_no_slot_has_is_forgotten(live: LiveFolder) -> None:
    for release in (FIRST, SECOND, THIRD):
        live.name_release("blue", release)
    live.name_release("green", THIRD)
    assert tree(live) == EMPTY | {
        f"ids/{THIRD}": "755",
        "releases/blue": f"../ids/{THIRD}",
        "releases/green": f"../ids/{THIRD}",
    }
    live.name_release("blue", "")
    live.name_release("green", "")
    assert tree(live) == EMPTY


def test_a_release_that_is_named_already_is_not_named_again(live: LiveFolder) -> None:
    live.name_release("blue", FIRST)
    link = os.path.join(live.path, "releases", "blue")
    before = os.lstat(link).st_ino
    live.name_release("blue", FIRST)
    assert os.lstat(link).st_ino == before


REPLICAS = {"backend": [2], "frontend": [1]}


def test_how_many_replicas_there_are_comes_and_goes_with_the_release(live: LiveFolder) -> None:
    live.name_release("blue", FIRST, REPLICAS)
    live.name_release("green", SECOND)
    assert (live.replicas("blue"), live.replicas("green")) == ({"backend": [2]}, {})
    assert os.path.isfile(os.path.join(live.path, "releases", "blue", "backend_2")), "where nginx looks for it"
    live.name_release("blue", THIRD)
    assert live.replicas("blue") == {}
    assert f"ids/{FIRST}" not in tree(live)


@pytest.mark.parametrize("after", [{}, {"backend": [3]}, {"frontend": [2, 1]}])
def test_another_number_of_replicas_is_put_right_and_in_between_the_first_ones_are_asked(
    live: LiveFolder, monkeypatch: pytest.MonkeyPatch, after: dict[str, list[int]]
) -> None:
    live.name_release("blue", FIRST, REPLICAS)
    between, unlink = [], os.unlink

    def watched(path: str) -> None:
        unlink(path)
        between.append(live.replicas("blue"))

    monkeypatch.setattr(os, "unlink", watched)
    live.name_release("blue", FIRST, after)
    assert between == [{}]
    assert live.replicas("blue") == after


def test_whatever_else_lies_beside_a_release_is_no_number_of_replicas_and_stays(live: LiveFolder) -> None:
    live.name_release("blue", FIRST)
    mine = Path(live.path, "ids", FIRST, "backend_2.mine")
    mine.touch()
    assert live.replicas("blue") == {}
    live.name_release("blue", SECOND, REPLICAS)
    assert mine.exists()


@pytest.mark.parametrize("name", ["none", "../../tls", "0123456789AB", "0123456789", f"{FIRST}\n"])
def test_what_is_no_release_id_never_becomes_a_path(live: LiveFolder, name: str) -> None:
    with pytest.raises(PlatformError, match="names no release"):
        live.name_release("blue", name)
    assert not os.path.exists(live.path)


@pytest.mark.parametrize("slot", ["none", "", "Blue", "../green"])
def test_what_is_no_slot_is_refused(live: LiveFolder, slot: str) -> None:
    for change in (live.switch, live.release, lambda slot: live.name_release(slot, FIRST)):
        with pytest.raises(PlatformError, match="is no slot: there are blue and green"):
            change(slot)


def test_maintenance_is_one_file_that_a_switch_leaves_alone(live: LiveFolder) -> None:
    for _ in range(2):
        live.set_maintenance(True)
    live.switch("green")
    assert live.in_maintenance()
    for _ in range(2):
        live.set_maintenance(False)
    assert (live.in_maintenance(), live.slot()) == (False, "green")


@pytest.mark.parametrize("moment", ["open", "symlink", "rename", "rmdir"])
def test_a_run_that_is_killed_while_it_names_a_release_leaves_the_old_name_or_the_new_one(
    live: LiveFolder, moment: str
) -> None:
    live.name_release("blue", FIRST, {"backend": [3]})
    program = textwrap.dedent(
        f"""
        import os, signal, sys
        sys.path.insert(0, {str(ROOT / "module_utils")!r})
        from erni.live_folder import LiveFolder
        setattr(os, {moment!r}, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        LiveFolder({live.path!r}).name_release("blue", {SECOND!r}, {REPLICAS!r})
        """
    )
    run = subprocess.run([sys.executable, "-c", program], check=False)
    assert run.returncode == -signal.SIGKILL
    there = (live.release("blue"), live.replicas("blue"))
    assert there == ((SECOND, {"backend": [2]}) if moment == "rmdir" else (FIRST, {"backend": [3]}))
    assert live.missing() == []

    live.name_release("blue", SECOND, REPLICAS)
    named = {f"ids/{SECOND}": "755", f"ids/{SECOND}/backend_2": "644", "releases/blue": f"../ids/{SECOND}"}
    assert tree(live) == EMPTY | named


def test_a_reader_never_finds_a_slot_without_a_name(live: LiveFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    live.name_release("blue", FIRST)
    link = os.path.join(live.path, "releases", "blue")
    seen = []

    def watched(function: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            seen.append(os.path.basename(os.path.realpath(link, strict=True)))
            done = function(*arguments, **options)
            seen.append(os.path.basename(os.path.realpath(link, strict=True)))
            return done

        return call

    for step in ("mkdir", "symlink", "rename", "rmdir"):
        monkeypatch.setattr(os, step, watched(getattr(os, step)))
    live.name_release("blue", SECOND)
    assert seen == [FIRST] * 5 + [SECOND] * 3


@pytest.mark.skipif(os.getuid() != 0, reason="the candidate is given to another user")
def test_the_candidate_of_nginxs_configuration_holds_the_live_folder_as_it_is(live: LiveFolder, tmp_path: Path) -> None:
    live.name_release("green", FIRST)
    live.switch("green")
    root = os.path.dirname(live.path)
    spec = service(user="101:101", folders=(Folder(root, 0o700, True),), files=())

    Transition(None, spec, converged(spec))._write_candidate(root, str(tmp_path / "candidate"))

    copy = LiveFolder(str(tmp_path / "candidate" / "live"))
    assert tree(copy) == tree(live)
    assert (copy.slot(), copy.release("green"), copy.missing()) == ("green", FIRST, [])


def test_a_folder_that_is_complete_is_left_alone() -> None:
    plan = plan_completion("/live", [])
    assert (plan.actions, plan.differences) == ([], [])


def test_what_is_missing_is_shown_by_its_path() -> None:
    plan = plan_completion("/live", ["/live/ids/none"])
    assert plan.sentences == ["folder /live has what nginx looks at for each request"]
    assert plan.diff("live")["after"] == {"/live/ids/none": "present"}


@pytest.mark.parametrize(
    ("wanted", "observed", "sentences"),
    [
        (True, False, ["users are told of maintenance from now on"]),
        (False, True, ["users are let in again"]),
        (True, True, []),
        (False, False, []),
    ],
)
def test_maintenance_changes_only_when_it_is_not_as_wanted(wanted: bool, observed: bool, sentences: list[str]) -> None:
    plan = plan_maintenance(wanted, observed)
    assert plan.sentences == sentences
    assert len(plan.differences) == len(sentences)
