"""What nginx looks at for each request: the slot that serves, the release in each slot, and whether users are let in.

A flag is a file that exists or not, a release's name is a symbolic link: each change is one operation of the file
system, seen by the next request without a reload. The folder is seen in nginx's container as ``/etc/erni/live``:

    green                       exists: green serves, else blue
    maintenance                 exists: users are turned away
    releases/blue, .../green    -> ../ids/<release>, or ../ids/none
    releases/none               -> ../ids/none, for answers that no slot has given
    ids/<release>               a folder, whose name nginx reads where the link leads
    ids/<release>/<group>       exists: the release has so many replicas (replicas.py); else one on each host

How many replicas there are belongs to the release and lies in its folder: one link tells nginx both.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress

from .errors import PlatformError
from .files import ensure_folder, folder_matches, sync_folder
from .planning import Difference, Plan
from .replicas import ONE_EACH, Replicas, group_name, read_group, several
from .slots import SLOTS

NAMELESS = "none"
LINKS = (*SLOTS, NAMELESS)
FOLDER_MODE = 0o755  # nginx's user passes through, and writes nothing
_RELEASE = re.compile(r"[0-9a-f]{12}")


class LiveFolder:
    """The folder at ``path``. Whatever changes it makes what is missing first, and may be repeated."""

    def __init__(self, path: str) -> None:
        self.path = path

    def slot(self) -> str:
        """The slot that serves."""
        return "green" if os.path.isfile(self._at("green")) else "blue"

    def switch(self, slot: str) -> None:
        """Requests that begin from now on go to the slot."""
        _require_slot(slot)
        self._set_flag("green", slot == "green")

    def release(self, slot: str) -> str:
        """The release that answers in the slot, or '' where it has no name."""
        _require_slot(slot)
        name = self._target(slot)
        return "" if name == NAMELESS else name

    def replicas(self, slot: str) -> dict[str, list[int]]:
        """How many replicas nginx asks in the slot, of services that have more than one on a host."""
        _require_slot(slot)
        return dict(sorted(filter(None, map(read_group, self._groups(self._target(slot))))))

    def name_release(self, slot: str, release_id: str, replicas: Replicas = ONE_EACH) -> None:
        """Answers from the slot carry the release's name from now on; '' takes it away. Of each service so many
        replicas are asked there.

        :raises PlatformError: for what is no release id, which nginx would not show.
        """
        _require_slot(slot)
        if release_id and not _RELEASE.fullmatch(release_id):
            raise PlatformError(f"'{release_id}' names no release", "a release's id is 12 hexadecimal digits")
        self.complete()
        name = release_id or NAMELESS
        if self._target(slot) != name:
            self._make_folder(self._at("ids", name))
        if release_id:
            self._set_groups(name, {group_name(*each) for each in several(replicas).items()})
        if self._target(slot) != name:
            self._link(slot, name)
        self._prune()

    def in_maintenance(self) -> bool:
        return os.path.isfile(self._at("maintenance"))

    def maintenance_by(self) -> str:
        """Who has turned users away; '' where they are let in, or nobody has said."""
        try:
            with open(self._at("maintenance"), encoding="utf-8") as file:
                return file.read().strip()
        except FileNotFoundError:
            return ""

    def set_maintenance(self, on: bool, by: str = "") -> None:
        self._set_flag("maintenance", on)
        if on and by:
            with open(self._at("maintenance"), "w", encoding="utf-8") as file:
                file.write(f"{by}\n")

    def missing(self) -> list[str]:
        """What :meth:`complete` would make, as paths; folders come before what lies in them."""
        named = sorted({self._at("ids", self._target(link)) for link in LINKS})
        folders = [self.path, self._at("releases"), self._at("ids"), *named]
        links = [self._at("releases", link) for link in LINKS]
        return [f for f in folders if not folder_matches(f, FOLDER_MODE)] + [p for p in links if not os.path.islink(p)]

    def complete(self) -> None:
        """Make what is missing: nginx would complain of a name that leads nowhere in its log, at every request."""
        for path in self.missing():
            folder, name = os.path.split(path)
            if folder == self._at("releases"):
                self._link(name, NAMELESS)
            else:
                self._make_folder(path)

    def _at(self, *parts: str) -> str:
        return os.path.join(self.path, *parts)

    def _target(self, link: str) -> str:
        try:
            return os.path.basename(os.readlink(self._at("releases", link)))
        except OSError:  # there is none yet, or something else is in its place
            return NAMELESS

    def _make_folder(self, path: str) -> None:
        ensure_folder(path, FOLDER_MODE)
        sync_folder(os.path.dirname(path))

    def _link(self, link: str, name: str) -> None:
        """Made under another name and renamed: a request finds the former link or the new one, never none."""
        fresh = self._at("releases", f".new-{link}")
        with suppress(FileNotFoundError):  # left by a run that was killed here
            os.unlink(fresh)
        os.symlink(os.path.join("..", "ids", name), fresh)
        os.rename(fresh, self._at("releases", link))
        sync_folder(self._at("releases"))

    def _groups(self, name: str) -> set[str]:
        try:
            return {entry for entry in os.listdir(self._at("ids", name)) if read_group(entry)}
        except OSError:  # there is none yet
            return set()

    def _set_groups(self, name: str, wanted: set[str]) -> None:
        """What is wrong goes first: in between nginx asks the first replicas, which there always are."""
        present = self._groups(name)
        for group in sorted(present - wanted):
            os.unlink(self._at("ids", name, group))
        for group in sorted(wanted - present):
            _touch(self._at("ids", name, group))
        if present != wanted:
            sync_folder(self._at("ids", name))

    def _prune(self) -> None:
        named = {self._target(link) for link in LINKS}
        for name in set(os.listdir(self._at("ids"))) - named:
            with suppress(OSError):  # whoever put something else into it shall find it again
                self._set_groups(name, set())
                os.rmdir(self._at("ids", name))

    def _set_flag(self, name: str, wanted: bool) -> None:
        self.complete()
        if wanted:
            _touch(self._at(name))
        else:
            with suppress(FileNotFoundError):
                os.unlink(self._at(name))
        sync_folder(self.path)


class LiveElsewhere:
    """What serves, on a host without a proxy: it is told, and not changed from here."""

    def __init__(self, slot: str) -> None:
        _require_slot(slot)
        self._slot = slot

    def slot(self) -> str:
        return self._slot

    def switch(self, slot: str) -> None:
        """:raises PlatformError: for another slot than the one that was told."""
        if slot != self._slot:
            raise PlatformError(f"Slot {slot} cannot be switched to from here", "the proxy is on another host")

    def release(self, _slot: str) -> str:
        return ""

    def replicas(self, _slot: str) -> dict[str, list[int]]:
        return {}

    def name_release(self, _slot: str, _release_id: str, _replicas: Replicas = ONE_EACH) -> None:
        """Names are the proxy's host's to keep."""

    def in_maintenance(self) -> bool:
        return False


def _touch(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))


def _require_slot(slot: str) -> None:
    if slot not in SLOTS:
        raise PlatformError(f"'{slot}' is no slot", f"there are {' and '.join(SLOTS)}")


def plan_completion(path: str, missing: list[str]) -> Plan:
    """:param missing: what :meth:`LiveFolder.missing` says of the folder at ``path``."""
    plan = Plan()
    if missing:
        plan.differences = [Difference(name, None, "present") for name in missing]
        plan.add("complete", path, f"folder {path} has what nginx looks at for each request")
    return plan


def plan_maintenance(wanted: bool, observed: bool, by: str = "", begun_by: str = "") -> Plan:
    """Whether users are turned away, as it should be and as it is. A verb ends only what it has begun itself."""
    plan = Plan()
    somebody_elses = observed and by != "" and begun_by != by
    if wanted != observed and not somebody_elses:
        plan.differences.append(Difference("maintenance", _word(observed), _word(wanted)))
        sentence = "users are told of maintenance from now on" if wanted else "users are let in again"
        plan.add("set_maintenance", "maintenance", sentence)
    return plan


def _word(on: bool) -> str:
    return "on" if on else "off"
