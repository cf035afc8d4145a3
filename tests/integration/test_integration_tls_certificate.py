"""A certificate is swapped before a real TLS server, which serves it, or goes on serving another."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from module_run import run_module
from own_certificate import self_signed

NAME = "localhost"


def put(folder: Path) -> bytes:
    """A new pair in the folder; the certificate in PEM."""
    folder.mkdir(exist_ok=True)
    certificate, key = self_signed()
    (folder / "fullchain.pem").write_bytes(certificate)
    (folder / "privkey.pem").write_bytes(key)
    return certificate


def tls(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "fullchain.pem", folder / "privkey.pem")
    return context


@contextmanager
def server(folder: Path, *, reads_each_time: bool) -> Iterator[int]:
    """Its port. As nginx does, it reads certificate and key at each handshake, or it does not."""
    listener = socket.create_server(("127.0.0.1", 0))
    first = tls(folder)

    def serve() -> None:
        with suppress(OSError):  # it is closed when the test ends
            while True:
                raw, _ = listener.accept()
                with suppress(OSError), (tls(folder) if reads_each_time else first).wrap_socket(raw, server_side=True):
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def served(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path / "tls")
    return tmp_path / "tls"


def arguments(folder: Path, port: int) -> dict[str, object]:
    return {"path": str(folder), "uid": os.getuid(), "names": [NAME], "address": "127.0.0.1", "port": port}


def test_the_next_certificate_is_served_and_the_key_before_is_gone(folder: Path) -> None:
    key = (folder / "privkey.pem").read_text()
    fresh = put(folder / "next")
    with server(folder, reads_each_time=True) as port:
        before = served(port)
        predicted = run_module("tls_certificate", arguments(folder, port), "--check")
        assert "is served" in predicted.stdout
        assert served(port) == before
        done = run_module("tls_certificate", arguments(folder, port))
        assert done.returncode == 0, done.stdout
        assert served(port).strip() == fresh.decode().strip()
        assert "CHANGED" not in run_module("tls_certificate", arguments(folder, port)).stdout
    assert all(key not in path.read_text() for path in folder.rglob("*.pem"))
    assert key not in done.stdout


def test_one_that_the_server_does_not_serve_is_taken_back(folder: Path) -> None:
    certificate = (folder / "fullchain.pem").read_bytes()
    put(folder / "next")
    with server(folder, reads_each_time=False) as port:
        done = run_module("tls_certificate", arguments(folder, port))
        assert done.returncode != 0
        assert "The new certificate was taken back: it was in place, and at 127.0.0.1:" in done.stdout
    assert (folder / "fullchain.pem").read_bytes() == certificate


def test_a_key_of_another_certificate_is_refused_before_anything_is_touched(folder: Path) -> None:
    certificate = (folder / "fullchain.pem").read_bytes()
    put(folder / "next")
    (folder / "next" / "privkey.pem").write_bytes((folder / "privkey.pem").read_bytes())
    done = run_module("tls_certificate", arguments(folder, 1))
    assert done.returncode != 0
    assert "The next certificate is not put in place: its key does not fit" in done.stdout
    assert (folder / "fullchain.pem").read_bytes() == certificate
    assert not (folder / "pair").exists()
