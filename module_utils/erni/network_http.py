"""HTTP from within a container's network, without a program that is started in the container.

A program that is started there (``docker exec``) takes a tenth of a second of the processors that the container's
requests are served with. A socket belongs to the network that its thread was in when it was made, wherever it is used
afterwards (Linux, setns(2) and network_namespaces(7)): so it is made there, and all else happens here.
"""

from __future__ import annotations

import ctypes
import http.client
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from .errors import PlatformError

CLONE_NEWNET = 0x40000000  # the kind of namespace (Linux, include/uapi/linux/sched.h)
OWN_NETWORK = "/proc/thread-self/ns/net"
HTTP_OK = 200
LONGEST_BODY = 1 << 20  # bytes that are read of an answer; who is asked is left to finish it


@dataclass(frozen=True)
class Question:
    """``GET path`` at an address and port, under the name ``host``; with ``tls``, whoever issued the certificate.

    ``timeout`` is in seconds, for each step of it.
    """

    address: str
    port: int
    path: str
    host: str = "localhost"
    tls: bool = False
    timeout: float = 4.0


@dataclass(frozen=True)
class Reply:
    """``status`` is 0 where there was no answer; ``why`` says then why. Names of ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    why: str = ""

    def objection(self, path: str) -> str:
        """Why this is no good answer to a question for the path, or ''."""
        return "" if self.status == HTTP_OK else self.why or f"{path} answers with {self.status}"


def ask_from(process: int, question: Question) -> Reply:
    """Ask from within the network of a process of this host (the ``Pid`` of a container's state; 0 where none runs).

    :raises PlatformError: when its network may not be entered.
    """
    try:
        return _converse(_connected(process, question), question)
    except PermissionError as error:
        raise PlatformError(
            f"The network of process {process} cannot be entered",
            str(error),
            "Run as root on the engine's own host: set ansible_become for it.",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        return Reply(0, why=f"{question.address}:{question.port} does not answer ({error})")


def _connected(process: int, question: Question) -> socket.socket:
    family = socket.AF_INET6 if ":" in question.address else socket.AF_INET
    with _within(process):
        made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.settimeout(question.timeout)
        made.connect((question.address, question.port))
        return _encrypted(made, question) if question.tls else made
    except BaseException:
        made.close()
        raise


@contextmanager
def _within(process: int) -> Iterator[None]:
    """This thread is in the network of the process."""
    here = os.open(OWN_NETWORK, os.O_RDONLY)
    try:
        there = os.open(f"/proc/{process}/ns/net", os.O_RDONLY)
        try:
            _enter(there)
            try:
                yield
            finally:
                _enter(here)
        finally:
            os.close(there)
    finally:
        os.close(here)


def _enter(namespace: int) -> None:
    # Python has os.setns() from 3.12 on; hosts have older ones.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _encrypted(made: socket.socket, question: Question) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the system's authorities, whose reading takes longest
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(made, server_hostname=question.host)


def _converse(connected: socket.socket, question: Question) -> Reply:
    connection = http.client.HTTPConnection(question.host, question.port, timeout=question.timeout)
    connection.sock = connected
    try:
        connection.request("GET", question.path, headers={"Host": question.host, "Connection": "close"})
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        with suppress(OSError, http.client.HTTPException):  # the head has told all
            response.read(LONGEST_BODY)
        return Reply(response.status, headers)
    finally:
        connection.close()
