"""A second run changes nothing: not a container, not a file, not a row."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from e2e_platform import Platform

# What PostgreSQL writes by itself while nobody writes: where a checkpoint or a snapshot of running transactions stands.
BACKGROUND_RECORDS = {"XLOG", "Standby"}
WALDUMP = "/usr/lib/postgresql/15/bin/pg_waldump"
DATA_FOLDER = "/var/lib/postgresql/data"
COUNTERS = "select coalesce(sum(tup_inserted + tup_updated + tup_deleted), 0) from pg_stat_database"


@pytest.fixture
def quiet(running: Platform) -> Iterator[Platform]:
    """The server's own housekeeping is done now and held off meanwhile, or its writes would be taken for ours."""
    running.sql("alter system set autovacuum = off")
    running.sql("select pg_reload_conf()")
    try:
        for _ in range(100):
            if running.sql("select count(*) from pg_stat_activity where backend_type = 'autovacuum worker'") == "0":
                break
            time.sleep(0.1)
        for step in ("analyze", "vacuum (freeze)"):
            for database in ("postgres", "erni_agents"):
                running.sql(step, database)
        running.sql("checkpoint")
        time.sleep(1)  # the statistics of sessions that have just ended arrive
        yield running
    finally:
        running.sql("alter system reset autovacuum")
        running.sql("select pg_reload_conf()")


def position(platform: Platform) -> str:
    platform.sql("select pg_switch_wal()")  # so that the record at the position exists and can be read up to
    return platform.sql("select pg_current_wal_insert_lsn()")


def written(platform: Platform, begin: str, end: str) -> list[str]:
    """The log's records between two positions that somebody asked for (pg_waldump, PostgreSQL's manual)."""
    if begin == end:
        return []
    words = (WALDUMP, f"--path={DATA_FOLDER}/pg_wal", f"--start={begin}", f"--end={end}")
    _, output = platform.exec("postgres", *words)
    records = [line for line in output.splitlines() if line.startswith("rmgr:")]
    assert records, output
    return [record for record in records if record.split()[1] not in BACKGROUND_RECORDS]


def test_a_second_run_touches_no_container_and_no_file(running: Platform) -> None:
    before = running.footprint()

    run = running.up()

    assert run.changes == []
    assert running.footprint() == before


def test_a_second_run_writes_nothing_to_the_database(quiet: Platform) -> None:
    begin, counted = position(quiet), quiet.sql(COUNTERS)

    quiet.up()
    time.sleep(1)

    assert quiet.sql(COUNTERS) == counted
    assert written(quiet, begin, position(quiet)) == []


def test_the_proof_would_see_a_single_row(quiet: Platform) -> None:
    begin, counted = position(quiet), quiet.sql(COUNTERS)

    quiet.sql("create table proof (n int); insert into proof values (1); drop table proof")
    time.sleep(1)

    assert quiet.sql(COUNTERS) != counted
    assert written(quiet, begin, position(quiet))


def test_a_check_of_a_converged_platform_is_silent(running: Platform) -> None:
    before = running.footprint()

    run = running.make("up", check=1, diff=1).succeeded()

    assert run.changes == []
    assert "would: " not in run.output
    assert not [line for line in run.output.splitlines() if line.startswith(("--- ", "+++ ", "@@ "))]
    assert running.footprint() == before
