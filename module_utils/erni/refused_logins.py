"""Lines of logs that tell of a secret that was refused. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .findings import Finding

# PostgreSQL's src/backend/libpq/auth.c and miscinit.c; Redis' replies (its manual, "Security"); OpenAI's error codes.
REFUSALS = re.compile(
    "|".join(
        (
            r"password authentication failed for user",
            r"is not permitted to log in",
            r"no pg_hba\.conf entry for",
            r"\bWRONGPASS\b",
            r"\bNOAUTH\b",
            r"invalid username-password pair",
            r"\binvalid_api_key\b|Incorrect API key provided",
        )
    )
)
SHOWN = 3
REMEDY = (
    "The previous values still hold. Find who uses an old one (the lines name the login or the address), "
    "and run make rotate again, which goes on here."
)


def findings(logs: Mapping[str, str]) -> list[Finding]:
    """One for each container that has such lines.

    :param logs: what each container has logged since the rotation began, by its name.
    """
    found = []
    for container, text in logs.items():
        lines = [line.strip() for line in text.splitlines() if REFUSALS.search(line)]
        if lines:
            shown = "; ".join(lines[-SHOWN:])
            what = f"{container} has logged {len(lines)} refused logins since the rotation began"
            found.append(Finding(what, f"the last are: {shown}", REMEDY))
    return found
