"""Writes roles/*/README.md from what the roles say of themselves, so that nothing is written twice.

Sources: meta/argument_specs.yml (what the role is, its verbs, its variables), defaults/main.yml and group_vars/all/
(values, the service mapping). With ``--check`` nothing is written, and a README that differs is an error.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path("group_vars/all")
PLAYBOOKS = Path("playbooks")
NOTICE = "<!-- Written by tools/role_docs.py. Change meta/, defaults/ or group_vars/all/, and run it again. -->"
LONGEST_DEFAULT = 90
NO_DEFAULT = object()


@dataclass(frozen=True)
class Role:
    """What the files of a role say. ``shared`` maps a variable of group_vars/all/ to (file, value).

    Of its entry points those are verbs that have a playbook of their name, the others parts that verbs are made of.
    """

    name: str
    verbs: dict[str, Any]
    parts: dict[str, Any]
    defaults: dict[str, Any]
    shared: dict[str, tuple[str, Any]]

    @property
    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = self.verbs["up"].get("options", {})
        return options

    @property
    def service(self) -> dict[str, Any]:
        mapping: dict[str, Any] = self.defaults.get(f"{self.name}_service", {})
        return mapping


def load(path: Path) -> dict[str, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    return document or {}


def shared_variables(root: Path) -> dict[str, tuple[str, Any]]:
    return {
        name: (path.name, value) for path in sorted((root / SHARED).glob("*.yml")) for name, value in load(path).items()
    }


def read_roles(root: Path = ROOT) -> list[Role]:
    shared = shared_variables(root)
    known_verbs = {path.stem for path in (root / PLAYBOOKS).glob("*.yml")}
    roles = []
    for folder in sorted((root / "roles").iterdir()):
        if not (folder / "meta" / "argument_specs.yml").is_file():
            continue
        entry_points = load(folder / "meta" / "argument_specs.yml")["argument_specs"]
        verbs = {name: entry for name, entry in entry_points.items() if name in known_verbs}
        parts = {name: entry for name, entry in entry_points.items() if name not in known_verbs}
        roles.append(Role(folder.name, verbs, parts, load(folder / "defaults" / "main.yml"), shared))
    return roles


def readme(role: Role) -> str:
    sections = [
        [NOTICE, f"# {role.name}", "", role.verbs["up"]["description"]],
        ["## Verbs", "", *_verbs(role)],
        ["## Variables", "", *_variables(role)],
    ]
    if role.parts:
        sections.insert(2, ["## Parts", "", *_parts(role)])
    if role.service:
        sections.append(["## The service mapping", "", *_service(role)])
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _verbs(role: Role) -> list[str]:
    rows = [(f"`{verb}`", entry["short_description"]) for verb, entry in role.verbs.items()]
    return table(("verb", "what it does"), rows)


def _parts(role: Role) -> list[str]:
    rows = [
        (f"`{part}`", entry["short_description"], _each(_taken(entry.get("options", {}))) or "nothing")
        for part, entry in role.parts.items()
    ]
    return ["What verbs are made of; each is a file of tasks.", "", *table(("part", "what it does", "takes"), rows)]


def _taken(options: Mapping[str, Any]) -> Iterator[str]:
    """The inputs of a part, which its caller gives; those of verbs are the role's variables."""
    for name, option in options.items():
        choices = f": {', '.join(map(str, option['choices']))}" if option.get("choices") else ""
        yield f"`{name}` ({option['type']}): {option['description']}{choices}"


def _variables(role: Role) -> list[str]:
    own = [name for name in role.options if name in role.defaults or name not in role.shared]
    common = [name for name in role.options if name not in own]
    header = ("name", "type", "default", "meaning")
    lines = []
    if own:
        lines += ["Its own, in [defaults/main.yml](defaults/main.yml):", ""]
        lines += table(header, [_variable_row(role, name, role.defaults.get(name, NO_DEFAULT)) for name in own])
        lines += [""]
    if common:
        lines += ["Those that other roles read too, in [group_vars/all/](../../group_vars/all/):", ""]
        lines += table(header, [_variable_row(role, name, role.shared[name][1]) for name in common])
        lines += [""]
    return lines[:-1]


def _variable_row(role: Role, name: str, default: Any) -> tuple[str, ...]:
    option = role.options[name]
    return (f"`{name}`", _type(option), _default(role, name, default), option["description"])


def _type(option: Mapping[str, Any]) -> str:
    kind = str(option["type"])
    if choices := option.get("choices"):
        kind = f"one of {', '.join(f'`{choice}`' for choice in choices)}"
    elif elements := option.get("elements"):
        kind = f"{kind} of {elements}"
    return f"{kind}, secret" if option.get("no_log") else kind


def _default(role: Role, name: str, value: Any) -> str:
    if value is NO_DEFAULT:
        return "none"
    text = flow(value)
    if len(text) <= LONGEST_DEFAULT:
        return code(text)
    if name in role.defaults:
        return "see [defaults](defaults/main.yml)"
    file = role.shared[name][0]
    return f"see [{file}](../../{SHARED}/{file})"


def flow(value: Any) -> str:
    """One line as it could stand in YAML; text without its quotes."""
    return " ".join(value.split()) if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _service(role: Role) -> list[str]:
    lead = (
        f"`{role.name}_service` in [defaults/main.yml](defaults/main.yml), in short; "
        f"[container_service](../../library/container_service.py) says what each key means."
    )
    return [lead, "", *table(("key", "value"), [(f"`{key}`", text) for key, text in service_rows(role.service)])]


def service_rows(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The mapping's telling keys, each with a cell of text."""
    for key, entries in service.items():
        describe = DESCRIBED.get(key)
        if describe is None:
            if not isinstance(entries, (dict, list)) or key == "command":
                yield key, template(entries)
        elif isinstance(entries, str):  # a template that makes the whole list
            yield key, template(entries)
        else:
            yield key, describe(entries)


def _networks(entries: list[dict[str, Any]]) -> str:
    return _each(template(n["name"]) + (", at a fixed address" if n.get("address") else "") for n in entries)


def _ports(entries: list[dict[str, Any]]) -> str:
    return _each(f"{template(p['host'])} on the host → {p['container']}" for p in entries)


def _volumes(entries: list[dict[str, Any]]) -> str:
    return _each(f"{template(v['name'])} at `{v['target']}`" for v in entries)


def _binds(entries: list[dict[str, Any]]) -> str:
    return _each(
        f"{template(b['source'])} at `{b['target']}`" + ("" if b.get("read_only", True) else ", writable")
        for b in entries
    )


def _files(entries: list[dict[str, Any]]) -> str:
    return _each(f"`{Path(f['path']).name}` ({f.get('on_change', 'restart')})" for f in entries)


def _names(entries: Mapping[str, Any]) -> str:
    return _each(f"`{name}`" for name in entries)


def _pairs(entries: Mapping[str, Any]) -> str:
    return _each(f"{name} {template(value)}" for name, value in entries.items())


def _gate(gate: Mapping[str, Any]) -> str:
    times = f"{gate.get('passes', 1)} in a row within {gate.get('timeout', 90)} s"
    if "port" in gate:
        return f"{times}: {template(gate['path'])} on port {gate['port']} answers with 200"
    return f"{times}: {template(gate['command'])}" if "command" in gate else f"{times}, of the health check"


DESCRIBED: dict[str, Callable[[Any], str]] = {
    "networks": _networks,
    "ports": _ports,
    "volumes": _volumes,
    "binds": _binds,
    "files": _files,
    "secret_files": _files,
    "tmpfs": _names,
    "limits": _pairs,
    "gate": _gate,
}


def _each(parts: Iterator[str]) -> str:
    return "<br>".join(parts)


def template(value: Any) -> str:
    """A value as code, a variable that stands in it as ``<name>``."""
    return code(re.sub(r"\{\{ (\w+) \}\}", r"<\1>", flow(value)))


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    separator = ("---",) * len(header)
    return ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in (header, separator, *rows)]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Write roles/*/README.md from the roles' own files.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a README is not up to date")
    options = parser.parse_args(arguments)
    stale = []
    for role in read_roles():
        path = ROOT / "roles" / role.name / "README.md"
        wanted = readme(role)
        if not path.is_file() or path.read_text(encoding="utf-8") != wanted:
            stale.append(str(path.relative_to(ROOT)))
            if not options.check:
                path.write_text(wanted, encoding="utf-8")
    if stale and options.check:
        remedy = "Run .venv/bin/python tools/role_docs.py."
        print(f"{', '.join(stale)}: not what the role says now. {remedy}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
