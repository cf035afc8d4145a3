"""The documents say what is: generated pages are fresh, verbs have a page, links resolve, commands exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
import role_docs
from role_docs import Role

ROOT = Path(__file__).resolve().parents[3]
MAKEFILE = (ROOT / "Makefile").read_text()
ROLES = role_docs.read_roles()

VERBS = re.findall(r"^([a-z0-9-]+):.*## ", MAKEFILE, re.MULTILINE)
OPERATIONS = re.findall(r"^OPERATIONS := (.*)", MAKEFILE, re.MULTILINE)[0].split()
OPTIONS = re.findall(r"^OPTIONS := (.*)", MAKEFILE, re.MULTILINE)[0].split()
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))

RUNBOOK = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", *RUNBOOK, *sorted((ROOT / "roles").glob("*/README.md"))]
PROCEDURES = [page for page in RUNBOOK if re.match(r"# .*`make ", page.read_text())]

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(
    r"(?:^(?:    |\$ |    \$ )|`)make ([a-z][a-z0-9-]*)((?: [A-Z_]+=(?:'[^']*'|[^\s`]*))*)", re.MULTILINE
)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def headings(page: Path) -> list[str]:
    return re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)


def anchor(heading: str) -> str:
    """As GitHub makes it of a heading: lower case, no punctuation, hyphens for spaces."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """File and anchor of each link that stays inside the repository."""
    for target in LINK.findall(page.read_text()):
        if not re.match(r"[a-z]+:", target):
            path, _, fragment = target.partition("#")
            yield (page.parent / path if path else page).resolve(), fragment


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_roles_readme_is_what_the_generator_writes(role: Role) -> None:
    assert (ROOT / "roles" / role.name / "README.md").read_text() == role_docs.readme(role)


def test_check_tells_a_stale_readme_and_writes_nothing(tmp_path: Path) -> None:
    for name in ("roles", "group_vars", "playbooks", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    stale = tmp_path / "roles" / "redis" / "README.md"
    stale.write_text("# redis, by hand\n")
    command = [sys.executable, str(tmp_path / "tools" / "role_docs.py")]

    checked = subprocess.run([*command, "--check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 1
    assert checked.stderr.startswith("roles/redis/README.md: ")
    assert stale.read_text() == "# redis, by hand\n"

    subprocess.run(command, check=True)
    assert subprocess.run([*command, "--check"], check=False).returncode == 0


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_each_variable_of_a_role_is_described(role: Role) -> None:
    variables = {name for name in role.defaults if not name.endswith("_service")}
    assert variables - set(role.options) == set()
    for name, option in role.options.items():
        told = option["description"]
        assert told.lower() != name.lower(), f"{name} is described by its own name"
        assert not told.endswith("."), f"{name}: a phrase, without a full stop"
        assert len(told) <= 130, f"{name}: too long for a table"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_roles_entry_points_are_verbs_that_have_a_playbook_or_parts_that_are_told_apart(role: Role) -> None:
    assert set(role.verbs) <= set(PLAYBOOKS)
    assert set(role.parts).isdisjoint(VERBS)
    pages = role_docs.readme(role).split("\n## ")
    told = {page.splitlines()[0]: set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE)) for page in pages}
    assert told["Verbs"] == set(role.verbs)
    assert told.get("Parts", set()) == set(role.parts)


def test_what_a_part_takes_is_told_beside_it() -> None:
    takes = {"options": {"what": {"type": "str", "description": "The thing", "choices": ["a", "b"]}}}
    role = Role("r", {"up": {"short_description": "Serve", "description": "R."}}, {}, {}, {})
    assert "## Parts" not in role_docs.readme(role)
    part = {"short_description": "Look", **takes}
    told = role_docs.readme(Role(role.name, role.verbs, {"look": part, "rest": {"short_description": "Wait"}}, {}, {}))
    assert "| `look` | Look | `what` (str): The thing: a, b |" in told
    assert "| `rest` | Wait | nothing |" in told


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("", '""'),
        (True, "true"),
        (0, "0"),
        ([], "[]"),
        (["a", "b"], '["a", "b"]'),
        ("two\n  lines", "two lines"),
        ({"k": "é"}, '{"k": "é"}'),
    ],
)
def test_a_default_is_written_on_one_line(value: object, written: str) -> None:
    assert role_docs.flow(value) == written


def test_a_pipe_does_not_break_a_table() -> None:
    assert role_docs.table(("a", "b"), [("x | y", "z")])[-1] == r"| x \| y | z |"


def test_make_and_the_playbooks_have_the_same_verbs() -> None:
    assert sorted(OPERATIONS) == PLAYBOOKS
    assert set(OPERATIONS) < set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_a_page_or_a_section(verb: str) -> None:
    assert [relative(page) for page in PAGES if any(f"`make {verb}`" in heading for heading in headings(page))]


@pytest.mark.parametrize("page", PROCEDURES, ids=relative)
def test_a_procedures_page_has_its_sections(page: Path) -> None:
    wanted = ["What it does", "What it never does", "Output", "When it fails"]
    assert [heading for heading in headings(page) if heading in wanted] == wanted


def test_the_index_has_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {target for target, _ in links(index)}
    assert {page for page in PAGES if page not in (index, ROOT / "README.md")} - linked == set()


def test_the_readme_lists_the_verbs_as_make_help_does() -> None:
    printed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed.rstrip("\n") in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", sorted({*PAGES, *ROOT.glob("*/README.md")}), ids=relative)
def test_every_link_resolves(page: Path) -> None:
    for target, fragment in links(page):
        assert target.exists(), f"{relative(page)} links to {target}"
        if fragment:
            assert fragment in {anchor(heading) for heading in headings(target)}, f"{target.name}#{fragment}"


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_make_command_exists(page: Path) -> None:
    for verb, words in COMMAND.findall(page.read_text()):
        assert verb in VERBS, f"make {verb}"
        assert set(re.findall(r" ([A-Z_]+)=", words)) <= set(OPTIONS), f"make {verb}{words}"


def test_commands_are_found_where_they_are_shown() -> None:
    shown = "text `make up`\n    make logs SERVICE=nginx GREP='a b=C D=e'\n$ make psql QUERY='select 1'\nto make sure\n"
    assert COMMAND.findall(shown) == [
        ("up", ""),
        ("logs", " SERVICE=nginx GREP='a b=C D=e'"),
        ("psql", " QUERY='select 1'"),
    ]


def test_the_picture_can_be_drawn() -> None:
    picture = ET.parse(ROOT / "docs" / "architecture.svg").getroot()  # noqa: S314 (our own file)
    texts = {(element.text or "") for element in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {f"erni-{name}" for name in ("postgres", "redis", "backend", "frontend", "nginx")} <= texts
