"""Users of the tests' platform, and what must be so of them."""

from __future__ import annotations

from typing import Any

import e2e_web
from e2e_platform import HTTPS_PORT, Platform
from load_generator import Load
from load_posts import posts_applied_exactly_once
from load_report import Report
from load_settings import Settings


def load(rate: float, **settings: Any) -> Load:
    """:param rate: requests a second, mixed."""
    return Load(Settings(port=HTTPS_PORT, authority=str(e2e_web.AUTHORITY), rate=rate, **settings))


def assert_nothing_lost(platform: Platform, report: Report) -> None:
    assert report.failures == [], report.failures_by_kind()
    assert report.total > 0
    assert posts_applied_exactly_once(report.posts_answered, platform.sql) == []
    assert set(report.posts_sent) == set(report.posts_answered)
