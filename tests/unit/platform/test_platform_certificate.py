"""What a server certificate on disk is good for, with real certificates."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils.erni.certificate import Certificate, alternative_name, covers, problems, read
from certificate_builders import BEGIN, END, issue, private
from cryptography.hazmat.primitives.asymmetric import ec

NOW = dt.datetime(2030, 1, 1, 12)  # noqa: DTZ001 (naive UTC, as the module's facts are)
GOOD = Certificate(frozenset({"app.example.org", "*.example.com"}), BEGIN, END, key_fits=True, issuer="Someone")

Write = Callable[..., tuple[str, str]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a chain (leaf first, then a foreign certificate) and a key, and return both paths."""

    def write_pair(names: list[str], issuer: str = "Someone", *, other_key: bool = False) -> tuple[str, str]:
        key, foreign = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        chain, key_file = tmp_path / "chain.pem", tmp_path / "key.pem"
        chain.write_bytes(issue(key, names, issuer) + issue(foreign, ["intermediate"], "Root"))
        key_file.write_bytes(private(foreign if other_key else key))
        return str(chain), str(key_file)

    return write_pair


def test_the_first_certificate_of_the_chain_is_read_with_all_that_decides(write: Write) -> None:
    found = read(*write(["App.Example.org", "*.example.com", "192.0.2.7", "2001:db8::7"]))
    assert found is not None
    names = frozenset({"app.example.org", "*.example.com", "192.0.2.7", "2001:db8::7"})
    assert found == Certificate(names, BEGIN, END, key_fits=True, issuer="Someone", serial=found.serial)
    assert found.serial > 0


def test_another_certificates_key_does_not_fit(write: Write) -> None:
    found = read(*write(["a.example.org"], other_key=True))
    assert found is not None
    assert problems(found, ["a.example.org"], 30, NOW) == ["its key does not fit"]


def test_a_certificate_without_alternative_names_is_valid_for_none(write: Write) -> None:
    found = read(*write([]))
    assert found is not None
    assert problems(found, ["the server"], 30, NOW) == ["it is not valid for the server"]


@pytest.mark.parametrize(
    ("issuer", "own"), [("ERNI local authority 2030", True), ("Let us say someone", False), ("", False)]
)
def test_the_local_authoritys_certificates_are_told_from_others(write: Write, issuer: str, own: bool) -> None:
    found = read(*write(["a"], issuer))
    assert found is not None
    assert found.self_issued is own


@pytest.mark.parametrize("missing", [0, 1])
def test_half_a_pair_is_no_certificate(write: Write, missing: int) -> None:
    paths = write(["a"])
    Path(paths[missing]).unlink()
    assert read(*paths) is None


@pytest.mark.parametrize("broken", [0, 1])
@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\ncut", b"hello"])
def test_what_is_cut_off_or_something_else_is_as_good_as_none(write: Write, broken: int, content: bytes) -> None:
    paths = write(["a"])
    Path(paths[broken]).write_bytes(content)
    assert read(*paths) is None


def test_there_is_a_sentence_for_no_certificate_at_all() -> None:
    assert problems(None, ["a"], 30, NOW) == ["there is no certificate yet"]


@pytest.mark.parametrize(
    ("certificate", "names", "expected"),
    [
        (GOOD, ["app.example.org", "x.example.com"], []),
        (GOOD, ["app.example.org", "b", "c"], ["it is not valid for b, c"]),
        (replace(GOOD, key_fits=False), ["b"], ["its key does not fit", "it is not valid for b"]),
    ],
)
def test_all_problems_are_told_at_once(certificate: Certificate, names: list[str], expected: list[str]) -> None:
    assert problems(certificate, names, 30, NOW) == expected


@pytest.mark.parametrize(
    ("days_before_the_end", "good"), [(31, True), (30, True), (29, False), (0, False), (-1, False)]
)
def test_a_certificate_is_good_until_fewer_days_are_left_than_it_must_last(
    days_before_the_end: int, good: bool
) -> None:
    found = problems(GOOD, ["app.example.org"], 30, END - dt.timedelta(days=days_before_the_end))
    assert (found == []) is good
    assert good or "2030-03-01" in found[0]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("app.example.org", True),
        ("APP.example.ORG", True),
        ("other.example.org", False),
        ("x.example.com", True),
        ("X.EXAMPLE.COM", True),
        ("a.b.example.com", False),
        ("example.com", False),
        ("*.example.com", True),
        ("xexample.com", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_a_wildcard_covers_exactly_one_label(wanted: str, expected: bool) -> None:
    assert covers(GOOD.names, wanted) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("app.example.org", "DNS:app.example.org"),
        ("*.example.org", "DNS:*.example.org"),
        ("192.0.2.7", "IP:192.0.2.7"),
        ("2001:db8::7", "IP:2001:db8::7"),
        ("192.0.2.999", "DNS:192.0.2.999"),
    ],
)
def test_an_address_is_asked_for_as_an_address(name: str, expected: str) -> None:
    assert alternative_name(name) == expected
