"""A restore that is killed after any of its operations is finished or forgotten by the next run; nothing is lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ansible.module_utils.erni import restore_flow
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.restore_record import (
    Record,
    RecordFile,
    Restored,
    expired,
    kept_since,
    stamp,
)

NOW = 1_700_000_000.0
DAY = 86_400.0


class Killed(BaseException):
    """The run was killed: nothing of it runs any more, no cleaning up either."""


@dataclass
class Disk:
    """What outlives a killed run: what lies where, by name; and after how many operations the next kill comes."""

    names: dict[str, str] = field(default_factory=lambda: {"live": "old"})
    kill_after: int = -1

    def operation(self) -> None:
        if self.kill_after == 0:
            raise Killed
        self.kill_after -= 1


@dataclass
class Model:
    """A target whose swap is one operation, as that of a database is: a transaction."""

    disk: Disk
    prepared: str = "prepared"

    def state(self) -> str:
        return self.disk.names["live"]

    def mark(self, name: str) -> str:
        return self.disk.names.get(name, "")

    def kept_name(self, moment: str) -> str:
        return f"before_{moment}"

    def kept(self) -> list[str]:
        return sorted(name for name in self.disk.names if name.startswith("before_"))

    def swapped(self, going: Restored) -> bool:
        return going.kept in self.disk.names

    def swap(self, going: Restored, incoming: str) -> float:
        self.disk.operation()
        names = self.disk.names
        names[going.kept], names["live"] = names["live"], names.pop(incoming)
        self.disk.operation()
        return 0.1

    def exists(self, name: str) -> bool:
        return name in self.disk.names

    def drop(self, name: str) -> None:
        self.disk.operation()
        del self.disk.names[name]


class KillableFile(RecordFile):
    """Its writing is an operation, too, before and after which a kill may come."""

    disk: Disk

    def write(self, record: Record) -> None:
        self.disk.operation()
        super().write(record)
        self.disk.operation()


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def model(disk: Disk) -> Model:
    return Model(disk)


@pytest.fixture
def file(tmp_path: Path, disk: Disk) -> KillableFile:
    made = KillableFile(str(tmp_path), "model")
    object.__setattr__(made, "disk", disk)
    return made


def restore(model: Model, file: RecordFile, source: str, now: float = NOW) -> bool:
    """As the playbook does it; whether it changed anything."""
    record = restore_flow.settle(model, file)
    if restore_flow.is_restored(model, record, source):
        return False

    def make() -> tuple[Restored, list[str]]:
        model.disk.operation()
        model.disk.names[model.prepared] = source
        model.disk.operation()
        return Restored("", state=source, mark=source), []

    restore_flow.prepare(file, record, source, make)
    restore_flow.switch(model, file, source, now)
    return True


def undo(model: Model, file: RecordFile, now: float = NOW + 60) -> bool:
    record = restore_flow.settle(model, file)
    if record.done is None:
        return False
    restore_flow.undo(model, file, record, now)
    return True


def killable(tmp_path: Path, number: int) -> tuple[Disk, Model, KillableFile]:
    disk = Disk()
    file = KillableFile(str(tmp_path / str(number)), "model")
    object.__setattr__(file, "disk", disk)
    return disk, Model(disk), file


def test_a_restore_serves_and_keeps_what_served(model: Model, file: KillableFile) -> None:
    assert restore(model, file, "set")
    assert model.disk.names == {"live": "set", f"before_{stamp(NOW)}": "old"}


def test_a_second_restore_of_the_same_changes_nothing_until_somebody_writes(model: Model, file: KillableFile) -> None:
    restore(model, file, "set")
    before = dict(model.disk.names)
    assert not restore(model, file, "set", NOW + 1)
    assert model.disk.names == before
    model.disk.names["live"] = "set and more"
    assert restore(model, file, "set", NOW + 2)
    assert model.disk.names["live"] == "set"
    assert "set and more" in model.disk.names.values()


def test_undo_brings_back_what_served_and_keeps_what_the_restore_had_brought(model: Model, file: KillableFile) -> None:
    restore(model, file, "set")
    assert undo(model, file)
    assert model.disk.names == {"live": "old", f"before_{stamp(NOW + 60)}": "set"}
    assert not undo(model, file), "there is nothing left to undo"


def test_undo_says_so_where_what_served_is_not_kept_any_more(model: Model, file: KillableFile) -> None:
    restore(model, file, "set")
    restore_flow.clear(model, file, file.read(), restore_flow.to_drop(model, file.read(), NOW + 8 * DAY, 7 * DAY))
    with pytest.raises(PlatformError, match="is not kept any more"):
        undo(model, file)
    assert model.disk.names == {"live": "set"}


def test_a_restore_that_is_killed_anywhere_serves_old_or_new_and_the_next_run_finishes_it(tmp_path: Path) -> None:
    for number in range(100):
        disk, model, file = killable(tmp_path, number)
        disk.kill_after = number
        try:
            restore(model, file, "set")
        except Killed:
            disk.kill_after = -1
        else:
            break
        assert disk.names["live"] in ("old", "set")
        assert "old" in disk.names.values(), "what served is never lost"
        restore(model, file, "set", NOW + 1)
        assert disk.names["live"] == "set"
        assert "prepared" not in disk.names
        assert undo(model, file)
        assert disk.names["live"] == "old"
    assert number > 8, "kills that were tried"


def test_an_undo_that_is_killed_anywhere_serves_old_or_new_and_loses_neither(tmp_path: Path) -> None:
    for number in range(100):
        disk, model, file = killable(tmp_path, number)
        restore(model, file, "set")
        disk.kill_after = number
        try:
            undo(model, file)
        except Killed:
            disk.kill_after = -1
        else:
            break
        assert sorted(disk.names.values()) == ["old", "set"]
        undo(model, file, NOW + 61)
        assert disk.names["live"] == "old"
        assert sorted(disk.names.values()) == ["old", "set"]
    assert number > 4, "kills that were tried"


def test_nothing_is_swapped_that_another_run_has_prepared(model: Model, file: KillableFile) -> None:
    model.disk.names["prepared"] = "other"
    file.write(Record(Restored("other", state="other"), None))
    with pytest.raises(PlatformError, match="Nothing of set stands ready"):
        restore_flow.switch(model, file, "set", NOW)
    assert model.disk.names["live"] == "old"


def test_what_a_killed_restore_had_made_ready_is_dropped_by_the_next_backup(model: Model, file: KillableFile) -> None:
    model.disk.names["prepared"] = "set"
    file.write(Record(Restored("set", state="set"), None))
    names = restore_flow.to_drop(model, file.read(), NOW, 7 * DAY)
    assert names == ["prepared"]
    restore_flow.clear(model, file, file.read(), names)
    assert model.disk.names == {"live": "old"}
    assert restore_flow.to_drop(model, file.read(), NOW, 7 * DAY) == []


def test_a_damaged_record_says_that_there_is_nothing_to_undo(model: Model, file: KillableFile) -> None:
    restore(model, file, "set")
    Path(file.path).write_text("{")
    assert file.read() == Record()
    assert not undo(model, file)


@pytest.mark.parametrize(
    ("age", "days", "gone"),
    [(6.9 * DAY, 7, False), (7 * DAY, 7, True), (400 * DAY, 7, True), (0, 0, True)],
)
def test_what_was_kept_goes_after_its_days_to_the_second(age: float, days: int, gone: bool) -> None:
    name = f"agents_before_{stamp(NOW - age)}"
    assert kept_since(name) == int(NOW - age)
    assert expired([name, "agents", "agents_before_"], NOW, days * DAY) == ([name] if gone else [])


def test_two_restores_within_a_second_keep_what_served_before_each(model: Model, file: KillableFile) -> None:
    restore(model, file, "first", NOW)
    restore(model, file, "second", NOW)
    undo(model, file, NOW)
    assert sorted(model.disk.names.values()) == ["first", "old", "second"]
    assert model.disk.names["live"] == "first"
