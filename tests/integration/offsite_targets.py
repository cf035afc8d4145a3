"""Targets of off-site copies on this machine: an S3 server, an SSH server, a folder; and a line that can be cut."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import requests
from ansible.module_utils.erni.offsite_settings import Target

BUCKET, PREFIX = "erni-backups", "sets"
SSHD = "/usr/sbin/sshd"
PROXIES = {"http": "", "https": ""}  # the proxy that this machine may need is not asked for its own addresses


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server has ended"
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing answers at port {port}")


class Line:
    """A TCP line to a port of this machine, which can be cut, or held, once so many bytes have gone to the server."""

    def __init__(self, to: int) -> None:
        self.to, self.limit, self.sent = to, None, 0
        self.cut, self.held, self.go_on = threading.Event(), threading.Event(), threading.Event()
        self.holds = False
        self.open: list[socket.socket] = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    limit: int | None

    def cut_after(self, count: int) -> None:
        self.limit, self.sent, self.holds = count, 0, False

    def hold_after(self, count: int) -> None:
        self.limit, self.sent, self.holds = count, 0, True

    def mend(self) -> None:
        self.limit = None
        self.cut.clear()
        self.go_on.set()

    def close(self) -> None:
        self.listening.close()
        self._break()

    def _break(self) -> None:
        for one in self.open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self.open.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            if self.cut.is_set():
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                client.close()
                continue
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.open += [client, server]
            for pair in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while block := source.recv(1 << 16):
                if counted:
                    self.sent += len(block)
                    if self.limit is not None and self.sent > self.limit:
                        if not self.holds:
                            self.cut.set()
                            self._break()
                            return
                        self.held.set()
                        self.go_on.wait(60)
                sink.sendall(block)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@dataclass
class Place:
    """A target, the line to it, and the files that it holds behind rclone's back."""

    target: Target
    line: Line | None
    read: Callable[[str], bytes | None]
    write: Callable[[str, bytes], None]
    names: Callable[[], list[str]]
    counted: Callable[[], int] = field(default=lambda: 0)

    def has(self, name: str) -> bool:
        return self.read(name) is not None


def file_place(target: Target, line: Line | None, folder: Path) -> Place:
    def read(name: str) -> bytes | None:
        path = folder / name
        return path.read_bytes() if path.is_file() else None

    def write(name: str, content: bytes) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    def names() -> list[str]:
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    return Place(target, line, read, write, names)


@contextmanager
def folder_target(tmp_path: Path) -> Iterator[Place]:
    path = tmp_path / "elsewhere"
    path.mkdir()
    yield file_place(Target("folder", path=str(path), mounted=False, reread_days=0), None, path)


@contextmanager
def running(words: list[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as said:
        process = subprocess.Popen(words, env={**os.environ, **environment}, stdout=said, stderr=said)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def key_pair(path: Path) -> tuple[str, str]:
    """Private and public key."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.read_text(), " ".join(path.with_suffix(".pub").read_text().split()[:2])


@contextmanager
def ssh_target(tmp_path: Path) -> Iterator[Place]:
    """A real OpenSSH server with SFTP and nothing else, on this machine's loopback."""
    home, folder, port = tmp_path / "sshd", tmp_path / "behind-ssh", free_port()
    home.mkdir(mode=0o700)
    folder.mkdir()
    Path("/run/sshd").mkdir(exist_ok=True)  # its privilege separation wants it
    _, host_key = key_pair(home / "host")
    private, public = key_pair(home / "user")
    (home / "authorized").write_text(f"{public}\n")
    (home / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nAuthorizedKeysFile {home}/authorized\n"
        f"PidFile {home}/pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\nForceCommand internal-sftp\nSubsystem sftp internal-sftp\n"
    )
    with running([SSHD, "-D", "-e", "-f", str(home / "config")], {}, home / "log") as process:
        wait_for(port, process)
        line = Line(port)
        known = f"[127.0.0.1]:{line.port} {host_key}"
        target = Target(
            *("sftp", str(folder)),
            host="127.0.0.1",
            port=line.port,
            user="root",
            known_hosts=known,
            reread_days=0,
            secret=private,
        )
        try:
            yield file_place(target, line, folder)
        finally:
            line.close()


@contextmanager
def s3_target(tmp_path: Path) -> Iterator[Place]:
    """Moto's server, which checks signatures once its first user is made."""
    port = free_port()
    words = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    with running(words, {"INITIAL_NO_AUTH_ACTION_COUNT": "1000"}, tmp_path / "s3.log") as process:
        wait_for(port, process)
        user = _s3_user(port)
        line = Line(port)
        secret = user["SecretAccessKey"]
        target = Target(
            *("s3", PREFIX, f"http://127.0.0.1:{line.port}", BUCKET, "us-east-1", user["AccessKeyId"]),
            reread_days=0,
            secret=secret,
        )
        try:
            yield _s3_place(target, line, port, tmp_path / "s3.log")
        finally:
            line.close()


def _client(service: str, port: int, key: str, secret: str) -> Any:
    configured = boto3.session.Config(proxies=PROXIES, retries={"max_attempts": 0})
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=configured,
    )


def _s3_user(port: int) -> dict[str, str]:
    iam = _client("iam", port, "anybody", "anything")
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.create_user(UserName="erni")
    iam.put_user_policy(UserName="erni", PolicyName="all", PolicyDocument=json.dumps(everything))
    user: dict[str, str] = iam.create_access_key(UserName="erni")["AccessKey"]
    _client("s3", port, "anybody", "anything").create_bucket(Bucket=BUCKET)
    address = f"http://127.0.0.1:{port}/moto-api/reset-auth"
    told = requests.post(address, "0", headers={"Content-Type": "text/plain"}, proxies=PROXIES, timeout=10)
    assert told.ok, told.text
    return user


def _s3_place(target: Target, line: Line, port: int, log: Path) -> Place:
    client = _client("s3", port, target.access_key_id, target.secret)

    def read(name: str) -> bytes | None:
        try:
            content: bytes = client.get_object(Bucket=BUCKET, Key=f"{PREFIX}/{name}")["Body"].read()
        except client.exceptions.NoSuchKey:
            return None
        return content

    def write(name: str, content: bytes) -> None:
        client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/{name}", Body=content)

    def names() -> list[str]:
        found = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{PREFIX}/").get("Contents", [])
        return sorted(entry["Key"].removeprefix(f"{PREFIX}/") for entry in found)

    return Place(target, line, read, write, names, lambda: log.read_text(errors="replace").count('"PUT /'))


TARGETS = {"s3": s3_target, "sftp": ssh_target, "folder": folder_target}


def another_key(tmp_path: Path) -> tuple[str, str]:
    return key_pair(tmp_path / f"another-{secrets.token_hex(4)}")
