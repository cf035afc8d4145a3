"""A release's files come from real repositories: the commit's, exactly, whatever happened to the copy before."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import build_context, git_mirror, release_tree
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.release_tree import KEPT_TREES, obtain, surplus_trees
from product_repository import Product, trees
from small_project import ROOT

pytestmark = pytest.mark.usefixtures("no_git_configuration")


@pytest.fixture
def get(product: Product, sources: Path) -> Any:
    return lambda name, repository=str(product.folder): obtain(repository, name, str(sources), "/")


def files(folder: str | Path) -> dict[str, str]:
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


def test_a_branch_a_tag_and_a_commit_lead_to_the_commits_files(product: Product, sources: Path, get: Any) -> None:
    product.git("tag", "light")
    product.git("tag", "--annotate", "--message", "x", "heavy")
    product.git("branch", "feature/new")
    names = ["main", "feature/new", "refs/heads/main", "light", "heavy", product.first, product.first[:9]]
    assert {get(name).commit for name in names} == {product.first}
    source = get("main")
    assert source.folder == str(sources / "trees" / product.first)
    assert source.schema == f"{source.folder}/scripts/init_db.sql"
    assert sorted(files(source.folder)) == ["python-backend/Dockerfile", "scripts/init_db.sql", "ui/Dockerfile"]


def test_a_branch_is_looked_up_anew_each_time_even_when_its_history_was_rewritten(product: Product, get: Any) -> None:
    assert get("main").commit == product.first
    product.git("commit", "--quiet", "--amend", "--message", "another history")
    assert get("main").commit == product.git("rev-parse", "main") != product.first


def test_a_deleted_branch_makes_room_for_one_below_its_name(product: Product, get: Any) -> None:
    product.git("branch", "topic")
    get("topic")
    product.git("branch", "--delete", "topic")
    with pytest.raises(PlatformError, match=r"no branch, tag or commit 'topic'.*was asked just now"):
        get("topic")
    product.git("branch", "topic/deeper")
    assert get("topic/deeper").commit == product.first


def test_a_commit_that_is_here_already_needs_no_network(product: Product, get: Any, tmp_path: Path) -> None:
    get("main")
    product.folder.rename(tmp_path / "away")
    assert get(product.first).commit == product.first
    with pytest.raises(PlatformError, match=r"^The repository .*/product cannot be read: .*Check release_repository"):
        get("main")


def test_a_commit_that_no_branch_has_is_asked_for_by_its_digits(product: Product, get: Any) -> None:
    loose = product.commit()
    product.git("reset", "--quiet", "--hard", product.first)
    product.git("config", "uploadpack.allowAnySHA1InWant", "true")
    assert get(loose).commit == loose


def test_a_name_that_is_both_a_branch_and_a_tag_is_not_decided_by_accident(product: Product, get: Any) -> None:
    product.git("tag", "v1")
    assert get("v1").commit == product.first
    second = product.commit()
    product.git("branch", "v1")
    with pytest.raises(PlatformError) as refused:
        get("v1")
    assert str(refused.value) == (
        f"'v1' is both a tag and a branch: they name {product.first[:12]} and {second[:12]}. "
        "Write RELEASE=refs/tags/v1 or RELEASE=refs/heads/v1."
    )
    assert (get("refs/tags/v1").commit, get("refs/heads/v1").commit) == (product.first, second)


@pytest.mark.parametrize("name", ["nope", "0" * 40, "abcdef0", "HEAD", "main.txt"])
def test_an_unknown_name_is_told_and_leaves_nothing(name: str, sources: Path, get: Any) -> None:
    with pytest.raises(PlatformError, match=f"^There is no branch, tag or commit '{name}' to deploy"):
        get(name)
    assert trees(sources) == []


def test_a_context_is_the_committed_files_alone(product: Product, get: Any) -> None:
    product.write(".gitignore", "*.log\n")
    product.write(".gitattributes", "private/ export-ignore\n*.txt export-subst\n")
    product.write("ui/private/kept.py", "needed\n")
    product.write("ui/version.txt", "$Format:%H$\n")
    product.write("ui/committed.log", "kept\n")
    product.write("ui/start.sh", "#!/bin/sh\n", 0o755)
    commit = product.commit()
    product.write("ui/Dockerfile", "FROM somebody-elses-change\n")
    product.write("ui/.env", "API_KEY=x\n")
    product.write("ui/ignored.log", "x\n")
    source = get("main")
    assert source.commit == commit
    context = Path(source.folder) / "ui"
    assert files(context) == {
        "Dockerfile": "FROM node:20-alpine\n",
        "private/kept.py": "needed\n",
        "version.txt": "$Format:%H$\n",
        "committed.log": "kept\n",
        "start.sh": "#!/bin/sh\n",
    }
    assert os.access(context / "start.sh", os.X_OK)
    assert not os.access(context / "version.txt", os.X_OK)
    assert build_context.context_files(str(context)) == sorted(files(context))


@pytest.mark.parametrize(
    "damage",
    [
        lambda tree: (tree / "ui/Dockerfile").write_text("FROM node:20-alpine!\n"),
        lambda tree: (tree / "ui/Dockerfile").write_text(""),
        lambda tree: (tree / "ui/Dockerfile").chmod(0o755),
        lambda tree: (tree / "ui/Dockerfile").unlink(),
        lambda tree: (tree / "ui/.env").write_text("API_KEY=x\n"),
    ],
)
def test_a_tree_that_is_no_longer_the_commits_is_made_anew(damage: Any, get: Any, sources: Path) -> None:
    source = get("main")
    before, contexts = files(source.folder), build_context.digest_of(f"{source.folder}/ui")
    damage(Path(source.folder))
    assert get("main") == source
    assert files(source.folder) == before
    assert build_context.digest_of(f"{source.folder}/ui") == contexts
    assert trees(sources) == [source.commit]


def test_a_tree_that_is_as_it_should_be_is_not_written_again(get: Any) -> None:
    dockerfile = Path(get("main").folder) / "ui" / "Dockerfile"
    before = dockerfile.stat()
    get("main")
    after = dockerfile.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    ("removed", "said"),
    [
        (["python-backend"], "it has no python-backend/Dockerfile."),
        (["python-backend", "ui"], "it has no python-backend/Dockerfile and no ui/Dockerfile."),
    ],
)
def test_another_projects_layout_is_refused_and_leaves_nothing(
    product: Product, get: Any, sources: Path, removed: list[str], said: str
) -> None:
    for folder in removed:
        (product.folder / folder / "Dockerfile").unlink()
    commit = product.commit()
    with pytest.raises(PlatformError, match=f"^The commit {commit[:12]} of .* cannot be deployed: {said}"):
        get("main")
    assert trees(sources) == []


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../secret", "/etc", "../.."])
def test_a_link_out_of_the_commit_is_refused(product: Product, get: Any, sources: Path, target: str) -> None:
    (product.folder / "ui" / "link").symlink_to(target)
    product.commit()
    with pytest.raises(PlatformError, match=r"cannot be deployed: the link ui/link points outside it\. Replace"):
        get("main")
    assert trees(sources) == []


def test_a_link_within_the_commit_stays_a_link(product: Product, get: Any) -> None:
    (product.folder / "ui" / "link.sql").symlink_to("../scripts/init_db.sql")
    product.commit()
    assert os.readlink(f"{get('main').folder}/ui/link.sql") == "../scripts/init_db.sql"


def test_a_failure_between_the_checkout_and_the_rename_leaves_no_partial_tree(
    get: Any, sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(release_tree, "_check", interrupted)
    with pytest.raises(KeyboardInterrupt):
        get("main")
    assert trees(sources) == []


def test_what_a_killed_run_left_stops_nobody_and_goes(product: Product, get: Any, sources: Path) -> None:
    get("main")
    (sources / "trees" / ".new-killed").mkdir()
    mirror = next(sources.glob("*.git"))
    for lock in ("packed-refs.lock", "refs/heads/main.lock", "shallow.lock"):
        (mirror / lock).parent.mkdir(parents=True, exist_ok=True)
        (mirror / lock).touch()
    second = product.commit()
    assert get("main").commit == second
    assert trees(sources) == sorted([product.first, second])


def test_the_trees_that_were_used_last_stay(product: Product, get: Any, sources: Path) -> None:
    commits = [product.first] + [product.commit() for _ in range(KEPT_TREES)]
    for commit in commits[:KEPT_TREES]:
        get(commit)
    get(commits[0])
    get(commits[-1])
    assert trees(sources) == sorted([commits[0], *commits[2:]])
    assert surplus_trees(str(sources / "trees")) == []


def test_sources_are_not_for_other_users(get: Any, sources: Path) -> None:
    get("main")
    assert [path.stat().st_mode & 0o777 for path in (sources, sources / "trees")] == [0o700, 0o700]


def test_two_runs_do_not_meet_in_the_mirror(product: Product, get: Any) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            assert get("main").commit == product.first
        except BaseException as error:  # noqa: BLE001 (told to the test's own thread)
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_git_that_does_not_end_is_ended(get: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho $$ >>{tmp_path}/started\ncase "$*" in *fetch*) sleep 60;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(git_mirror, "FETCH_SECONDS", 1)
    with pytest.raises(PlatformError, match="cannot be read: it did not end within 1 s"):
        get("main")
    assert [pid for pid in (tmp_path / "started").read_text().split() if Path(f"/proc/{pid}").exists()] == []


def test_a_missing_git_is_told_in_a_sentence(get: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PlatformError, match="git is not installed here"):
        get("main")


def test_the_layout_that_is_checked_is_the_reference_applications_too() -> None:
    assert [
        path for path in (*release_tree.LAYOUT, release_tree.SCHEMA) if not (ROOT / "reference_app" / path).is_file()
    ] == []
