"""A certificate that others hand out: it serves, then its successor, then the local authority's again."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import e2e_web
import pytest
from e2e_platform import ENV, Platform
from own_certificate import self_signed


class Given:
    """The two files of a company's certificate, which is its own authority."""

    def __init__(self, folder: Path) -> None:
        self.chain, self.key = folder / "chain.pem", folder / "key.pem"

    def renew(self) -> bytes:
        """Put another one there: what a client sees of it."""
        chain, key = self_signed(days=365)
        self.chain.write_bytes(chain)
        self.key.write_bytes(key)
        return ssl.PEM_cert_to_DER_cert(chain.decode())


@pytest.fixture
def given(running: Platform, tmp_path: Path) -> Iterator[Given]:
    files = Given(tmp_path)
    source = {"nginx_certificate_source": "files", "nginx_verify_authority": str(files.chain)}
    paths = {"nginx_certificate_file": str(files.chain), "nginx_certificate_key_file": str(files.key)}
    running.write_environment(ENV, source | paths)
    yield files
    running.write_environment(ENV)
    running.up()


def test_given_files_serve_and_their_successor_after_a_rotation(running: Platform, given: Given) -> None:
    first = given.renew()
    nginx = running.identities()["nginx"]
    assert running.up().changes
    assert e2e_web.certificate(given.chain) == first
    running.make("rotate", secrets="certificate").refused("holds the certificate that is served already")

    second = given.renew()
    run = running.make("rotate", secrets="certificate").succeeded()

    assert e2e_web.certificate(given.chain) == second
    assert running.identities()["nginx"] == nginx, "it was not restarted"
    assert given.key.read_text().splitlines()[1] not in run.output
    assert running.up().changes == []

    key = given.key.read_bytes()
    given.key.write_bytes(self_signed()[1])
    running.make("up").refused("its key does not fit")
    given.key.write_bytes(key)
    assert e2e_web.certificate(given.chain) == second

    running.write_environment(ENV)
    running.up()
    assert e2e_web.certificate() != second, "whoever names the local authority gets its certificate"
