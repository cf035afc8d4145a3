"""What an attacker finds closed: in the containers, between them, and from outside."""

from __future__ import annotations

import json
import socket
import ssl
import stat
import time
from typing import Any

import e2e_web
import pytest
import testinfra
from e2e_platform import HTTP_PORT, HTTPS_PORT, NAME, PLATFORM_ROOT, PUBLIC_URL, SERVICES, Platform

pytestmark = pytest.mark.usefixtures("running")

STORES = {"postgres": 5432, "redis": 6379}
FIGURES = ("/metrics", "/metrics/", "/api/metrics", "/api//metrics", "/api/%6detrics", "/api/./metrics")
OUTSIDERS = ("nginx", "frontend")

# Attempts to connect that end with 0 when they succeed; each image has another program for it.
NODE_CONNECT = """
const socket = require('net').connect({host: process.argv[1], port: Number(process.argv[2]), timeout: 1000});
socket.on('connect', () => process.exit(0)).on('error', () => process.exit(1)).on('timeout', () => process.exit(1));
"""
PYTHON_CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)"
SHELL_CONNECT = ("timeout", "1", "bash", "-c", 'exec 3<> "/dev/tcp/$0/$1"')
CONNECT = {
    **dict.fromkeys(("nginx", "postgres", "redis"), SHELL_CONNECT),
    "frontend": ("node", "-e", NODE_CONNECT),
    "backend": ("python3", "-c", PYTHON_CONNECT),
}


def connects(platform: Platform, service: str, host: str, port: int) -> bool:
    return platform.exec(service, *CONNECT[service], host, str(port))[0] == 0


# The containers


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_has_no_more_than_it_needs(running: Platform, service: str) -> None:
    inspected = running.container(service).attrs
    config, host = inspected["Config"], inspected["HostConfig"]

    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert not host["Privileged"]
    assert host["Memory"] > 0
    assert host["MemorySwap"] == host["Memory"]
    assert host["NanoCpus"] > 0
    assert host["PidsLimit"] > 0
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "5", "max-size": "10m"}}
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert config["Labels"]["ch.erni.platform"] == NAME
    assert config["Labels"]["ch.erni.service"] == service


@pytest.mark.parametrize("service", SERVICES)
def test_no_process_is_root_or_can_become_more(service: str) -> None:
    inside = testinfra.get_host(f"docker://{NAME}-{service}")

    processes = inside.check_output("cat /proc/[0-9]*/status 2>/dev/null || true").split("Name:\t")[1:]
    assert processes
    for status in processes:
        facts = dict(line.split(":\t", 1) for line in status.splitlines()[1:] if ":\t" in line)
        assert "0" not in facts["Uid"].split()
        assert int(facts["CapEff"], 16) == 0
        assert int(facts["CapBnd"], 16) == 0
        assert facts["NoNewPrivs"] == "1"
    assert inside.run("touch /usr/bin/planted").rc != 0


def test_files_with_secrets_are_for_their_owner_alone(running: Platform) -> None:
    values = [value.encode() for value in running.secrets().values()]
    secretive = [
        path
        for path in (PLATFORM_ROOT / "services").rglob("*")
        if path.is_file() and (b"PRIVATE KEY" in path.read_bytes() or any(v in path.read_bytes() for v in values))
    ]

    assert {path.name for path in secretive} == {"superuser_password", "pgpass", "operator_password", "privkey.pem"}
    for path in secretive:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert stat.S_IMODE((PLATFORM_ROOT / "authority").stat().st_mode) == 0o700


# Between them


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("outsider", OUTSIDERS)
def test_stores_cannot_be_reached_from_the_edge(running: Platform, outsider: str, store: str) -> None:
    networks = running.container(store).attrs["NetworkSettings"]["Networks"]
    address = networks[f"{NAME}-data"]["IPAddress"]

    assert set(networks) == {f"{NAME}-data"}
    for host in (store, f"{NAME}-{store}", address):
        assert not connects(running, outsider, host, STORES[store]), host
        # The same attempt from where it is allowed, or the test would prove nothing.
        assert connects(running, "backend", host, STORES[store]), host


@pytest.mark.parametrize("outsider", OUTSIDERS)
def test_an_attempt_from_the_edge_would_be_seen_to_succeed(running: Platform, outsider: str) -> None:
    assert connects(running, outsider, "backend", 8000)


@pytest.mark.parametrize("store", STORES)
def test_stores_have_no_way_out(running: Platform, store: str) -> None:
    outside = running.container("nginx").attrs["NetworkSettings"]["Networks"][f"{NAME}-edge"]["IPAddress"]

    assert running.network("data").attrs["Internal"]
    assert not connects(running, store, outside, 80)
    assert connects(running, "backend", outside, 80), "there is something to reach"


def test_only_nginx_publishes_ports(running: Platform) -> None:
    published = {
        (service, port) for service in SERVICES for port, bound in running.container(service).ports.items() if bound
    }

    assert published == {("nginx", "80/tcp"), ("nginx", "443/tcp")}


def test_redis_refuses_whom_it_does_not_know(running: Platform) -> None:
    assert "NOAUTH" in running.exec("redis", "redis-cli", "ping")[1]
    words = ("sh", "-c", 'REDISCLI_AUTH="not-the-password" redis-cli ping')
    assert "WRONGPASS" in running.exec("redis", *words)[1]


def test_the_application_may_not_endanger_redis(running: Platform) -> None:
    script = (
        "import os, redis\n"
        "client = redis.Redis.from_url(os.environ['REDIS_URL'])\n"
        "print(client.ping())\n"
        "for command in ('FLUSHALL', 'CONFIG GET maxmemory', 'KEYS *', 'SHUTDOWN', 'DEBUG SLEEP 0', 'ACL LIST'):\n"
        "    try:\n"
        "        client.execute_command(*command.split())\n"
        "        print(command, 'allowed')\n"
        "    except redis.exceptions.ResponseError:\n"
        "        print(command, 'refused')\n"
    )
    code, output = running.exec("backend", "python3", "-c", script)

    assert code == 0, output
    assert output.splitlines()[0] == "True"
    assert len(output.splitlines()) == 7
    assert "allowed" not in output


# PostgreSQL


def test_every_way_into_postgresql_wants_a_scram_password(running: Platform) -> None:
    methods = running.sql("select distinct auth_method from pg_hba_file_rules where error is null").split()
    verifiers = running.sql("select distinct left(rolpassword, 13) from pg_authid where rolpassword <> ''").split()

    assert set(methods) == {"scram-sha-256", "reject"}
    assert verifiers == ["SCRAM-SHA-256"]
    assert running.sql("select count(*) from pg_hba_file_rules where error is not null") == "0"
    words = ("env", "PGPASSFILE=/dev/null", "psql", "-w", "-U", "postgres", "-c", "select 1")
    code, output = running.exec("postgres", *words)
    assert code != 0
    assert "no password supplied" in output


def test_the_superuser_does_not_come_in_over_the_network(running: Platform) -> None:
    code, output = running.exec("postgres", "psql", "-h", "postgres", "-U", "postgres", "-c", "select 1")

    assert code != 0
    assert "pg_hba.conf rejects connection" in output


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("data_checksums", "on"),
        ("TimeZone", "UTC"),
        ("log_timezone", "UTC"),
        ("log_min_duration_statement", "1s"),
        ("shared_preload_libraries", "pg_stat_statements"),
        ("password_encryption", "scram-sha-256"),
    ],
)
def test_postgresql_runs_with(running: Platform, setting: str, value: str) -> None:
    assert running.sql(f"show {setting}") == value


def test_roles_and_extensions_are_what_the_application_needs(running: Platform) -> None:
    roles = "select rolname, rolcanlogin, rolsuper from pg_roles where rolname like 'erni%' order by 1"

    assert running.sql(roles).splitlines() == ["erni_app_a|t|f", "erni_app_b|f|f", "erni_user|f|f"]
    assert running.sql("select pg_get_userbyid(datdba) from pg_database where datname = 'erni_agents'") == "erni_user"
    assert {"uuid-ossp", "pg_stat_statements"} <= set(running.sql("select extname from pg_extension").split())
    assert running.sql("select distinct tableowner from pg_tables where schemaname = 'public'") == "erni_user"


def test_slow_statements_are_logged_and_fast_ones_are_not(running: Platform) -> None:
    running.sql("select pg_sleep(1.1) as slow_proof")
    running.sql("select 1 as fast_proof")

    log = running.container("postgres").logs(tail=50).decode()
    assert "slow_proof" in log
    assert "fast_proof" not in log


# TLS and HTTP


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_modern_tls_is_accepted_and_the_certificate_checked(version: str) -> None:
    shaken = e2e_web.handshake(version, "-verify_hostname", "localhost")

    assert shaken.returncode == 0, shaken.stderr
    assert "Verify return code: 0 (ok)" in shaken.stdout


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_tls_is_refused(version: str) -> None:
    # Level 0, or openssl itself would refuse what the server has to.
    shaken = e2e_web.handshake(version, "-cipher", "ALL:@SECLEVEL=0")

    assert shaken.returncode != 0
    assert "alert protocol version" in shaken.stderr


def test_a_cipher_without_forward_secrecy_is_refused() -> None:
    assert e2e_web.handshake("-tls1_2", "-cipher", "AES128-GCM-SHA256").returncode != 0


def test_http_2_is_negotiated() -> None:
    assert "ALPN protocol: h2" in e2e_web.handshake("-alpn", "h2,http/1.1").stdout


@pytest.mark.parametrize("path", ["/", "/nginx-health", "/no-such-page", "/api/agents", "/health"])
def test_security_headers_are_on_every_answer(path: str) -> None:
    headers = e2e_web.secure("GET", path).headers

    assert headers["strict-transport-security"].startswith("max-age=300")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "strict-origin-when-cross-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert headers["server"] == "nginx", "its version is nobody's business"
    has_policy = "default-src 'self'" in headers.get("content-security-policy", "")
    assert has_policy == (path not in ("/api/agents", "/health")), "answers of the API are no pages"


@pytest.mark.parametrize("path", FIGURES)
def test_figures_are_not_public(running: Platform, path: str) -> None:
    answer = e2e_web.secure("GET", path)

    assert answer.status == 404
    assert "http_requests_total" not in answer.body
    inside = running.exec("nginx", "curl", "-sf", "-H", "Host: localhost", "http://backend:8000/metrics")
    assert "http_requests_total" in inside[1], "there would be figures to hide"


def test_plain_http_leads_to_https() -> None:
    answer = e2e_web.plain("/some/page?x=1&y=%20")

    assert answer.status == 301
    assert answer.headers["location"] == f"{PUBLIC_URL}/some/page?x=1&y=%20"
    assert e2e_web.plain("/nginx-health").body == "ok\n"
    assert e2e_web.plain("/.well-known/acme-challenge/none").status == 404


def test_routes_lead_where_the_contract_says() -> None:
    assert "ERNI" in e2e_web.secure("GET", "/").body
    assert e2e_web.secure("GET", "/api/agents").json()["agents"]
    assert e2e_web.secure("GET", "/health").json()["status"] == "healthy"
    assert e2e_web.secure("GET", "/readiness").json()["status"] == "ready"
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert e2e_web.secure("GET", path).status == 200


def test_a_stream_is_not_buffered() -> None:
    arrivals = e2e_web.stream_chat("Please wait 3 and tell me what a timber extension costs")

    assert arrivals[0] < 1.5
    assert arrivals[-1] - arrivals[0] > 2
    assert len(arrivals) > 4


def test_pages_are_compressed() -> None:
    headers = e2e_web.secure("GET", "/openapi.json", headers={"Accept-Encoding": "gzip"}).headers

    assert headers["content-encoding"] == "gzip"
    assert "content-encoding" not in e2e_web.secure("GET", "/openapi.json").headers


def test_a_request_too_large_is_refused() -> None:
    headers = {"Content-Type": "application/json", "Expect": "100-continue"}
    with socket.create_connection(("127.0.0.1", HTTPS_PORT)) as raw, tls(raw) as connection:
        lines = [f"{name}: {value}" for name, value in headers.items()]
        request = ["POST /api/chat HTTP/1.1", "Host: localhost", f"Content-Length: {11 * 1024 * 1024}", *lines, "", ""]
        connection.sendall("\r\n".join(request).encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 413 ")


def test_the_access_log_tells_time_upstream_and_release(running: Platform) -> None:
    marker = f"proof-{time.time_ns()}"
    release = e2e_web.secure("GET", "/api/agents", headers={"X-Correlation-ID": marker}).headers["x-erni-release"]

    entry = access_log_entry(running, marker)

    backend = running.container("backend").attrs["NetworkSettings"]["Networks"][f"{NAME}-edge"]["IPAddress"]
    assert (entry["status"], entry["uri"], entry["release"]) == (200, "/api/agents", release)
    assert entry["upstream"] == f"{backend}:8000"
    assert 0 <= float(entry["upstream_time"]) <= entry["request_time"] + 0.01
    assert release == running.container("backend").labels["ch.erni.release"]


def test_a_hostile_header_cannot_forge_a_log_entry(running: Platform) -> None:
    marker = f"proof-{time.time_ns()}"
    agent = f'{marker}","status":999,"x":"'
    e2e_web.secure("GET", "/health", headers={"User-Agent": agent, "X-Correlation-ID": 'x" injected'})

    entry = access_log_entry(running, marker)

    assert entry["status"] == 200
    assert entry["user_agent"] == agent
    assert "injected" not in entry["correlation_id"]


def test_clients_are_told_apart_and_cannot_choose_their_address(running: Platform) -> None:
    marker = f"proof-{time.time_ns()}"
    e2e_web.secure("GET", "/health", headers={"X-Forwarded-For": "203.0.113.7", "X-Correlation-ID": marker})

    assert access_log_entry(running, marker)["client"] != "203.0.113.7"


def access_log_entry(platform: Platform, marker: str) -> dict[str, Any]:
    for _ in range(50):
        for line in platform.container("nginx").logs(tail=50, stderr=False).decode().splitlines():
            if marker in line:
                return dict(json.loads(line))
        time.sleep(0.1)
    pytest.fail(f"no line of nginx's access log holds {marker}")


def tls(raw: socket.socket) -> Any:
    return ssl.create_default_context(cafile=str(e2e_web.AUTHORITY)).wrap_socket(raw, server_hostname="localhost")


def test_ports_are_bound_where_the_inventory_says(running: Platform) -> None:
    bound = running.container("nginx").attrs["NetworkSettings"]["Ports"]

    assert bound["80/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": str(HTTP_PORT)}]
    assert bound["443/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": str(HTTPS_PORT)}]
