"""What a server certificate on disk is good for."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from dataclasses import dataclass
from typing import Any

from .errors import PlatformError

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
except ImportError:
    x509 = None  # type: ignore[assignment]

LOCAL_AUTHORITY_MARK = "ERNI local authority"


@dataclass(frozen=True)
class Certificate:
    """The facts that decide. ``not_after`` is naive UTC."""

    names: frozenset[str]
    not_after: dt.datetime
    key_fits: bool
    issuer: str

    @property
    def self_issued(self) -> bool:
        return self.issuer.startswith(LOCAL_AUTHORITY_MARK)

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
        _names(leaf), _not_after(leaf), _public(key.public_key()) == _public(leaf.public_key()), _issuer(leaf)
    )


def _names(leaf: Any) -> frozenset[str]:
    try:
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    names = [name.lower() for name in alternative.get_values_for_type(x509.DNSName)]
    return frozenset(names + [str(address) for address in alternative.get_values_for_type(x509.IPAddress)])


def _not_after(leaf: Any) -> dt.datetime:
    """Debian 12's cryptography 38 has only the naive attribute, newer versions deprecate it."""
    if hasattr(leaf, "not_valid_after_utc"):
        return leaf.not_valid_after_utc.replace(tzinfo=None)  # type: ignore[no-any-return]
    return leaf.not_valid_after  # type: ignore[no-any-return]


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
