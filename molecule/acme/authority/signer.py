# ruff: noqa: INP001 (gunicorn finds it in its working directory, by name)
"""Signs as serles' own backend does, and adds what that leaves out: the names, without which no client accepts it."""

from __future__ import annotations

import subprocess

from serles.backends import openssl

DAYS = 90  # as long as the best known public authority's


class Backend(openssl.Backend):
    """A backend as serles' manual describes it; ``cacert`` and ``cakey`` come from its configuration."""

    def sign(self, csr: bytes, _subject: str, _names: list[str], _email: str | None) -> tuple[str | None, str | None]:
        """The chain in PEM and no error, or no chain and what openssl says."""
        command = ["openssl", "x509", "-req", "-CA", self.cacert, "-CAkey", self.cakey]
        command += ["-days", str(DAYS), "-copy_extensions", "copy"]
        signed = subprocess.run(command, input=csr, capture_output=True, check=False)
        if signed.returncode:
            return None, signed.stderr.decode()
        with open(self.cacert, encoding="ascii") as authority:
            return signed.stdout.decode() + authority.read(), None
