"""Secrets of GitHub Actions: which are older than what they should be copies of, and how a new value is sent.

GitHub takes values that are sealed for the repository's public key (libsodium's sealed boxes), and gives none back:
what it tells is when each was last written. Source: GitHub's REST API, "GitHub Actions Secrets".
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from .errors import PlatformError
from .keyring import parsed
from .planning import Difference, Plan

try:
    import requests
    from nacl.public import PublicKey, SealedBox
except ImportError:  # only the control node needs them
    requests = None  # type: ignore[assignment]

TIMEOUT = 20  # seconds, for each step of a conversation
PAGE = 100  # secrets in an answer, the most that there can be


@dataclass(frozen=True)
class Repository:
    """``owner/name``; with an ``environment`` its secrets instead of those of the whole repository."""

    url: str
    name: str
    environment: str = ""
    token: str = field(default="", repr=False)

    @property
    def secrets_url(self) -> str:
        place = f"environments/{quote(self.environment, safe='')}" if self.environment else "actions"
        return f"{self.url.rstrip('/')}/repos/{self.name}/{place}/secrets"


def plan(wanted: Mapping[str, str], written: Mapping[str, str]) -> Plan:
    """Which secrets are sent.

    :param wanted: since when each has its value here, by its name there; '' where nobody knows.
    :param written: when each was last written there.
    """
    made = Plan()
    for name, since in sorted(wanted.items()):
        if name in written and since and parsed(written[name]) >= parsed(since):
            continue
        made.differences.append(Difference(name, None, "sent", secret=True))
        made.add("send", name, f"GitHub Actions gets the value of {name}")
    return made


class GitHub:
    """The few calls that it takes."""

    def __init__(self, repository: Repository) -> None:
        if requests is None:
            raise PlatformError(
                "Secrets cannot be sent to GitHub",
                "the Python packages requests and PyNaCl are missing",
                "Run the verb with make, whose Python environment has them.",
            )
        self._repository = repository
        self._session = requests.Session()
        self._session.headers.update(
            {"Accept": "application/vnd.github+json", "Authorization": f"Bearer {repository.token}"}
        )

    def written(self) -> dict[str, str]:
        """When each secret was last written, by name."""
        found: dict[str, str] = {}
        page = 1
        while True:
            told = self._ask("GET", f"{self._repository.secrets_url}?per_page={PAGE}&page={page}")
            found |= {entry["name"]: entry["updated_at"] for entry in told["secrets"]}
            if len(found) >= told["total_count"] or not told["secrets"]:
                return found
            page += 1

    def send(self, values: Mapping[str, str]) -> None:
        """Seal each for the repository's key, which may change between two runs."""
        key = self._ask("GET", f"{self._repository.secrets_url}/public-key")
        for name, value in values.items():
            body = {"encrypted_value": sealed(key["key"], value), "key_id": key["key_id"]}
            self._ask("PUT", f"{self._repository.secrets_url}/{name}", body)

    def _ask(self, method: str, url: str, body: Mapping[str, str] | None = None) -> Any:
        where = f"{self._repository.name} at {self._repository.url}"
        try:
            answer = self._session.request(method, url, json=body, timeout=TIMEOUT)
        except requests.RequestException as error:
            raise PlatformError(
                f"GitHub's secrets of {where} cannot be reached",
                type(error).__name__,
                "The rotation goes on with make rotate; see that the control node has a way there.",
            ) from None
        if not answer.ok:
            raise PlatformError(
                f"GitHub refused {method} of the secrets of {where}",
                f"it answered {answer.status_code} {answer.reason}",
                "github_token in the vault needs the right to write secrets; then run make rotate, which goes on.",
            )
        return answer.json() if answer.content else {}


def sealed(key: str, value: str) -> str:
    """A sealed box of libsodium, in Base64, for a public key in Base64."""
    return base64.b64encode(SealedBox(PublicKey(base64.b64decode(key))).encrypt(value.encode())).decode()
