"""What a server certificate on disk is good for."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from dataclasses import dataclass
from typing import Any

from .errors import PlatformError
from .files import digest, observe_file

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
except ImportError:
    x509 = None  # type: ignore[assignment]

LOCAL_AUTHORITY_MARK = "ERNI local authority"
CHAIN, KEY = "fullchain.pem", "privkey.pem"  # as certbot has named them, where other programs look for them


@dataclass(frozen=True)
class Certificate:
    """The facts that decide. ``not_before`` and ``not_after`` are naive UTC."""

    names: frozenset[str]
    not_before: dt.datetime
    not_after: dt.datetime
    key_fits: bool
    issuer: str
    serial: int = 0

    @property
    def self_issued(self) -> bool:
        return self.issuer.startswith(LOCAL_AUTHORITY_MARK)

    @property
    def told_serial(self) -> str:
        """As openssl and browsers write it."""
        return f"{self.serial:02X}"

    @property
    def told(self) -> dict[str, str]:
        """For the playbooks."""
        return {
            "serial": self.told_serial,
            "not_before": self.not_before.isoformat(),
            "not_after": self.not_after.isoformat(),
        }

    def days_left(self, now: dt.datetime) -> int:
        return (self.not_after - now).days


def problems(certificate: Certificate | None, names: list[str], min_days: int, now: dt.datetime) -> list[str]:
    """Why the certificate has to be issued anew, as sentences; none when it is good."""
    if certificate is None:
        return ["there is no certificate yet"]
    found = []
    if not certificate.key_fits:
        found.append("its key does not fit")
    missing = [name for name in names if not covers(certificate.names, name)]
    if missing:
        found.append(f"it is not valid for {', '.join(missing)}")
    left = certificate.days_left(now)
    if left < 0:
        found.append(f"it ended on {certificate.not_after:%Y-%m-%d}")
    elif left < min_days:
        found.append(f"it ends on {certificate.not_after:%Y-%m-%d}, in {left} days, which is less than {min_days}")
    return found


def too_early(certificate: Certificate, now: dt.datetime) -> list[str]:
    """What browsers would say of a certificate whose time has not begun."""
    if certificate.not_before <= now:
        return []
    return [f"it holds from {certificate.not_before:%Y-%m-%d %H:%M} UTC on, which is yet to come"]


def other_files(chain_path: str, key_path: str, given: list[str]) -> list[str]:
    """Whether an operator has given others than lie here.

    :param given: digests of the chain and of the key that were given; none for a certificate that is issued here.
    """
    here = [observe_file(path) for path in (chain_path, key_path)]
    if not given or given == [digest(state.content) for state in here if state]:
        return []
    return ["another one is given"]


def covers(names: frozenset[str], wanted: str) -> bool:
    """Exact name, or a wildcard for exactly one leftmost label (RFC 6125, section 6.4.3)."""
    wanted = wanted.lower()
    _, _, parent = wanted.partition(".")
    return wanted in names or (bool(parent) and f"*.{parent}" in names)


def read(chain_path: str, key_path: str) -> Certificate | None:
    """The first certificate of the chain, or None where a file is missing.

    :raises PlatformError: when a file is there but cannot be read as what it should be.
    """
    if not (os.path.isfile(chain_path) and os.path.isfile(key_path)):
        return None
    if x509 is None:
        raise PlatformError(
            "The certificate cannot be read", "python3-cryptography is missing on this host", "Run make up."
        )
    try:
        with open(chain_path, "rb") as handle:
            leaf = x509.load_pem_x509_certificate(handle.read())
        with open(key_path, "rb") as handle:
            key = serialization.load_pem_private_key(handle.read(), None)
    except TypeError:
        raise PlatformError(
            f"The key {key_path} is encrypted with a passphrase",
            "nginx could not read it",
            "Give it without one; ansible-vault protects it in the repository.",
        ) from None
    except ValueError:
        return None  # cut off or foreign: as good as none
    return Certificate(
        _names(leaf),
        _moment(leaf, "not_valid_before"),
        _moment(leaf, "not_valid_after"),
        _public(key.public_key()) == _public(leaf.public_key()),
        _issuer(leaf),
        leaf.serial_number,
    )


def serial_of(encoded: bytes) -> int:
    """The serial number of a certificate in DER.

    :raises OSError: when it is none, as for whatever else a handshake may end with.
    """
    try:
        return int(x509.load_der_x509_certificate(encoded).serial_number)
    except ValueError as error:
        raise OSError(f"what came is no certificate: {error}") from error


def _names(leaf: Any) -> frozenset[str]:
    try:
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    names = [name.lower() for name in alternative.get_values_for_type(x509.DNSName)]
    return frozenset(names + [str(address) for address in alternative.get_values_for_type(x509.IPAddress)])


def _moment(leaf: Any, attribute: str) -> dt.datetime:
    """Debian 12's cryptography 38 has only the naive attribute, newer versions deprecate it."""
    if hasattr(leaf, f"{attribute}_utc"):
        return getattr(leaf, f"{attribute}_utc").replace(tzinfo=None)  # type: ignore[no-any-return]
    return getattr(leaf, attribute)  # type: ignore[no-any-return]


def _public(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _issuer(leaf: Any) -> str:
    attributes = leaf.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(attributes[0].value) if attributes else ""


def alternative_name(name: str) -> str:
    """``DNS:`` or ``IP:`` as a certificate request wants it."""
    try:
        ipaddress.ip_address(name)
        return f"IP:{name}"
    except ValueError:
        return f"DNS:{name}"
