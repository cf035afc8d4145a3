"""Off-site copies with rclone and real servers: whole or not there, and no secret where somebody could read it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import offsite_copies, offsite_rclone
from ansible.module_utils.erni.backup_retention import RetentionRules
from ansible.module_utils.erni.backup_set import MANIFEST, Manifest, Part, StoredFile, set_id
from ansible.module_utils.erni.backup_store import PARTIAL, Lease, Store
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.files import digest
from ansible.module_utils.erni.host_lock import LOCK_FOLDER
from ansible.module_utils.erni.offsite_memory import recall
from ansible.module_utils.erni.offsite_plan import Policy
from ansible.module_utils.erni.offsite_rclone import Remote, check_host
from ansible.module_utils.erni.pipeline import measure
from offsite_targets import TARGETS, Place, another_key, s3

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_782_000_000.0
DAY = 86_400.0
FIRST, SECOND, THIRD = (set_id(NOW + number * DAY, "00aa") for number in range(3))
FILES = ("globals.sql.zst.age", "postgres.dump.zst.age", "vault.yml")
KEEP_ALL = Policy(RetentionRules(days=1000))
MINE = Lease("here", "ada", 1.0)
MEGABYTE = 1 << 20


@pytest.fixture(scope="session", autouse=True)
def the_s3_server_ends() -> Iterator[None]:
    yield
    s3.end()


@pytest.fixture(params=TARGETS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with TARGETS[request.param](tmp_path) as made:
        yield made


@pytest.fixture(params=["s3", "sftp"])
def far(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """One that is reached over a line."""
    with TARGETS[request.param](tmp_path) as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(str(tmp_path / "here" / "backups"))
    os.makedirs(made.folder, 0o700)
    return made


def make(store: Store, identifier: str, size: int = 3000, **changes: Any) -> Manifest:
    """A set of three files."""
    folder = Path(store.path(identifier))
    folder.mkdir(0o700)
    for name in FILES:
        (folder / name).write_bytes(os.urandom(size if name.startswith("postgres") else 1000))
    stored = [StoredFile(name, measure(str(folder / name)).size, measure(str(folder / name)).sha256) for name in FILES]
    parts = (Part("postgres", "one", NOW, 1.0, tuple(stored[:2])), Part("secrets", "one", NOW, 0.0, tuple(stored[2:])))
    manifest = Manifest(identifier, "local", "erni", _began(identifier), 1.0, "ada", "", parts, NOW, ("age1x",))
    manifest = replace(manifest, **changes)
    (folder / MANIFEST).write_text(manifest.as_json())
    return manifest


def _began(identifier: str) -> float:
    return {FIRST: NOW, SECOND: NOW + DAY, THIRD: NOW + 2 * DAY}[identifier]


def remote(place: Place, **changes: Any) -> Remote:
    return Remote(replace(place.target, **changes), "local")


def push(store: Store, place: Place, policy: Policy = KEEP_ALL, **changes: Any) -> list[str]:
    return offsite_copies.push(store, remote(place, **changes), policy, False).actions


def visible(place: Place) -> list[str]:
    return sorted(remote(place).held().manifests)


def stored(place: Place, identifier: str) -> list[str]:
    return [name.split("/")[2] for name in place.names() if name.startswith(f"local/{identifier}/")]


def content(folder: str) -> dict[str, str]:
    return {name: measure(os.path.join(folder, name)).sha256 for name in sorted(os.listdir(folder))}


def test_a_set_comes_back_as_it_went(place: Place, store: Store, tmp_path: Path) -> None:
    first, second = make(store, FIRST), make(store, SECOND, 2 * MEGABYTE)
    before = content(store.path(SECOND))

    assert [action.split()[1] for action in push(store, place)] == [SECOND, FIRST], "the newest first"

    assert stored(place, SECOND) == sorted([*FILES, MANIFEST])
    assert remote(place).held().manifests == {FIRST: first, SECOND: second}
    assert content(store.path(SECOND)) == before, "what is here stays as it is"
    bare = Store(str(tmp_path / "bare" / "backups"))
    offsite_copies.fetch(bare, remote(place), second, MINE)
    assert content(bare.path(SECOND)) == before
    assert bare.damage(bare.manifest(SECOND)) == []
    assert os.listdir(os.path.join(bare.folder, PARTIAL)) == []
    assert os.stat(bare.path(SECOND)).st_mode & 0o777 == 0o700
    assert {os.stat(path).st_mode & 0o777 for path in Path(bare.path(SECOND)).iterdir()} == {0o600}


def test_a_second_push_sends_nothing_even_where_all_is_read_again(place: Place, store: Store) -> None:
    make(store, FIRST)
    push(store, place)
    written, sent = place.names(), place.counted()
    assert push(store, place) == []
    assert push(store, place, reread_days=7) == []
    assert (place.names(), place.counted()) == (written, sent)


def test_a_push_says_for_prometheus_when_all_was_there_and_how_many(place: Place, store: Store) -> None:
    make(store, FIRST)
    make(store, SECOND)
    push(store, place)
    figures = Path(store.folder).parent.joinpath("metrics", "erni_backup_offsite.prom").read_text()
    assert 'erni_backup_offsite_sets{environment="local"} 2.0' in figures
    told = re.search(r"last_success_timestamp_seconds\{environment=\"local\"\} (\S+)", figures)
    assert told is not None
    assert abs(float(told[1]) - time.time()) < 60


HARMS = ("flipped", "cut", "gone", "manifest", "manifest cut", "manifest gone")


@pytest.mark.parametrize(
    ("place", "harm"),
    [*(("folder", harm) for harm in HARMS), ("s3", "flipped"), ("s3", "gone"), ("s3", "manifest"), ("sftp", "flipped")],
    indirect=["place"],
)
def test_what_is_damaged_there_is_found_and_sent_again(place: Place, store: Store, harm: str) -> None:
    make(store, FIRST)
    push(store, place)
    name = f"local/{FIRST}/{MANIFEST if harm.startswith('manifest') else FILES[1]}"
    whole = place.read(name)
    assert whole is not None
    flipped = bytes([*whole[:-1], whole[-1] ^ 1])
    match harm:
        case "flipped":
            place.write(name, flipped)
        case "cut" | "manifest cut":
            place.write(name, whole[:500])
        case "manifest":
            place.write(name, whole.replace(b'"ada"', b'"eve"'))
        case _:
            _forget(place, name)
    assert [action.split()[1] for action in push(store, place)] == [FIRST]
    assert place.read(name) == whole
    assert push(store, place) == []


def _forget(place: Place, name: str) -> None:
    _, identifier, file = name.split("/")
    remote(place)._rclone(("deletefile", remote(place)._path(identifier, file)))
    assert not place.has(name)


def test_what_was_read_back_lately_is_believed_for_some_days(place: Place, store: Store) -> None:
    make(store, FIRST)
    push(store, place)
    name = f"local/{FIRST}/{FILES[1]}"
    whole = place.read(name)
    assert whole is not None
    place.write(name, bytes([*whole[:-1], whole[-1] ^ 1]))
    assert push(store, place, reread_days=7) == []
    late = time.time() + 8 * DAY
    told = offsite_copies.push(store, remote(place, reread_days=7), KEEP_ALL, False, now=lambda: late)
    assert len(told.actions) == 1
    assert place.read(name) == whole


def test_a_check_tells_what_would_be_sent_and_sends_nothing(place: Place, store: Store) -> None:
    make(store, FIRST)
    told = offsite_copies.push(store, remote(place), KEEP_ALL, True, SECOND)
    assert told.actions == [f"set {SECOND} is copied off-site", f"set {FIRST} is copied off-site (5.0 kB)"]
    assert place.names() == []
    assert os.listdir(store.folder) == [FIRST]


def test_a_set_that_is_damaged_here_is_not_sent_and_keeps_no_other_from_it(place: Place, store: Store) -> None:
    make(store, FIRST)
    make(store, SECOND)
    Path(store.path(SECOND), FILES[0]).write_text("x")
    with pytest.raises(PlatformError, match=rf"{FILES[0]} of set {SECOND} is damaged on this host.*others are there"):
        push(store, place)
    assert visible(place) == [FIRST]
    assert stored(place, SECOND) == []


def test_a_file_that_a_bucket_takes_in_pieces_comes_back_whole(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 200 MB on; here from 10 MB."""
    monkeypatch.setattr(offsite_rclone, "QUIET", (*offsite_rclone.QUIET, "--s3-upload-cutoff", "10M"))
    make(store, FIRST, 30 * MEGABYTE)
    with TARGETS["s3"](tmp_path) as place:
        assert len(push(store, place)) == 1
        assert place.counted() > len(FILES) + 1, "it went in pieces"
        assert push(store, place) == []


# A target that goes away


def test_a_line_that_is_cut_leaves_no_half_of_a_set_and_the_next_run_completes_it(far: Place, store: Store) -> None:
    make(store, FIRST)
    push(store, far)
    make(store, SECOND, 30 * MEGABYTE)
    before = content(store.path(SECOND))
    assert far.line is not None
    far.line.cut_after(10 * MEGABYTE)
    with pytest.raises(PlatformError, match=f"Set {SECOND} could not be copied off-site: .*Run make backup again"):
        push(store, far)
    assert far.line.cut.is_set()
    far.line.mend()
    assert visible(far) == [FIRST]
    assert content(store.path(SECOND)) == before
    push(store, far)
    assert visible(far) == [FIRST, SECOND]
    assert push(store, far) == []


def test_a_target_that_does_not_answer_is_a_sentence_within_a_minute(far: Place, store: Store) -> None:
    make(store, FIRST)
    assert far.line is not None
    far.line.close()
    began = time.monotonic()
    with pytest.raises(PlatformError, match=r"The off-site target, .*127\.0\.0\.1:\d+, does not do what it is asked"):
        push(store, far)
    assert time.monotonic() - began < 60


def test_a_target_that_has_fallen_silent_is_a_sentence_too(
    far: Place, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rclone gives up by itself after some tries, and is ended where it does not."""
    monkeypatch.setattr(offsite_rclone, "ASKING_SECONDS", 5.0)
    make(store, FIRST)
    assert far.line is not None
    far.line.hold_after(0)
    with pytest.raises(PlatformError, match="does not do what it is asked: it was not done after 5 s"):
        push(store, far)
    assert far.line.held.is_set()
    far.line.mend()


def test_pushes_that_are_killed_after_each_file_complete_a_set_together(place: Place, store: Store) -> None:
    make(store, FIRST)
    for sent in range(1, 5):
        assert pusher(store, place, 1).wait(60) == -signal.SIGKILL
        assert stored(place, FIRST) == sorted([*FILES, MANIFEST][:sent])
        assert visible(place) == ([FIRST] if sent == 4 else [])
    assert push(store, place) == []
    assert visible(place) == [FIRST]


def test_a_push_that_is_killed_in_the_middle_of_a_file_leaves_nothing_that_goes_on(far: Place, store: Store) -> None:
    make(store, FIRST, 30 * MEGABYTE)
    assert far.line is not None
    far.line.hold_after(10 * MEGABYTE)
    process = pusher(store, far, 9)
    assert far.line.held.wait(60)
    process.kill()
    process.wait(10)
    deadline = time.monotonic() + 10
    while left := in_session(process.pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    far.line.mend()
    assert visible(far) == []
    push(store, far)
    assert visible(far) == [FIRST]
    assert push(store, far) == []


PUSHER = """
import json, os, signal, sys
import ansible.module_utils
ansible.module_utils.__path__.append(sys.argv[1])
from ansible.module_utils.erni import offsite_copies, offsite_rclone
from ansible.module_utils.erni.backup_retention import RetentionRules
from ansible.module_utils.erni.backup_store import Store
from ansible.module_utils.erni.offsite_plan import Policy
from ansible.module_utils.erni.offsite_settings import Target
told = json.load(sys.stdin)
send, sent = offsite_rclone.Remote.send, []
def counted(*words):
    send(*words)
    sent.append(words)
    if len(sent) == told["kill_after"]:
        os.kill(os.getpid(), signal.SIGKILL)
offsite_rclone.Remote.send = counted
remote = offsite_rclone.Remote(Target(**told["target"]), "local")
offsite_copies.push(Store(told["folder"]), remote, Policy(RetentionRules(days=1000)), False)
"""


def pusher(store: Store, place: Place, kill_after: int) -> subprocess.Popen[bytes]:
    """A push in a process and a session of its own, which kills itself after so many files."""
    process = subprocess.Popen(
        [sys.executable, "-c", PUSHER, str(ROOT / "module_utils")], stdin=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None
    told = {"target": vars(place.target), "folder": store.folder, "kill_after": kill_after}
    process.stdin.write(json.dumps(told).encode())
    process.stdin.close()
    return process


def in_session(session: int) -> list[int]:
    """Processes of the session that still run."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[3]) == session and words[0] != "Z":
            found.append(int(name))
    return found


# Who may, and what they may see


def test_another_hosts_key_is_refused_before_anything_is_sent(tmp_path: Path, store: Store) -> None:
    make(store, FIRST)
    with TARGETS["sftp"](tmp_path) as place:
        _, public = another_key(tmp_path)
        wrong = f"{place.target.known_hosts.split()[0]} {public}"
        with pytest.raises(PlatformError, match="key mismatch"):
            push(store, place, known_hosts=wrong)
        assert place.names() == []


def test_a_wrong_secret_is_refused_in_a_sentence_that_does_not_show_it(
    far: Place, tmp_path: Path, store: Store
) -> None:
    make(store, FIRST)
    wrong = another_key(tmp_path)[0] if far.target.type == "sftp" else "not-the-secret-of-this-bucket"
    with pytest.raises(PlatformError, match=r"SignatureDoesNotMatch|unable to authenticate") as refused:
        push(store, far, secret=wrong)
    assert [line for line in wrong.splitlines() if len(line) > 8 and line in str(refused.value)] == []
    assert far.names() == []


def test_a_bucket_that_is_not_there_is_a_sentence(tmp_path: Path, store: Store) -> None:
    make(store, FIRST)
    with TARGETS["s3"](tmp_path) as place, pytest.raises(PlatformError, match="not found"):
        push(store, place, bucket="another-bucket")


def test_a_secret_is_in_no_argument_and_in_no_file_while_a_set_is_sent(
    far: Place, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(store, FIRST, 30 * MEGABYTE)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    secret = max(far.target.secret.splitlines(), key=len)
    assert far.line is not None
    far.line.hold_after(10 * MEGABYTE)
    process = pusher(store, far, 9)
    try:
        assert far.line.held.wait(60)
        members = in_session(process.pid)
        arguments = b"".join(Path("/proc", str(pid), "cmdline").read_bytes() for pid in members)
        assert b"rclone" in arguments
        assert secret.encode() not in arguments
        files = [path for folder in ("here", "temporary") for path in (tmp_path / folder).rglob("*") if path.is_file()]
        assert files
        assert [path for path in files if secret.encode() in path.read_bytes()] == []
    finally:
        far.line.mend()
        assert process.wait(60) == 0
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_bucket_that_needs_a_certificate_authoritys_file_of_the_hosts_own_environment_is_not_misled(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rclone 1.60 does not start with AWS_CA_BUNDLE, and takes its target from any RCLONE_CONFIG_… that it finds."""
    monkeypatch.setenv("AWS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")
    monkeypatch.setenv("RCLONE_CONFIG_OFFSITE_ACCESS_KEY_ID", "another")
    make(store, FIRST)
    with TARGETS["s3"](tmp_path) as place:
        assert len(push(store, place)) == 1


# Sets of others, retention, fetching


def test_a_set_of_another_environment_is_never_listed_sent_over_or_removed(place: Place, store: Store) -> None:
    foreign = make(store, FIRST, environment="production")
    for name in (*FILES, MANIFEST):
        place.write(f"local/{FIRST}/{name}", Path(store.path(FIRST), name).read_bytes())
        place.write(f"production/{FIRST}/{name}", Path(store.path(FIRST), name).read_bytes())
    manifest = replace(foreign, environment="local")
    Path(store.path(FIRST), MANIFEST).write_text(manifest.as_json())
    before = place.names()

    assert visible(place) == []
    told = offsite_copies.push(store, remote(place), KEEP_ALL, False)
    assert told.actions == []
    assert [FIRST in warning for warning in told.warnings] == [True]
    strict = Policy(RetentionRules(0, 0, 0, 0, 1))
    make(store, SECOND)
    push(store, place, strict)
    offsite_copies.prune(store, remote(place), strict, False, NOW + 900 * DAY)
    assert [name for name in place.names() if SECOND not in name] == before
    with pytest.raises(PlatformError, match=f"There is no set {FIRST} off-site"):
        offsite_copies.chosen(remote(place).held(), FIRST, "there")


def test_what_no_rule_keeps_is_removed_there_once_and_not_sent_again(place: Place, store: Store) -> None:
    for identifier in (FIRST, SECOND, THIRD):
        make(store, identifier)
    push(store, place)
    strict = Policy(RetentionRules(0, 0, 0, 0, 2))
    told = offsite_copies.prune(store, remote(place), strict, False, NOW)
    assert told.actions == [f"Set {FIRST} is removed off-site: no rule keeps it."]
    assert stored(place, FIRST) == []
    assert visible(place) == [SECOND, THIRD]
    assert push(store, place, strict) == []
    assert recall(store.folder, place.target.where).sets == 2
    assert offsite_copies.prune(store, remote(place), strict, False, NOW).actions == []


def test_a_removal_that_is_killed_leaves_no_set_and_its_remains_go_a_day_later(place: Place, store: Store) -> None:
    make(store, FIRST)
    make(store, SECOND)
    push(store, place)
    remote(place).remove_manifest(FIRST)
    assert visible(place) == [SECOND]
    store.remove(FIRST)
    strict = Policy(RetentionRules(0, 0, 0, 0, 1))
    assert offsite_copies.prune(store, remote(place), strict, False, _began(FIRST) + DAY / 2).actions == []
    told = offsite_copies.prune(store, remote(place), strict, False, _began(FIRST) + 2 * DAY)
    assert told.actions == [f"What is left of set {FIRST} off-site is removed."]
    assert stored(place, FIRST) == []
    assert stored(place, SECOND) == sorted([*FILES, MANIFEST])


@pytest.mark.parametrize(
    ("place", "harm"),
    [("folder", "flipped"), ("folder", "cut"), ("folder", "gone"), ("s3", "cut"), ("s3", "gone"), ("sftp", "gone")],
    indirect=["place"],
)
def test_a_set_that_is_damaged_there_is_not_fetched_and_leaves_nothing_here(
    place: Place, store: Store, tmp_path: Path, harm: str
) -> None:
    manifest = make(store, FIRST)
    push(store, place)
    name = f"local/{FIRST}/{FILES[2]}"
    whole = place.read(name)
    assert whole is not None
    match harm:
        case "flipped":
            place.write(name, bytes([*whole[:-1], whole[-1] ^ 1]))
        case "cut":
            place.write(name, whole[:-1])
        case _:
            _forget(place, name)
    bare = Store(str(tmp_path / "bare" / "backups"))
    with pytest.raises(PlatformError, match=r"is damaged off-site|not found"):
        offsite_copies.fetch(bare, remote(place), manifest, MINE)
    assert bare.identifiers() == []
    assert os.listdir(os.path.join(bare.folder, PARTIAL)) == []


def test_only_a_set_that_is_not_here_is_fetched_and_of_those_the_newest_whole_one(place: Place, store: Store) -> None:
    make(store, FIRST)
    make(store, SECOND)
    push(store, place)
    assert not offsite_copies.needed_from_there(store, "")
    assert not offsite_copies.needed_from_there(store, FIRST)
    assert offsite_copies.needed_from_there(store, THIRD)
    assert offsite_copies.needed_from_there(Store(store.folder + "-other"), "")
    assert offsite_copies.chosen(remote(place).held(), "", "there").id == SECOND
    _forget(place, f"local/{SECOND}/{FILES[0]}")
    assert offsite_copies.chosen(remote(place).held(), "", "there").id == FIRST


def test_a_manifest_that_names_a_file_outside_of_its_set_is_no_set(place: Place, store: Store) -> None:
    part = Part("postgres", "one", NOW, 1.0, (StoredFile("../../evil", 1, digest("x")),))
    manifest = replace(make(store, FIRST), parts=(part,))
    place.write(f"local/{FIRST}/{MANIFEST}", manifest.as_json().encode())
    assert visible(place) == []


def test_unencrypted_sets_stay_here_where_only_encrypted_ones_may_leave(place: Place, store: Store) -> None:
    make(store, FIRST, recipients=())
    make(store, SECOND)
    only = replace(KEEP_ALL, encrypted_only=True)
    assert [action.split()[1] for action in push(store, place, only)] == [SECOND]
    assert stored(place, FIRST) == []
    make(store, THIRD, recipients=())
    with pytest.raises(PlatformError, match="The newest set was not copied off-site: it is not encrypted"):
        push(store, place, only)


def test_a_folder_on_which_nothing_is_mounted_is_refused(tmp_path: Path, store: Store) -> None:
    with TARGETS["folder"](tmp_path) as place:
        check_host(place.target, store.folder)
        with pytest.raises(PlatformError, match="is not mounted: it is on the same disk as the sets"):
            check_host(replace(place.target, mounted=True), store.folder)
        with pytest.raises(PlatformError, match="is not there: no such folder"):
            check_host(replace(place.target, path="/nowhere/at/all"), store.folder)
    check_host(replace(place.target, path="/dev/shm", mounted=True), store.folder)


# As the role runs it

PLAY = """
- hosts: postgres[0]
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: backup, tasks_from: %s}
"""


def play(tmp_path: Path, store: Store, place: Place, tasks: str, *flags: str, **further: Any) -> tuple[int, str]:
    """How it ended, and all that it said, however much it was asked to say."""
    inventory = tmp_path / "inventory"
    (inventory / "group_vars").mkdir(parents=True, exist_ok=True)
    if not (inventory / "group_vars" / "all").exists():
        (inventory / "group_vars" / "all").symlink_to(ROOT / "group_vars" / "all")
    (inventory / "hosts.yml").write_text("postgres: {hosts: {localhost: {ansible_connection: local}}}\n")
    (tmp_path / "play.yml").write_text(PLAY % tasks)
    kinds = {"endpoint", "bucket", "access_key_id", "region", "type", "path"}
    settings = {name: value for name, value in vars(place.target).items() if name in kinds} | {"reread_days": 0}
    variables = {
        "ansible_python_interpreter": sys.executable,
        "erni_env": "local",
        "platform_name": f"erni-test-{digest(store.folder)[:8]}",
        "platform_environment": "development",
        "backup_folder": store.folder,
        "backup_offsite": settings,
        "erni_secrets": {"backup_offsite_s3_secret_key": place.target.secret},
        "__backup_begin": {"needed": False, "actions": ["It is fresh."]},
        **further,
    }
    secret_file = tmp_path / "variables.json"
    secret_file.write_text(json.dumps(variables))
    words = ["ansible-playbook", "-i", str(inventory), str(tmp_path / "play.yml"), "-e", f"@{secret_file}", *flags]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=120)
    return ended.returncode, ended.stdout + ended.stderr


def test_the_role_copies_shows_and_fetches_sets_without_showing_its_secret(store: Store, tmp_path: Path) -> None:
    make(store, FIRST)
    with TARGETS["s3"](tmp_path) as place:
        told = [play(tmp_path, store, place, "publish", "--check")]
        assert place.names() == []
        told.append(play(tmp_path, store, place, "publish", "-vvv"))
        assert f"set {FIRST} is copied off-site" in told[0][1]
        assert f"Set {FIRST} is copied off-site, read back and compared" in told[1][1]
        assert visible(place) == [FIRST]
        told.append(play(tmp_path, store, place, "publish"))
        assert "is copied off-site" not in told[2][1]
        os.rename(store.path(FIRST), tmp_path / "aside")
        told.append(play(tmp_path, store, place, "backups"))
        assert re.search(rf"{FIRST} +off-site", told[3][1])
        told.append(play(tmp_path, store, place, "fetch", "-vvv"))
        assert content(store.path(FIRST)) == content(str(tmp_path / "aside"))
        assert [code for code, _ in told] == [0] * 5, told
        assert place.line is not None
        place.line.close()
        told.append(play(tmp_path, store, place, "backups"))
        assert told[-1][0] == 0
        assert "Which sets are off-site is not known" in " ".join(told[-1][1].split())
        assert FIRST in told[-1][1]
        make(store, SECOND)
        told.append(play(tmp_path, store, place, "publish", "-vvv"))
        assert told[-1][0] == 2
        assert "does not do what it is asked" in " ".join(told[-1][1].split())
        assert [said for _, said in told if place.target.secret in said] == []
    Path(LOCK_FOLDER, f"erni-host-erni-test-{digest(store.folder)[:8]}-offsite.lock").unlink()
