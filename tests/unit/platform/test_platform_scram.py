"""SCRAM verifiers, held against the example of RFC 7677."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from ansible.module_utils.erni import scram
from ansible.module_utils.erni.errors import PlatformError

# RFC 7677, section 3: user "user", password "pencil".
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
CLIENT_FIRST = "n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
CLIENT_FINAL = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
CLIENT_PROOF = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
SERVER_SIGNATURE = base64.b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
AUTHENTICATED = ",".join([CLIENT_FIRST, SERVER_FIRST, CLIENT_FINAL]).encode()


def parts(verifier: str) -> tuple[str, bytes, bytes, bytes]:
    """Iterations, salt, stored key and server key of what PostgreSQL keeps."""
    kind, head, keys = verifier.split("$")
    assert kind == "SCRAM-SHA-256"
    iterations, salt = head.split(":")
    stored, server = keys.split(":")
    return iterations, base64.b64decode(salt), base64.b64decode(stored), base64.b64decode(server)


def test_the_server_signs_as_in_the_rfcs_example() -> None:
    iterations, salt, _, server_key = parts(scram.verifier("pencil", SALT))
    assert (iterations, salt) == ("4096", SALT)
    assert hmac.digest(server_key, AUTHENTICATED, "sha256") == SERVER_SIGNATURE


def test_the_clients_proof_of_the_rfcs_example_is_accepted() -> None:
    """As a server does it (RFC 5802, section 3): undo the client's exclusive-or, hash, compare with the stored key."""
    _, _, stored_key, _ = parts(scram.verifier("pencil", SALT))
    signature = hmac.digest(stored_key, AUTHENTICATED, "sha256")
    client_key = bytes(a ^ b for a, b in zip(CLIENT_PROOF, signature, strict=True))
    assert hashlib.sha256(client_key).digest() == stored_key


def test_a_verifier_says_nothing_of_the_password_and_is_another_each_time() -> None:
    one, two = scram.verifier("pencil"), scram.verifier("pencil")
    assert one != two
    assert "pencil" not in one
    assert len(parts(one)[1]) == 16


@pytest.mark.parametrize(
    ("password", "stored", "expected"),
    [
        ("pencil", scram.verifier("pencil"), True),
        ("pencil", scram.verifier("pencil", b"other salt", 1000), True),
        ("pencil ", scram.verifier("pencil"), False),
        ("Pencil", scram.verifier("pencil"), False),
        ("pencil", None, False),
        ("pencil", "", False),
        ("pencil", "md5a3556571e93b0d20722ba62be61e8c2d", False),
        ("pencil", "pencil", False),
        ("pencil", scram.verifier("pencil") + "x", False),
    ],
)
def test_a_password_matches_the_verifier_that_was_made_from_it_and_no_other(
    password: str, stored: str | None, expected: bool
) -> None:
    assert scram.matches(password, stored) is expected


@pytest.mark.parametrize("password", ["", "grüezi", "tab\there", "null\0", "\u00a0"])
def test_a_password_whose_verifier_would_depend_on_the_client_is_refused_without_being_shown(password: str) -> None:
    with pytest.raises(PlatformError, match="printable ASCII") as refused:
        scram.verifier(password)
    assert not password or password not in str(refused.value)
