"""A question is asked from within the network of another process, and this one stays in its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.network_http import OWN_NETWORK, Question, Reply, ask_from
from own_certificate import self_signed

# In a network of its own, in which not even the loopback interface is up (netdevice(7): SIOCSIFFLAGS, IFF_UP).
SERVER = """
import fcntl, socket, ssl, struct, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(self.path[1:]) if self.path[1:].isdigit() else 200)
        body = b"x" * (5_000_000 if self.path == "/long" else 2)
        self.send_header("X-Erni-Slot", "green")
        self.send_header("X-Host", self.headers["Host"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

with socket.socket() as plain:
    fcntl.ioctl(plain, 0x8914, struct.pack("16sh", b"lo", 1))
server = HTTPServer(("127.0.0.1", 8000), Handler)
if len(sys.argv) > 1:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
"""


def served(*words: str) -> Iterator[int]:
    with subprocess.Popen(
        ["unshare", "--net", sys.executable, "-c", SERVER, *words], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield process.pid
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    yield from served()


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    file = tmp_path_factory.mktemp("certificate") / "both.pem"
    file.write_bytes(b"".join(self_signed()))
    yield from served(str(file))


def network() -> str:
    return os.readlink(OWN_NETWORK)


@pytest.mark.parametrize(("path", "status"), [("/200", 200), ("/404", 404), ("/503", 503), ("/long", 200)])
def test_what_listens_in_another_network_answers(server: int, path: str, status: int) -> None:
    before = network()
    reply = ask_from(server, Question("127.0.0.1", 8000, path))
    assert (reply.status, reply.headers["x-erni-slot"], reply.why) == (status, "green", "")
    assert network() == before


def test_it_is_asked_by_the_name_that_users_type(server: int) -> None:
    assert (
        ask_from(server, Question("127.0.0.1", 8000, "/", host="erni-gruppe.ch")).headers["x-host"] == "erni-gruppe.ch"
    )


def test_over_tls_it_does_not_matter_who_issued_the_certificate(encrypted: int) -> None:
    reply = ask_from(encrypted, Question("127.0.0.1", 8000, "/", host="erni-gruppe.ch", tls=True))
    assert (reply.status, reply.headers["x-host"]) == (200, "erni-gruppe.ch")


def test_in_ones_own_network_nothing_listens_there(server: int) -> None:
    """What shows that the questions above did leave this network."""
    assert ask_from(server, Question("127.0.0.1", 8000, "/")).status == 200
    reply = ask_from(os.getpid(), Question("127.0.0.1", 8000, "/"))
    assert reply == Reply(0, why="127.0.0.1:8000 does not answer ([Errno 111] Connection refused)")


@pytest.mark.parametrize(
    ("question", "why"),
    [
        (Question("127.0.0.1", 8001, "/"), "127.0.0.1:8001 does not answer ([Errno 111] Connection refused)"),
        (Question("192.0.2.1", 8000, "/"), "192.0.2.1:8000 does not answer ([Errno 101] Network is unreachable)"),
        (Question("127.0.0.1", 8000, "/", tls=True), "127.0.0.1:8000 does not answer ([SSL"),
    ],
)
def test_an_answer_that_does_not_come_is_a_reply_that_says_why(server: int, question: Question, why: str) -> None:
    before = network()
    reply = ask_from(server, question)
    assert reply.status == 0
    assert reply.why.startswith(why)
    assert network() == before


def test_a_container_that_does_not_run_has_no_network_to_ask_from() -> None:
    reply = ask_from(0, Question("127.0.0.1", 8000, "/"))
    assert reply.why == "127.0.0.1:8000 does not answer ([Errno 2] No such file or directory: '/proc/0/ns/net')"


def test_who_may_not_enter_is_told_what_it_takes(server: int) -> None:
    nobody = os.fork()
    if not nobody:
        os.setuid(65534)
        try:
            ask_from(server, Question("127.0.0.1", 8000, "/"))
        except PlatformError as error:
            os._exit(0 if "Run as root on the engine's own host" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(nobody, 0)[1]) == 0
