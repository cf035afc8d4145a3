"""The contract of the service images, proven on running containers.

``ERNI_TEST_IMAGES`` names the images: a JSON object with the keys ``postgres``, ``redis``, ``nginx`` and
``backend``. Everything that is started here carries the label ``ch.erni.test=1`` and is removed with its volumes,
whatever the outcome.
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml
from docker.models.containers import Container
from own_certificate import self_signed

ROOT = Path(__file__).resolve().parents[2]
LABELS = {"ch.erni.test": "1"}
PATIENCE_SECONDS = 20.0
PGDATA = "/var/lib/postgresql/data"

# How the platform runs every service: not as root, nothing writable but what is mounted, no privilege to gain.
HARDENED: dict[str, Any] = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}


class Lab:
    """Starts containers and volumes under unique names and takes every one of them away again, the latest first."""

    def __init__(self, images: dict[str, str]) -> None:
        self._images = images
        self._leftovers = ExitStack()
        self._engine = docker.from_env()
        self._leftovers.callback(self._engine.close)

    def image(self, service: str) -> str:
        if service not in self._images:
            pytest.fail(f"ERNI_TEST_IMAGES names no image for '{service}'. Add the key '{service}' to it.")
        return self._images[service]

    def run(self, service: str, command: list[str] | None = None, **options: Any) -> Container:
        container = self._engine.containers.create(
            self.image(service), command, name=f"erni-test-{service}-{secrets.token_hex(4)}", labels=LABELS, **options
        )
        self._leftovers.callback(container.remove, force=True, v=True)
        container.start()
        return container

    def volume(self) -> str:
        volume = self._engine.volumes.create(f"erni-test-{secrets.token_hex(4)}", labels=LABELS)
        self._leftovers.callback(volume.remove, force=True)
        return str(volume.name)

    def close(self) -> None:
        self._leftovers.close()


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    text = os.environ.get("ERNI_TEST_IMAGES", "")
    if not text:
        pytest.fail(
            "ERNI_TEST_IMAGES is not set, so there is no image to test. Set it to a JSON object such as "
            '{"postgres": "erni/postgres:15", "redis": "erni/redis:7", "nginx": "erni/nginx:1.22"}.'
        )
    return dict(json.loads(text))


@pytest.fixture
def lab(images: dict[str, str]) -> Iterator[Lab]:
    laboratory = Lab(images)
    try:
        yield laboratory
    finally:
        laboratory.close()


@pytest.fixture
def password() -> str:
    return secrets.token_urlsafe(24)


@pytest.fixture
def mounted(tmp_path: Path) -> Callable[[str, dict[str, str | bytes]], str]:
    """Writes a folder of files that any user of a container may read, and returns its path on the host."""

    def write(folder: str, files: dict[str, str | bytes]) -> str:
        path = tmp_path / folder
        path.mkdir(mode=0o755, exist_ok=True)
        for name, content in files.items():
            file = path / name
            file.write_bytes(content.encode() if isinstance(content, str) else content)
            file.chmod(0o644)
        return str(path)

    return write


def read_only(source: str, target: str) -> dict[str, dict[str, str]]:
    return {source: {"bind": target, "mode": "ro"}}


def read_write(source: str, target: str) -> dict[str, dict[str, str]]:
    return {source: {"bind": target, "mode": "rw"}}


def eventually(what: str, container: Container, holds: Callable[[], bool]) -> None:
    """Waits until ``holds()``; a container that ends first, or takes too long, fails the test with its log."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if holds():
            return
        container.reload()
        if container.status == "exited":
            break
        time.sleep(0.05)
    pytest.fail(f"{container.name}: {what} did not come true ({container.status}). Its log:\n{log(container)}")


def log(container: Container, *, stdout: bool = True, stderr: bool = True) -> str:
    written = container.logs(stdout=stdout, stderr=stderr, stream=False)
    assert isinstance(written, bytes)
    return written.decode(errors="replace")


def succeeds(container: Container, *command: str, **environment: str) -> bool:
    # A container that has just ended refuses the exec; that is a "no" like any other.
    try:
        return bool(container.exec_run(list(command), environment=environment).exit_code == 0)
    except docker.errors.APIError:
        return False


def output(container: Container, *command: str, **environment: str) -> str:
    result = container.exec_run(list(command), environment=environment)
    assert isinstance(result.output, bytes)
    text = result.output.decode(errors="replace").strip()
    assert result.exit_code == 0, f"{command[0]} in {container.name} failed: {text}"
    return text


def address(container: Container) -> str:
    container.reload()
    networks = container.attrs["NetworkSettings"]["Networks"]
    return str(next(iter(networks.values()))["IPAddress"])


def published_port(container: Container, port: str) -> int:
    container.reload()
    return int(container.attrs["NetworkSettings"]["Ports"][port][0]["HostPort"])


def uid_of_first_process(container: Container) -> int:
    status = output(container, "cat", "/proc/1/status")
    return int(status.partition("Uid:")[2].split()[0])


def exit_code(container: Container) -> int:
    return int(container.wait(timeout=PATIENCE_SECONDS)["StatusCode"])


# PostgreSQL ---------------------------------------------------------------------------------------------------------


def start_postgres(
    lab: Lab, secret_folder: str, volume: str, scripts: str | None = None, command: list[str] | None = None
) -> Container:
    mounts = read_only(secret_folder, "/run/secrets") | read_write(volume, PGDATA)
    if scripts:
        mounts |= read_only(scripts, "/docker-entrypoint-initdb.d")
    return lab.run(
        "postgres",
        command,
        user="999:999",
        volumes=mounts,
        tmpfs={"/tmp": "", "/var/run/postgresql": "uid=999,gid=999"},
        environment={
            "POSTGRES_USER": "erni_user",
            "POSTGRES_DB": "erni_agents",
            "POSTGRES_PASSWORD_FILE": "/run/secrets/password",
        },
        **HARDENED,
    )


def postgres_is_ready(container: Container) -> None:
    eventually("PostgreSQL accepts connections", container, lambda: succeeds(container, "pg_isready", "-q"))


def sql(container: Container, statement: str, password: str) -> str:
    """Runs a statement over the container's own address: on the loopback initdb's defaults ask for no password.

    The engine sometimes loses what a program printed that ended at once (moby's issue 27289); no statement here has
    nothing to say, so it is asked a second time then.
    """
    command = ("psql", "-XAt", "-h", address(container), "-U", "erni_user", "-d", "erni_agents", "-c", statement)
    return output(container, *command, PGPASSWORD=password) or output(container, *command, PGPASSWORD=password)


def test_postgres_runs_hardened_as_its_own_user_and_wants_the_password(
    lab: Lab, mounted: Callable[..., str], password: str
) -> None:
    container = start_postgres(lab, mounted("secrets", {"password": password + "\n"}), lab.volume())
    postgres_is_ready(container)

    assert sql(container, "SELECT current_user, current_database()", password) == "erni_user|erni_agents"
    assert sql(container, "SHOW password_encryption", password) == "scram-sha-256"
    with pytest.raises(AssertionError, match="password authentication failed"):
        sql(container, "SELECT 1", "not-" + password)


def test_postgres_started_by_root_gives_root_up(lab: Lab, password: str) -> None:
    container = lab.run("postgres", environment={"POSTGRES_PASSWORD": password})
    postgres_is_ready(container)

    assert uid_of_first_process(container) == 999
    assert output(container, "stat", "-c", "%u:%g %a", PGDATA) == "999:999 700"


def test_postgres_takes_a_leading_option_as_its_own(lab: Lab, mounted: Callable[..., str], password: str) -> None:
    secret_folder = mounted("secrets", {"password": password})
    container = start_postgres(lab, secret_folder, lab.volume(), command=["-c", "max_connections=37"])
    postgres_is_ready(container)

    assert sql(container, "SHOW max_connections", password) == "37"


def test_postgres_password_is_in_no_argument_and_not_in_the_servers_environment(
    lab: Lab, mounted: Callable[..., str], password: str
) -> None:
    container = start_postgres(lab, mounted("secrets", {"password": password}), lab.volume())
    arguments: list[str] = []

    def watch_until_ready() -> bool:
        arguments.extend(" ".join(process) for process in container.top()["Processes"])
        return succeeds(container, "pg_isready", "-q")

    eventually("PostgreSQL accepts connections", container, watch_until_ready)

    assert any("initdb" in line for line in arguments), "the watch was too slow to see initdb"
    assert not [line for line in arguments if password in line]
    assert password not in output(container, "cat", "/proc/1/environ")


def test_postgres_runs_initialisation_scripts_in_order_and_once(
    lab: Lab, mounted: Callable[..., str], password: str
) -> None:
    scripts = mounted(
        "scripts",
        {
            "1.sql": "CREATE TABLE steps (at serial, name text); INSERT INTO steps (name) VALUES ('sql');",
            "2.sql.gz": gzip.compress(b"INSERT INTO steps (name) VALUES ('gz');"),
            "3.sh": 'psql -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "INSERT INTO steps (name) VALUES (\'sh\')"',
        },
    )
    container = start_postgres(lab, mounted("secrets", {"password": password}), lab.volume(), scripts)
    postgres_is_ready(container)
    container.restart()
    postgres_is_ready(container)

    assert sql(container, "SELECT string_agg(name, ' ' ORDER BY at) FROM steps", password) == "sql gz sh"


@pytest.mark.parametrize("moment", ["initialising a cluster", "running /docker-entrypoint-initdb.d/2.sh"])
def test_postgres_killed_while_it_initialises_begins_anew(
    lab: Lab, mounted: Callable[..., str], password: str, moment: str
) -> None:
    create = {"1.sql": "CREATE TABLE steps (name text);"}
    scripts = mounted("scripts", create | {"2.sh": "sleep 60"})
    container = start_postgres(lab, mounted("secrets", {"password": password}), lab.volume(), scripts)
    eventually(f"the log says '{moment}'", container, lambda: moment in log(container))
    assert not succeeds(container, "pg_isready", "-q"), "an unfinished cluster was called ready"
    container.kill()

    mounted("scripts", {"2.sh": 'psql -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "INSERT INTO steps VALUES (\'all\')"'})
    container.start()
    postgres_is_ready(container)

    assert sql(container, "SELECT name FROM steps", password) == "all"
    assert "was interrupted" in log(container)


def test_postgres_never_removes_a_cluster_that_was_restored_over_an_interrupted_attempt(
    lab: Lab, mounted: Callable[..., str], password: str
) -> None:
    volume = lab.volume()
    container = start_postgres(lab, mounted("secrets", {"password": password}), volume)
    postgres_is_ready(container)
    sql(container, "CREATE TABLE IF NOT EXISTS precious AS SELECT 1 AS n", password)
    output(container, "mkdir", f"{PGDATA}/.initialising")
    container.restart()

    assert exit_code(container) == 1
    assert "holds another cluster. Nothing was touched." in log(container)

    lab.run("postgres", ["rmdir", f"{PGDATA}/.initialising"], volumes=read_write(volume, PGDATA)).wait()
    container.start()
    postgres_is_ready(container)
    assert sql(container, "SELECT n FROM precious", password) == "1"


def test_postgres_refuses_a_data_folder_with_foreign_files(
    lab: Lab, mounted: Callable[..., str], password: str
) -> None:
    volume = lab.volume()
    lab.run("postgres", ["touch", f"{PGDATA}/holiday.jpg"], volumes=read_write(volume, PGDATA)).wait()
    container = start_postgres(lab, mounted("secrets", {"password": password}), volume)

    assert exit_code(container) == 1
    assert "it is not empty: holiday.jpg" in log(container)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "a new cluster needs a superuser's password"),
        ({"POSTGRES_PASSWORD": "x", "POSTGRES_PASSWORD_FILE": "/y"}, "are both set"),
        ({"POSTGRES_PASSWORD_FILE": "/y"}, "names /y, which user 999 cannot read"),
    ],
)
def test_postgres_says_what_is_wrong_with_its_password(lab: Lab, environment: dict[str, str], sentence: str) -> None:
    container = lab.run("postgres", environment=environment)

    assert exit_code(container) == 1
    assert sentence in log(container)


def test_postgres_stops_fast_and_cleanly_under_an_open_session(lab: Lab, password: str) -> None:
    container = lab.run("postgres", environment={"POSTGRES_PASSWORD": password})
    postgres_is_ready(container)
    container.exec_run(["psql", "-U", "postgres", "-c", "SELECT pg_sleep(60)"], detach=True)
    began = time.monotonic()
    container.stop(timeout=10)

    assert exit_code(container) == 0
    assert time.monotonic() - began < 5
    assert "database system is shut down" in log(container)


# Redis --------------------------------------------------------------------------------------------------------------


def redis_answers(container: Container, **environment: str) -> None:
    eventually("Redis answers", container, lambda: succeeds(container, "redis-cli", "ping", **environment))


def test_redis_runs_hardened_with_a_configuration_file_and_keeps_its_data(
    lab: Lab, mounted: Callable[..., str], password: str
) -> None:
    folder = mounted("redis", {"redis.conf": f"appendonly yes\nrequirepass {password}\n"})
    container = lab.run(
        "redis",
        ["/usr/local/etc/redis/redis.conf"],
        user="999:999",
        volumes=read_only(folder, "/usr/local/etc/redis") | read_write(lab.volume(), "/data"),
        **HARDENED,
    )
    redis_answers(container)
    assert "NOAUTH" in output(container, "redis-cli", "set", "k", "v")
    assert output(container, "redis-cli", "set", "k", "v", REDISCLI_AUTH=password) == "OK"
    container.restart()
    redis_answers(container)

    assert output(container, "redis-cli", "get", "k", REDISCLI_AUTH=password) == "v"


def test_redis_started_by_root_gives_root_up_and_takes_options(lab: Lab) -> None:
    container = lab.run("redis", ["--maxmemory", "64mb"])
    redis_answers(container)

    assert uid_of_first_process(container) == 999
    assert output(container, "stat", "-c", "%u:%g", "/data") == "999:999"
    assert output(container, "redis-cli", "config", "get", "maxmemory").split()[-1] == str(64 * 1024 * 1024)


def test_redis_without_configuration_serves_other_containers(lab: Lab) -> None:
    container = lab.run("redis")
    redis_answers(container)

    assert output(container, "redis-cli", "-h", address(container), "ping") == "PONG"


# nginx --------------------------------------------------------------------------------------------------------------

SITE = """
map $http_x_colour $colour { default blue; green green; }
server {
    listen 8080;
    location = /status { stub_status; }
    location = /colour { return 200 $colour; }
    location / { root /usr/share/site; limit_rate 4k; }
}
server {
    listen 8443 ssl http2;
    ssl_certificate /etc/nginx/tls/certificate.pem;
    ssl_certificate_key /etc/nginx/tls/key.pem;
    client_max_body_size 8m;
    gzip on;
    gzip_types text/plain;
    add_header X-Contract kept always;
    location = /large.txt { root /usr/share/site; }
    location = /upload { proxy_pass http://127.0.0.1:8081; }
}
server {
    listen 127.0.0.1:8081;
    client_max_body_size 8m;
    location / { return 200 received; }
}
"""
LARGE = b"x" * 12_000


@pytest.fixture
def nginx(lab: Lab, mounted: Callable[..., str]) -> Container:
    certificate, key = self_signed()
    volumes = (
        read_only(mounted("conf.d", {"site.conf": SITE}), "/etc/nginx/conf.d")
        | read_only(mounted("tls", {"certificate.pem": certificate, "key.pem": key}), "/etc/nginx/tls")
        | read_only(mounted("site", {"large.txt": LARGE}), "/usr/share/site")
    )
    container = lab.run(
        "nginx",
        user="101:101",
        volumes=volumes,
        tmpfs=dict.fromkeys(("/tmp", "/run", "/var/cache/nginx"), "uid=101,gid=101"),
        ports={"8080/tcp": ("127.0.0.1", None)},
        **HARDENED,
    )
    eventually("nginx serves", container, lambda: succeeds(container, "curl", "-sf", "http://127.0.0.1:8080/colour"))
    return container


def curl_tls(container: Container, path: str, *options: str) -> str:
    certificate = "/etc/nginx/tls/certificate.pem"
    return output(container, "curl", "-sS", "--cacert", certificate, *options, f"https://localhost:8443{path}")


def test_nginx_serves_http2_over_tls_compressed_and_with_headers(nginx: Container) -> None:
    headers = curl_tls(
        nginx, "/large.txt", "--http2", "-D", "-", "-o", "/dev/null", "-H", "Accept-Encoding: gzip"
    ).lower()

    assert headers.startswith("http/2 200")
    assert "x-contract: kept" in headers
    assert "content-type: text/plain" in headers
    assert "content-encoding: gzip" in headers


def test_nginx_buffers_a_large_upload_on_a_read_only_root(nginx: Container) -> None:
    command = "head -c 3000000 /dev/zero | curl -sS --cacert /etc/nginx/tls/certificate.pem --data-binary @- $0"

    assert output(nginx, "sh", "-c", command, "https://localhost:8443/upload") == "received"


def test_nginx_has_map_and_stub_status(nginx: Container) -> None:
    assert output(nginx, "curl", "-sf", "http://127.0.0.1:8080/colour") == "blue"
    assert output(nginx, "curl", "-sf", "-H", "X-Colour: green", "http://127.0.0.1:8080/colour") == "green"
    assert "Active connections: 1" in output(nginx, "curl", "-sf", "http://127.0.0.1:8080/status")


def test_nginx_tests_and_reloads_its_configuration(nginx: Container) -> None:
    assert "test is successful" in output(nginx, "nginx", "-t")
    output(nginx, "nginx", "-s", "reload")
    eventually("the log tells of the reload", nginx, lambda: "reconfiguring" in log(nginx))


def test_nginx_logs_requests_to_stdout_and_errors_to_stderr(nginx: Container) -> None:
    marker = secrets.token_hex(4)
    output(nginx, "curl", "-s", f"http://127.0.0.1:8080/{marker}")

    eventually("the request is logged", nginx, lambda: marker in log(nginx, stderr=False))
    assert f'GET /{marker} HTTP/1.1" 404' in log(nginx, stderr=False)
    assert "No such file or directory" in log(nginx, stdout=False)


def test_nginx_finishes_a_request_in_flight_when_it_is_stopped(nginx: Container) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", published_port(nginx, "8080/tcp"), timeout=PATIENCE_SECONDS)
    connection.request("GET", "/large.txt")
    response = connection.getresponse()
    stopping = threading.Thread(target=nginx.stop, kwargs={"timeout": 15})
    stopping.start()

    assert response.read() == LARGE
    stopping.join()
    assert exit_code(nginx) == 0


@pytest.mark.parametrize(("environment", "seconds"), [({}, 2), (None, 75)])
def test_a_command_as_the_products_keeps_idle_connections_for_as_long_as_the_role_says(
    lab: Lab, environment: dict[str, str] | None, seconds: int
) -> None:
    """The product has no configuration file, and its command says nothing of it: that is gunicorn's default then."""
    if environment is None:
        role = yaml.safe_load((ROOT / "roles" / "backend" / "vars" / "main.yml").read_text(encoding="utf-8"))
        environment = {"GUNICORN_CMD_ARGS": role["__backend_environment"]["GUNICORN_CMD_ARGS"]}
    command = ["gunicorn", "--workers", "4", "--timeout", "120", "--print-config", "wsgiref.simple_server:demo_app"]
    container = lab.run("backend", command, environment=environment, working_dir="/tmp")
    assert container.wait()["StatusCode"] == 0
    assert re.search(rf"^keepalive += {seconds}$", container.logs().decode(), re.MULTILINE)
