"""What nginx has answered, read from its access log (one JSON object a line on standard output)."""

from __future__ import annotations

import calendar
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from . import engine
from .bake import FIRST_SERVER_ERROR, Request

# nginx's own status for a request whose client closed the connection before there was an answer.
CLIENT_WENT_AWAY = 499
FIRST_LINES = 1000
# $upstream_addr: servers asked one after the other are separated by commas, and by colons after an internal redirect
# (nginx's documentation, ngx_http_upstream_module). An address's own colon has no blank beside it.
_SEPARATOR = re.compile(r"\s*,\s*|\s+:\s+")


def read_requests(client: Any, container: str, since: float, slots: Mapping[str, str]) -> list[Request]:
    """The requests that the proxy finished after ``since`` (seconds since the epoch), oldest first.

    :param slots: the slot of each upstream's address (without port): tells whom nginx asked in vain.
    :raises PlatformError: when the engine refuses its log.
    """
    text = _read_back_to(client, container, since)
    lines = text.decode(errors="replace").split("\n")  # splitlines() would also cut at a client's odd characters
    requests = (parse(line, slots) for line in lines)
    return [request for request in requests if request is not None and request.time >= since]


def _read_back_to(client: Any, container: str, since: float) -> bytes:
    """From the end of the log backwards, twice as far each time: the engine would read all of it from the beginning to
    find a moment, and a busy proxy's log is tens of megabytes, again at each look.

    Both streams, since the engine counts lines of both; nginx's own messages on standard error are no requests.
    """
    lines = FIRST_LINES
    while True:
        with engine.explained(f"The log of {container} cannot be read"):
            # Debian's SDK takes whole seconds only.
            text: bytes = client.logs(
                container, since=int(since), tail=lines, timestamps=True, stdout=True, stderr=True
            )
        if text.count(b"\n") < lines:  # it is all there is since then
            return text
        lines *= 2


def parse(line: str, slots: Mapping[str, str]) -> Request | None:
    """A line as the engine gives it, its time stamp first; None for whatever is no request."""
    stamp, _, text = line.partition(" ")
    try:
        told = json.loads(text)
        return Request(
            time=_epoch(stamp),
            method=str(told["method"]),
            uri=str(told["uri"]),
            status=int(told["status"]),
            seconds=_seconds(told),
            slot=str(told.get("slot", "")) or _given_up_on(told, slots),
            release=str(told.get("release", "")),
            failed_slots=_failed_slots(told, slots),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _epoch(stamp: str) -> float:
    """The engine's time stamp, in UTC with nanoseconds; nginx's own has whole seconds only."""
    whole, _, fraction = stamp.removesuffix("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction or 0}")


def _seconds(told: Mapping[str, Any]) -> float:
    """The answering upstream's time; where no upstream was asked, nginx's own for the whole request."""
    last = _SEPARATOR.split(str(told.get("upstream_time", "")))[-1]
    return float(told["request_time"] if last in ("", "-") else last)


def _given_up_on(told: Mapping[str, Any], slots: Mapping[str, str]) -> str:
    """The slot that a client was waiting for when it went away (499): no error, but so long the slot took at least.

    A release that hangs would else leave no trace, since nobody waits until nginx loses patience.
    """
    asked = _SEPARATOR.split(str(told.get("upstream", "")))[-1]
    return slots.get(asked.rpartition(":")[0], "") if int(told["status"]) == CLIENT_WENT_AWAY else ""


def _failed_slots(told: Mapping[str, Any], slots: Mapping[str, str]) -> tuple[str, ...]:
    """Whoever was asked before the last one did not answer; nor did that where the error is nginx's own (502, 504)."""
    asked = _SEPARATOR.split(str(told.get("upstream", "")))
    answered = told.get("slot") or int(told["status"]) < FIRST_SERVER_ERROR
    in_vain = asked[:-1] if answered else asked
    return tuple(slots[address] for entry in in_vain if (address := entry.rpartition(":")[0]) in slots)
