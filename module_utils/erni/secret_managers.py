"""Secret managers as homes of an environment's secrets, through their own clients. On the control node alone, and
imported only where one is named (``secret_homes``): the clients take half a second.

Each keeps the whole document (``secret_store``) as one secret, so that a step of a rotation is one write there, too:
all or nothing, and a version of its own by the manager's own count. Who may open it comes from the client's own places
(environment variables, files, the machine's role), never from an inventory.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests

from .errors import PlatformError
from .secret_store import SecretStore

try:
    import hvac
except ImportError:
    hvac = None
try:
    import boto3
    import botocore.exceptions
except ImportError:
    boto3 = None
try:
    import azure.core.exceptions
    import azure.identity
    import azure.keyvault.secrets
except ImportError:
    azure = None  # type: ignore[assignment]

RETRIES = 2  # its client's own ten take minutes
NOBODY_WAITS = "Nothing was changed. See that it can be reached from here, and that whoever runs this may open it."
ANOTHER_WROTE = "Nothing was changed. Run it again: it then begins with what is there now."


class Home(SecretStore):
    """``failures`` are what its client raises."""

    failures: tuple[type[Exception], ...]

    @abstractmethod
    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()

    @contextmanager
    def _asked(self, done: str) -> Iterator[None]:
        try:
            yield
        except self.failures as error:
            raise PlatformError(
                f"The secrets in {self.place} could not be {done}", _sentence(error), NOBODY_WAITS
            ) from error

    def _written_meanwhile(self) -> PlatformError:
        return PlatformError(
            f"The secrets in {self.place} were not written", "another has written there since", ANOTHER_WROTE
        )


class HashicorpVault(Home):
    """A secret of the KV engine, version 2. Another's write in between is noticed by the server (check-and-set).

    :param settings: ``url``, ``path``; ``mount`` (default: secret), ``ca`` (PEM file, default: the system's).
    """

    editing = "`vault kv put`, or in its interface"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self.failures = (hvac.exceptions.VaultError, requests.RequestException)
        self._path, self._mount = settings["path"], settings.get("mount", "secret")
        self.place = f"{settings['url']} ({self._mount}/{self._path})"
        self._kv = hvac.Client(url=settings["url"], verify=settings.get("ca") or True).secrets.kv.v2
        self._version = 0

    def load(self) -> dict[str, Any] | None:
        with self._asked("read"):
            try:
                found = self._kv.read_secret_version(
                    path=self._path, mount_point=self._mount, raise_on_deleted_version=True
                )["data"]
            except hvac.exceptions.InvalidPath:
                return None
        self._version = found["metadata"]["version"]
        return dict(found["data"])

    def save(self, document: Mapping[str, Any]) -> None:
        with self._asked("written"):
            try:
                written = self._kv.create_or_update_secret(
                    path=self._path, secret=dict(document), cas=self._version, mount_point=self._mount
                )
            except hvac.exceptions.InvalidRequest as error:
                if "check-and-set" not in str(error):
                    raise
                raise self._written_meanwhile() from error
        self._version = written["data"]["version"]


class VersionedText(Home):
    """A manager of texts with versions, which compares nothing on writing: another's write is noticed unless it comes
    in the milliseconds between a look and the write."""

    _version = ""

    @abstractmethod
    def _current(self) -> tuple[str, str] | None:
        """Version and text, or None where there is none yet."""

    @abstractmethod
    def _put(self, text: str, *, exists: bool) -> str:
        """Write, and tell the version."""

    def load(self) -> dict[str, Any] | None:
        with self._asked("read"):
            found = self._current()
        if found is None:
            return None
        self._version, text = found
        try:
            document = json.loads(text)
        except ValueError:
            document = {}
        return document if isinstance(document, dict) else {}

    def save(self, document: Mapping[str, Any]) -> None:
        with self._asked("written"):
            found = self._current()
            if (found[0] if found else "") != self._version:
                raise self._written_meanwhile()
            self._version = self._put(json.dumps(dict(document)), exists=found is not None)


class AwsSecretsManager(VersionedText):
    """A secret of AWS Secrets Manager. What was before keeps the stage AWSPREVIOUS there.

    :param settings: ``secret`` (name or ARN), ``region``; ``endpoint`` (default: the region's).
    """

    editing = "`aws secretsmanager put-secret-value`, or in its console"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self.failures = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)
        self._secret = settings["secret"]
        self.place = f"AWS Secrets Manager in {settings['region']} ({self._secret})"
        self._client = boto3.client(
            "secretsmanager", region_name=settings["region"], endpoint_url=settings.get("endpoint")
        )

    def _current(self) -> tuple[str, str] | None:
        try:
            found = self._client.get_secret_value(SecretId=self._secret)
        except self._client.exceptions.ResourceNotFoundException:
            return None
        return found["VersionId"], found["SecretString"]

    def _put(self, text: str, *, exists: bool) -> str:
        if exists:
            written = self._client.put_secret_value(SecretId=self._secret, SecretString=text)
        else:
            written = self._client.create_secret(Name=self._secret, SecretString=text)
        return str(written["VersionId"])


class AzureKeyVault(VersionedText):
    """A secret of an Azure Key Vault, which keeps each version.

    :param settings: ``url`` of the key vault, ``secret`` (its name there).
    """

    editing = "`az keyvault secret set --file`, or in its portal"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self.failures = (azure.core.exceptions.AzureError,)
        self._secret = settings["secret"]
        self.place = f"{settings['url']} ({self._secret})"
        credential = azure.identity.DefaultAzureCredential()
        self._client = azure.keyvault.secrets.SecretClient(settings["url"], credential, retry_total=RETRIES)

    def _current(self) -> tuple[str, str] | None:
        try:
            found = self._client.get_secret(self._secret)
        except azure.core.exceptions.ResourceNotFoundError:
            return None
        return str(found.properties.version), str(found.value)

    def _put(self, text: str, *, exists: bool) -> str:  # noqa: ARG002 - there, a first version is written like any other
        written = self._client.set_secret(self._secret, text, content_type="application/json")
        return str(written.properties.version)


KINDS: dict[str, type[Home]] = {
    "hashicorp_vault": HashicorpVault,
    "aws_secrets_manager": AwsSecretsManager,
    "azure_key_vault": AzureKeyVault,
}


def _sentence(error: Exception) -> str:
    """The cause alone: clients put whole requests around it."""
    return str(error).strip().splitlines()[0].rstrip(".")[:300] if str(error).strip() else type(error).__name__
