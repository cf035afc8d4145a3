"""Targets of off-site copies on this machine: an S3 server, an SSH server, a folder; and a line that can be cut."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from ansible.module_utils.erni.offsite_settings import Target
from botocore.exceptions import BotoCoreError, ClientError

BUCKET = "erni-backups"
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
        self.to, self.limit, self.sent, self.puts = to, None, 0, 0
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
                    self.puts += block.startswith(b"PUT /")  # a request begins a block: clients wait for the answer
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
def running(
    words: list[str], environment: Mapping[str, str], log: Path, *, patient: bool = True
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as said:
        process = subprocess.Popen(words, env={**os.environ, **environment}, stdout=said, stderr=said)
    try:
        yield process
    finally:
        process.terminate() if patient else process.kill()
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
def s3_target(_tmp_path: Path) -> Iterator[Place]:
    """A prefix of its own in the bucket of a SeaweedFS, which checks signatures."""
    s3.start()
    line, prefix = Line(s3.port), f"sets-{secrets.token_hex(4)}"
    target = Target(
        *("s3", prefix, f"http://127.0.0.1:{line.port}", BUCKET, "us-east-1", s3.key), reread_days=0, secret=s3.secret
    )
    try:
        yield _s3_place(target, line, s3.port)
    finally:
        line.close()


class S3Server:
    """All of its parts are in one process, on the loopback. It takes seconds to start, so tests share it."""

    def __init__(self) -> None:
        self.key, self.secret = f"AK{secrets.token_hex(8).upper()}", secrets.token_urlsafe(24)
        self.port = 0
        self._stack = ExitStack()

    def start(self) -> None:
        if self.port:
            return
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="erni-test-s3-")))
        (folder / "data").mkdir()
        user = {
            "name": "erni",
            "credentials": [{"accessKey": self.key, "secretKey": self.secret}],
            "actions": ["Admin"],
        }
        (folder / "s3.json").write_text(json.dumps({"identities": [user]}))
        ports = {part: free_port() for part in ("master", "volume", "filer", "s3")}
        words = [str(Path(sys.executable).with_name("weed")), "server", f"-dir={folder}/data", "-ip=127.0.0.1"]
        words += ["-ip.bind=127.0.0.1", "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=20"]
        words += ["-s3", f"-s3.config={folder}/s3.json", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        for part, port in list(ports.items()):
            ports[f"{part} by gRPC"] = free_port()
            words += [f"-{part}.port={port}", f"-{part}.port.grpc={ports[f'{part} by gRPC']}"]
        self._stack.callback(_remove_sockets, list(ports.values()))
        # It would wait ten seconds for its clients, and what it holds goes with the tests.
        process = self._stack.enter_context(running(words, {}, folder / "log", patient=False))
        wait_for(ports["s3"], process)
        _until_the_bucket_is_there(_client(ports["s3"], self.key, self.secret))
        self.port = ports["s3"]

    def end(self) -> None:
        self._stack.close()
        self.port = 0


def _remove_sockets(ports: list[int]) -> None:
    """SeaweedFS makes these beside its ports, and a server that is killed leaves them."""
    for port in ports:
        for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
            path.unlink(missing_ok=True)


s3 = S3Server()


def _client(port: int, key: str, secret: str) -> Any:
    configured = boto3.session.Config(proxies=PROXIES, retries={"max_attempts": 0}, s3={"addressing_style": "path"})
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=configured,
    )


def _until_the_bucket_is_there(client: Any, seconds: float = 30.0) -> None:
    """And takes an object: the part that stores it joins a moment after the port is open."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"ready")
            client.delete_object(Bucket=BUCKET, Key="ready")
        except (ClientError, BotoCoreError):
            assert time.monotonic() < deadline, "the S3 server takes no object"
            time.sleep(0.1)
        else:
            return


def _s3_place(target: Target, line: Line, port: int) -> Place:
    client = _client(port, target.access_key_id, target.secret)

    def read(name: str) -> bytes | None:
        try:
            content: bytes = client.get_object(Bucket=BUCKET, Key=f"{target.path}/{name}")["Body"].read()
        except client.exceptions.NoSuchKey:
            return None
        return content

    def write(name: str, content: bytes) -> None:
        client.put_object(Bucket=BUCKET, Key=f"{target.path}/{name}", Body=content)

    def names() -> list[str]:
        found = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{target.path}/").get("Contents", [])
        return sorted(entry["Key"].removeprefix(f"{target.path}/") for entry in found)

    return Place(target, line, read, write, names, lambda: line.puts)


TARGETS = {"s3": s3_target, "sftp": ssh_target, "folder": folder_target}


def another_key(tmp_path: Path) -> tuple[str, str]:
    return key_pair(tmp_path / f"another-{secrets.token_hex(4)}")
