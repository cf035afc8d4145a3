"""The database comes back to a moment, as an operator types it, and everything else stays as it is."""

from __future__ import annotations

import secrets
import shutil
import time

from e2e_platform import ENV, PLATFORM_ROOT, Platform
from e2e_web import chat

NOW = "select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS') || '+00'"


def test_what_was_written_after_a_moment_is_gone_and_comes_back(running: Platform, conversation: str) -> None:
    passphrase = secrets.token_urlsafe(24)
    archived = {"postgres_archive": {"to": "folder"}, "postgres_archive_timeout": 5}
    running.write_environment(ENV, archived, {**running.secrets(), "archive_passphrase": passphrase})
    try:
        running.up()
        running.make("backup").succeeded()
        wanted = str(chat("before the moment")["conversation_id"])
        time.sleep(1.1)  # moments are told in seconds
        moment = running.sql(NOW)
        time.sleep(1.1)
        unwanted = str(chat("after the moment")["conversation_id"])

        run = running.make("restore", time=moment).succeeded()

        assert [running.messages_of(one) for one in (conversation, wanted, unwanted)] == [2, 2, 0]
        assert passphrase not in run.output
        running.make("verify").succeeded()
        running.make("restore-undo").succeeded()
        assert [running.messages_of(one) for one in (conversation, wanted, unwanted)] == [2, 2, 2]
    finally:
        running.write_environment(ENV)
        running.up()  # nobody writes to the archive any more
        shutil.rmtree(PLATFORM_ROOT / "archive", ignore_errors=True)  # there may be none
