"""Where a release comes from, as an operator types it: ``RELEASE=``. Pure; runs on the control node."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import PlatformError

SERVICES = ("backend", "frontend")
INVENTORY = "inventory"
EXAMPLE = "RELEASE=backend=<image>,frontend=<image>"

# What git refuses in a name (git-check-ref-format(1)), and what its programs would take for an option.
_REFUSED_BY_GIT = re.compile(
    r"^-|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|^@$|//|^/|/$|\.$|(^|/)\.|\.lock(/|$)",
)
_USER_OF_A_URL = re.compile(r"(?<=://)[^/\s]*@")
_NAMES_IMAGES = re.compile(r"(^|[,\s])(backend|frontend)=")
# distribution/reference's grammar: [host[:port]/]path[:tag][@digest].
_IMAGE = re.compile(
    r"(?:[a-zA-Z0-9][a-zA-Z0-9.-]*(?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
    re.ASCII,
)


@dataclass(frozen=True)
class Inventory:
    """What the inventory's variables say."""


@dataclass(frozen=True)
class GitRef:
    """A branch, a tag or a commit of the product's repository."""

    name: str


@dataclass(frozen=True)
class Images:
    """Images that were built elsewhere."""

    backend: str
    frontend: str


def parse(text: str) -> Inventory | GitRef | Images:
    """What is meant: nothing or ``inventory``, ``backend=<image>,frontend=<image>``, or a name that git knows.

    :raises PlatformError: when it can be none of them.
    """
    text = text.strip()
    if text in ("", INVENTORY):
        return Inventory()
    if _NAMES_IMAGES.search(text):
        return _images(text)
    if refused := _REFUSED_BY_GIT.search(text):
        why = f"{refused[0]!r} cannot stand there in the name of a branch, a tag or a commit"
        raise _unclear(text, why)
    return GitRef(text)


def without_user(text: str) -> str:
    """The text without the ``user:password@`` of the URLs in it."""
    return _USER_OF_A_URL.sub("", text)


def _images(text: str) -> Images:
    found: dict[str, str] = {}
    for entry in re.split(r"[,\s]+", text.strip(", \t")):
        service, separator, reference = entry.partition("=")
        if service not in SERVICES or not separator:
            raise _unclear(text, f"'{entry}' is neither backend=<image> nor frontend=<image>")
        if service in found:
            raise _unclear(text, f"{service} is named twice")
        if not _IMAGE.fullmatch(reference):
            raise _unclear(text, f"'{reference}' is no reference to an image")
        found[service] = reference
    if missing := [service for service in SERVICES if service not in found]:
        raise _unclear(text, f"{missing[0]} is missing, and the two switch together")
    return Images(**found)


def _unclear(text: str, why: str) -> PlatformError:
    remedy = f"Name a branch, a tag or a commit, or both images ({EXAMPLE}), or leave RELEASE out."
    return PlatformError(without_user(f"RELEASE={text} cannot be deployed"), without_user(why), remedy)
