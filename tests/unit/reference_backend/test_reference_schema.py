"""The schema file: what the platform relies on when it loads it."""

from __future__ import annotations

import re

from reference_environment import SCRIPTS

SQL = (SCRIPTS / "init_db.sql").read_text(encoding="utf-8")


def test_all_tables_of_the_contract_are_created() -> None:
    created = set(re.findall(r"^CREATE TABLE IF NOT EXISTS (\w+)", SQL, re.MULTILINE))
    assert created == {"conversations", "messages", "projects", "consultations", "cost_estimates", "audit_log"}


def test_a_second_run_fails_at_a_trigger() -> None:
    triggers = re.findall(r"^CREATE (.*)TRIGGER (\w+)", SQL, re.MULTILINE)
    assert triggers
    assert all(modifier == "" for modifier, _ in triggers)


def test_every_table_that_changes_keeps_the_time_of_its_change() -> None:
    tables = re.findall(r"^CREATE TABLE IF NOT EXISTS (\w+) \((.*?)^\);", SQL, re.MULTILINE | re.DOTALL)
    with_column = {name for name, columns in tables if "updated_at" in columns}
    with_trigger = set(re.findall(r"BEFORE UPDATE ON (\w+)", SQL))
    assert with_column == with_trigger != set()


def test_any_client_can_send_the_file() -> None:
    assert not re.search(r"^\s*\\", SQL, re.MULTILINE)
