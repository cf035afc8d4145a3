"""What the archive of the database holds, what is due, and which moments it can bring back."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
import yaml
from ansible.module_utils.erni.archive_apply import ArchiverState
from ansible.module_utils.erni.archive_figures import figures
from ansible.module_utils.erni.archive_plan import (
    DAY,
    ArchiveState,
    BaseBackup,
    base_for,
    due,
    is_end,
    last_commit,
    next_second,
    oldest_moment,
    parse_info,
    parse_moment,
    plan_stanza,
    told,
    verify_troubles,
)
from ansible.module_utils.erni.errors import PlatformError
from platform_builders import ROOT

NOW = 1_795_000_000.0
STANZA: dict[str, Any] = {
    "name": "erni",
    "db": [{"id": 1, "system-id": 11, "version": "14"}, {"id": 2, "system-id": 7712153739972124703, "version": "15"}],
    "status": {"code": 0, "message": "ok"},
    "backup": [
        {
            "label": "20261125-165749F",
            "type": "full",
            "error": False,
            "info": {"size": 23213672},
            "timestamp": {"start": 1795625869, "stop": 1795625871},
        }
    ],
}


def backup(kind: str, days_ago: float, *, damaged: bool = False) -> BaseBackup:
    began = int(NOW - days_ago * DAY)
    return BaseBackup(f"{kind}-{days_ago:g}", kind, began, began + 60, 1000, damaged)


def test_an_archive_is_read_as_pgbackrest_tells_it() -> None:
    state = parse_info(json.dumps([{"name": "other"}, STANZA]), "erni")
    assert state == ArchiveState(
        exists=True,
        system="7712153739972124703",
        backups=(BaseBackup("20261125-165749F", "full", 1795625869, 1795625871, 23213672),),
    )


@pytest.mark.parametrize(
    "text", ["[]", json.dumps([{**STANZA, "db": [], "status": {"code": 1, "message": "missing stanza path"}}])]
)
def test_an_archive_that_is_not_there_yet_is_told_from_one_that_cannot_be_read(text: str) -> None:
    assert parse_info(text, "erni") == ArchiveState(exists=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "pgbackrest info says nothing that can be read: nothing"),
        ("ERROR: [055]: it is locked\nmore", "nothing that can be read: ERROR: .055.: it is locked.$"),
        ('[{"name": "erni", "status": {"code": 0}}]', "nothing that can be read"),
        (
            '[{"name": "erni", "repo": [{"status": {"message": "unable to load x:\n\x01"}}], "status": {"code": 99}}]',
            "The archive cannot be read: unable to load x:. See whether the passphrase",
        ),
    ],
)
def test_what_cannot_be_read_is_never_taken_for_an_empty_archive(text: str, said: str) -> None:
    with pytest.raises(PlatformError, match=said):
        parse_info(text, "erni")


@pytest.mark.parametrize(
    ("state", "system", "kinds"),
    [
        (ArchiveState(exists=False), "5", ["create"]),
        (ArchiveState(exists=False), "", ["create"]),
        (ArchiveState(exists=True, system="5"), "5", []),
        (ArchiveState(exists=True, system="5"), "", []),
    ],
)
def test_an_archive_is_begun_where_there_is_none(state: ArchiveState, system: str, kinds: list[str]) -> None:
    assert plan_stanza(state, system).kinds == kinds


def test_another_clusters_archive_is_never_written_to() -> None:
    with pytest.raises(PlatformError, match="holds the cluster 4, and the server that runs is the cluster 5"):
        plan_stanza(ArchiveState(exists=True, system="4"), "5")


@pytest.mark.parametrize(
    ("backups", "expected"),
    [
        ([], "full"),
        ([backup("full", 0.5)], ""),
        ([backup("full", 0.9)], ""),
        ([backup("full", 0.99)], "diff"),  # the same time of day, a little early
        ([backup("full", 2)], "diff"),
        ([backup("full", 6), backup("diff", 1)], "diff"),
        ([backup("full", 6), backup("diff", 0.5)], ""),
        ([backup("full", 7), backup("diff", 0.5)], "full"),
        ([backup("full", 8), backup("diff", 1)], "full"),
        ([backup("full", 30), backup("full", 2), backup("diff", 0.2)], ""),
        ([backup("diff", 0.2)], "full"),  # its full one has expired
        ([backup("full", 0.5, damaged=True)], "full"),
        ([backup("full", 3), backup("diff", 0.5, damaged=True)], "diff"),
    ],
)
def test_a_base_backup_is_due_by_the_age_of_the_last_ones(backups: list[BaseBackup], expected: str) -> None:
    assert due(backups, NOW, full_days=7, diff_days=1) == expected


WELL = """stanza: erni
status: ok
  archiveId: 15-1, total WAL checked: 4, total valid WAL: 4
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
  backup: 20261125-165627F, status: valid, total files checked: 964, total valid files: 964
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
"""


@pytest.mark.parametrize(
    ("text", "troubles"),
    [
        (WELL, []),
        (
            WELL.replace("status: ok", "status: error").replace("other: 0", "other: 1", 1),
            ["archiveId: 15-1: 1 other", "the archive: error"],
        ),
        (
            WELL.replace("status: valid", "status: invalid").replace("checksum invalid: 0", "checksum invalid: 2"),
            [
                "archiveId: 15-1: 2 checksum invalid",
                "backup: 20261125-165627F: 2 checksum invalid",
                "backup: 20261125-165627F: invalid",
            ],
        ),
        (WELL.replace("missing: 0", "missing: 12", 1), ["archiveId: 15-1: 12 missing"]),
        ("", ["it does not say that all is well, but: nothing"]),
        ("stanza: erni\n", ["it does not say that all is well, but: stanza: erni"]),
        ("stanza: erni\nstatus: error\n", ["the archive: error"]),
    ],
)
def test_a_verification_counts_only_when_it_says_that_all_is_well(text: str, troubles: list[str]) -> None:
    assert verify_troubles(text) == troubles


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23 14:05:00+00", "2026-11-23 14:05:00+00"),
        ("2026-11-23T14:05:00Z", "2026-11-23 14:05:00+00"),
        (" 2026-11-23 14:05:00 Z ", "2026-11-23 14:05:00+00"),
        ("2026-11-23 14:05:00+02", "2026-11-23 12:05:00+00"),
        ("2026-11-23 14:05:00 -0330", "2026-11-23 17:35:00+00"),
        ("2026-11-23 14:05:00.25+01:00", "2026-11-23 13:05:00.250000+00"),
    ],
)
def test_a_moment_is_understood_and_told_in_utc(text: str, expected: str) -> None:
    assert told(parse_moment(text)) == expected
    assert parse_moment(told(parse_moment(text))) == parse_moment(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "yesterday", "14:05:00+00", "2026-11-23", "2026-11-23 14:05:00", "2026-11-23 14:05+00"),
        *("2026-13-01 00:00:00Z", "2026-02-30 00:00:00Z", "2026-11-23 24:05:00Z", "2026-11-23 14:05:00 Europe/Zurich"),
        *("2026-11-23 14:05:00+99", "2026-11-23 14:05:00Z; x", "0000-01-01 00:00:00Z", "0001-01-01 00:00:00+10"),
        *("2026-11-23 14:05:00z", "2026-11-23 14:05:0\u0663Z"),
    ],
)
def test_what_could_mean_two_moments_or_none_is_refused(text: str) -> None:
    with pytest.raises(PlatformError, match="is no moment: it has a date, a time, and its offset from UTC"):
        parse_moment(text)


BACKUPS = [
    BaseBackup("first", "full", 900, 1000, 1),
    BaseBackup("second", "diff", 1900, 2000, 1),
    BaseBackup("third", "full", 2900, 3000, 1, damaged=True),
]


def at(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


@pytest.mark.parametrize(
    ("moment", "base"), [(1001, "first"), (2000.9, "first"), (2001, "second"), (3500, "second"), (4000, "second")]
)
def test_the_newest_backup_that_had_ended_by_then_is_taken(moment: float, base: str) -> None:
    assert base_for(BACKUPS, at(moment), at(4000)).label == base


@pytest.mark.parametrize(("moment", "why"), [(1000.9, "no base backup is as old"), (4000.1, "it is in the future")])
def test_a_moment_outside_is_refused_with_the_range_that_can_be_had(moment: float, why: str) -> None:
    with pytest.raises(PlatformError) as refused:
        base_for(BACKUPS, at(moment), at(4000))
    said = f"{why}. Possible is any moment from 1970-01-01 00:16:41+00 to 1970-01-01 01:06:40+00."
    assert str(refused.value).endswith(said)


def test_without_a_base_backup_no_moment_can_be_had() -> None:
    assert oldest_moment([BACKUPS[2]]) is None
    with pytest.raises(PlatformError, match=r"There is no base backup to recover from: .* make backup makes one"):
        base_for([BACKUPS[2]], at(3500), at(4000))


LOG = """
2026-11-25 16:58:00.100 UTC [9] LOG:  last completed transaction was at log time 2026-11-25 16:55:00.1+00
2026-11-25 16:58:01.100 UTC [9] LOG:  last completed transaction was at log time 2026-11-25 16:55:24.714123+00
2026-11-25 16:58:01.100 UTC [9] FATAL:  recovery ended before configured recovery target was reached
"""


def test_the_last_commit_is_read_from_the_log_of_the_server_that_replays() -> None:
    assert last_commit("nothing of the kind") is None
    commit = last_commit(LOG)
    assert commit is not None
    assert told(commit) == "2026-11-25 16:55:24.714123+00"
    assert told(next_second(commit)) == "2026-11-25 16:55:25+00"
    assert next_second(at(5)) == at(5)


@pytest.mark.parametrize(("moment", "end"), [(9.4, False), (9.5, True), (10, True), (10.1, False), (3600, False)])
def test_the_end_of_an_archive_is_taken_only_for_the_second_that_it_ends_in(moment: float, end: bool) -> None:
    assert is_end(at(moment), at(9.5)) is end
    assert is_end(at(moment), None) is False


def test_the_figures_tell_the_lag_and_leave_out_what_is_not_known() -> None:
    state = ArchiveState(exists=True, system="5", backups=(backup("full", 3), backup("diff", 1)))
    text = figures("production", ArchiverState(NOW - 5, 2, True, 61.5, 3), state, NOW)
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    named = {name.partition("{")[0].removeprefix("erni_archive_"): float(value) for name, value in values.items()}
    assert named == {
        "lag_seconds": 61.5,
        "waiting_segments": 3,
        "failing": 1,
        "failures_total": 2,
        "last_success_timestamp_seconds": NOW - 5,
        "last_full_timestamp_seconds": NOW - 3 * DAY,
        "last_base_backup_timestamp_seconds": NOW - DAY,
        "oldest_moment_timestamp_seconds": NOW - 3 * DAY + 61,
        "observed_timestamp_seconds": NOW,
    }
    assert all('{environment="production"}' in name for name in values)
    bare = figures("local", ArchiverState(0, 0, False, 0, 0), ArchiveState(exists=True), NOW)
    assert "last_success" not in bare
    assert "last_full" not in bare
    assert "oldest_moment" not in bare


def test_a_server_that_archives_is_not_process_1() -> None:
    """As process 1 it inherits the pushes in the background, and takes one that fails for a crash of its own."""
    role = ROOT / "roles" / "postgres"
    assert "archive-async=y" in (role / "templates" / "pgbackrest.conf.j2").read_text()
    assert yaml.safe_load((role / "vars" / "main.yml").read_text())["__postgres_archive_service"]["init"] is True
