"""Backup sets as an operator reads them: a table of all, or all of one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from . import moment
from .backup_set import Manifest, Part, rows_of
from .text_table import text_table

NOTHING = "There is no set in {folder} yet; make backup makes the first."
WHOLE = "Its files were read, and are what was written."
HERE, OFFSITE, BOTH = "here", "off-site", "both"


@dataclass(frozen=True)
class Listed:
    """A set and when a restore of it was last tried with success (seconds since the epoch; 0 for never).

    ``where`` it is: here, off-site or both; '' where only those here are known.
    """

    manifest: Manifest
    drilled: float
    where: str = ""


def located(here: Iterable[Manifest], offsite: Iterable[Manifest]) -> list[tuple[Manifest, str]]:
    """The sets of both places, oldest first, and where each is."""
    local, there = {one.id: one for one in here}, {one.id: one for one in offsite}
    where = {(True, False): HERE, (False, True): OFFSITE, (True, True): BOTH}
    return [((there | local)[name], where[name in local, name in there]) for name in sorted(there | local)]


def sets_as_json(listed: Sequence[Listed], troubles: Sequence[str]) -> str:
    sets = [
        asdict(one.manifest)
        | {"size": one.manifest.size, "drilled": one.drilled}
        | ({"where": one.where} if one.where else {})
        for one in listed
    ]
    return json.dumps({"sets": sets, "troubles": list(troubles)}, indent=2)


def sets_as_text(listed: Sequence[Listed], troubles: Sequence[str], folder: str) -> str:
    """Oldest first, so that the newest is read first where the terminal ends."""
    lines = [text_table([_cells(one) for one in listed]) if listed else NOTHING.format(folder=folder)]
    return "\n".join([*lines, *(["", *troubles] if troubles else [])])


def one_as_text(one: Listed, troubles: Sequence[str]) -> str:
    """What a set holds; ``troubles`` is what reading its files has shown."""
    manifest = one.manifest
    head = [
        f"Set {manifest.id} of {manifest.environment}, by {manifest.operator or 'nobody that is known'}"
        + (f": {manifest.reason}" if manifest.reason else ""),
        f"begun {_time(manifest.began)}, took {manifest.seconds:.1f} s, {size_of(manifest.size)}, "
        + (f"encrypted for {', '.join(manifest.recipients)}" if manifest.recipients else "not encrypted"),
        f"verified {_time(manifest.verified)}, drilled {_time(one.drilled)}",
        "",
    ]
    files = text_table([_file(part) for part in manifest.parts])
    rows = [
        {"table": name, "rows": str(count)}
        for part in manifest.parts
        for name, count in sorted(part.facts.get("rows", {}).items())
    ]
    read = "It is off-site only: its files are read once it is fetched." if one.where == OFFSITE else WHOLE
    found = ["", *troubles] if troubles else ["", read]
    return "\n".join([*head, files, "", text_table(rows), *found])


def _cells(one: Listed) -> dict[str, str]:
    manifest = one.manifest
    return {
        "set": manifest.id,
        **({"where": one.where} if one.where else {}),
        "took": f"{manifest.seconds:.1f} s",
        "size": size_of(manifest.size),
        "rows": str(sum(rows_of(part) for part in manifest.parts)),
        "keys": str(sum(int(part.facts.get("keys", 0)) for part in manifest.parts)),
        "release": next((str(p.facts["id"]) for p in manifest.part("release") if p.facts), "-"),
        "encrypted": "yes" if manifest.recipients else "no",
        "verified": "yes" if manifest.verified else "no",
        "drilled": _time(one.drilled),
        "by": manifest.operator or "-",
        "reason": manifest.reason or "-",
    }


def _file(part: Part) -> dict[str, str]:
    return {
        "part": part.kind,
        "host": part.host,
        "moment": _time(part.taken),
        "took": f"{part.seconds:.1f} s",
        "size": size_of(part.size),
        "holds": _holds(part),
    }


def _holds(part: Part) -> str:
    facts = part.facts
    if not part.files:
        return "nothing yet"
    if "keys" in facts:
        return f"{facts['keys']} keys, {facts['expiring']} of them expire (Redis {facts['version']})"
    if "system" in facts:
        rows, tables = _counted(rows_of(part), "row"), _counted(len(facts["rows"]), "table")
        return f"{rows} in {tables} (PostgreSQL {facts['version']})"
    if "rows" in facts:
        return _counted(rows_of(part), "row")
    return str(facts.get("id", "as it is in the inventory"))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def size_of(size: int) -> str:
    """Bytes, for people."""
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


def _time(seconds: float) -> str:
    return moment.told(seconds) if seconds else "never"
