"""The backup sets of the tests' environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from e2e_platform import ENV, PLATFORM_ROOT, Platform

BACKUPS = PLATFORM_ROOT / "backups"


def sets(platform: Platform) -> list[dict[str, Any]]:
    told = json.loads(
        platform.stdout_of(["make", "backups", f"ENV={ENV}", f"INVENTORIES={platform.inventories}", "FORMAT=json"])
    )
    return list(told["sets"])


def newest(platform: Platform) -> dict[str, Any]:
    return max((one for one in sets(platform) if not one["safety"]), key=lambda one: one["began"])


def recipients(identity: Path) -> list[str]:
    """The public key beside the private one."""
    return [line.split()[-1] for line in identity.read_text().splitlines() if "public key" in line]
