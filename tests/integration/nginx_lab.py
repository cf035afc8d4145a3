"""Nginx as the role configures it, between two slots of small servers, on a network of its own."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import secrets
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
import yaml
from ansible.module_utils.erni.live_folder import LiveFolder
from docker.models.containers import Container
from own_certificate import self_signed

ROOT = Path(__file__).resolve().parents[2]
LABELS = {"ch.erni.test": "1"}
HARDENED: dict[str, Any] = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}
NUMBERS = {("backend", "blue"): 20, ("backend", "green"): 30, ("frontend", "blue"): 40, ("frontend", "green"): 50}
PORTS = {"backend": 8000, "frontend": 3000}
PATIENCE_SECONDS = 20.0
# What the API's locations passed on before there were slots: paths must arrive as they did then.
REFERENCE = "server { listen 8081; location /api/ { proxy_pass http://backend_blue/; } }"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str

    def told(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def answered_by(self) -> tuple[str | None, str | None]:
        return self.headers.get("x-erni-slot"), self.headers.get("x-erni-release")


class NginxLab:
    """Every container and the network go when ``leftovers`` is closed. ``image`` names the image of nginx itself."""

    def __init__(self, image_of: Callable[[str], str], image: str, folder: Path, leftovers: ExitStack) -> None:
        self._image_of, self._image, self._folder, self._leftovers = image_of, image, folder, leftovers
        self._engine = docker.from_env()
        leftovers.callback(self._engine.close)
        self.network, self.subnet = self._make_network()
        self.slots = {place: self._start_slot(*place) for place in NUMBERS}
        self.nginx = self._start_nginx()

    @property
    def live(self) -> LiveFolder:
        return LiveFolder(str(self._folder / "nginx" / "live"))

    def address(self, number: int) -> str:
        return str(self.subnet[number])

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """One request as a user makes it, on a connection of its own."""
        return _exchange(self._connection(), method, path, headers)

    def ask_plain(self, path: str, port: int = 80) -> Answer:
        return _exchange(http.client.HTTPConnection("localhost", self._port(port), timeout=15), "GET", path, {})

    def ask_slot(self, service: str, slot: str) -> dict[str, Any]:
        """What the slot's server tells when it is asked behind nginx's back."""
        return self._ask_address(service, NUMBERS[service, slot])

    def ask_from(self, place: tuple[str, str], path: str) -> int:
        """The status that a client in the slot's container gets."""
        program = (
            "import sys, ssl, http.client as h\n"
            "c = h.HTTPSConnection(sys.argv[1], 443, context=ssl._create_unverified_context())\n"
            "c.request('GET', sys.argv[2]); print(c.getresponse().status)"
        )
        return int(run_in(self.slots[place], "python3", "-c", program, self.address(10), path))

    def stream(self, path: str) -> list[float]:
        """Seconds after which each line of the answer came."""
        connection = self._connection()
        begin = time.monotonic()
        connection.request("GET", path)
        response = connection.getresponse()
        return [time.monotonic() - begin for line in iter(response.readline, b"") if line.strip()]

    def log_entry(self, marker: str) -> dict[str, Any]:
        """The line of the access log with this correlation id."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            lines = self.nginx.logs(stderr=False).decode().splitlines()
            found.extend(json.loads(line) for line in lines if marker in line)
            return bool(found)

        eventually("the request is in the access log", look)
        return found[0]

    def complaints(self, since: datetime) -> str:
        return str(self.nginx.logs(stdout=False, since=since).decode())

    def processes(self) -> list[str]:
        return sorted(process[1] for process in self.nginx.top()["Processes"])

    def asked(self, path: str, times: int) -> set[str]:
        """The addresses that as many requests have been sent to, those asked in vain included."""
        marks = [f"proof-{secrets.token_hex(8)}" for _ in range(times)]
        for mark in marks:
            assert self.ask(path, X_Correlation_ID=mark).status == 200
        return {address for mark in marks for address in self.log_entry(mark)["upstream"].split(", ")}

    @contextmanager
    def second_replica(self, service: str, slot: str) -> Iterator[str]:
        """Where it answers."""
        with ExitStack() as leftovers:
            number = NUMBERS[service, slot] + 1
            self._start_server(service, slot, number, leftovers)
            yield f"{self.address(number)}:{PORTS[service]}"

    def all_run(self) -> None:
        for place, container in self.slots.items():
            container.reload()
            if container.status != "running":
                container.start()
                self._wait_for(place, NUMBERS[place])

    def _make_network(self) -> tuple[Any, ipaddress.IPv4Network]:
        """A subnet that nobody uses is found by asking for some."""
        for third in secrets.SystemRandom().sample(range(256), 20):
            subnet = f"10.213.{third}.0/24"
            pool = docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet=subnet)])
            try:
                network = self._engine.networks.create(f"erni-test-{secrets.token_hex(4)}", ipam=pool, labels=LABELS)
            except docker.errors.APIError as error:
                refusal = error
                continue
            self._leftovers.callback(network.remove)
            return network, ipaddress.ip_network(subnet)  # type: ignore[return-value]
        raise refusal

    def _run(self, service: str, number: int, command: list[str], leftovers: ExitStack, **options: Any) -> Container:
        endpoint = self._engine.api.create_endpoint_config(ipv4_address=self.address(number))
        container = self._engine.containers.create(
            self._image_of(service),
            command,
            name=f"erni-test-{service}-{secrets.token_hex(4)}",
            labels=LABELS,
            network=self.network.name,
            networking_config={self.network.name: endpoint},
            **HARDENED,
            **options,
        )
        leftovers.callback(container.remove, force=True, v=True)
        container.start()
        return container

    def _start_slot(self, service: str, slot: str) -> Container:
        return self._start_server(service, slot, NUMBERS[service, slot], self._leftovers)

    def _start_server(self, service: str, slot: str, number: int, leftovers: ExitStack) -> Container:
        volume = {str(Path(__file__).parent / "slot_server.py"): {"bind": "/slot_server.py", "mode": "ro"}}
        command = ["python3", "/slot_server.py", slot, service, str(PORTS[service])]
        container = self._run("python", number, command, leftovers, volumes=volume, user="65534:65534")
        self._wait_for((service, slot), number)
        return container

    def _wait_for(self, place: tuple[str, str], number: int) -> None:
        eventually(f"{place} answers", lambda: self._ask_address(place[0], number)["slot"] == place[1])

    def _ask_address(self, service: str, number: int) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self.address(number), PORTS[service], timeout=5)
        return _exchange(connection, "GET", "/", {}).told()

    def _start_nginx(self) -> Container:
        folder, acme = self._folder / "nginx", self._folder / "acme"
        for path in (folder, folder / "tls", acme):
            path.mkdir()
            path.chmod(0o755)
        render(self._folder, self._variables())
        for name, content in zip(("fullchain.pem", "privkey.pem"), self_signed(), strict=True):
            (folder / "tls" / name).write_bytes(content)
        self.live.complete()
        container = self._run(
            self._image,
            10,
            ["nginx", "-c", "/etc/erni/nginx.conf", "-g", "daemon off;"],
            self._leftovers,
            user="101:101",
            tmpfs={"/tmp": "mode=1777", "/var/cache/nginx": "uid=101,gid=101", "/run": "uid=101,gid=101"},
            volumes={
                str(source): {"bind": to, "mode": "ro"}
                for source, to in ((folder, "/etc/erni"), (acme, "/var/www/acme"))
            },
            ports={f"{port}/tcp": ("127.0.0.1", None) for port in (80, 443, 8081)},
        )
        eventually("nginx answers", lambda: "ok" in run_in(container, "curl", "-sf", "http://127.0.0.1/nginx-health"))
        container.reload()
        return container

    def _variables(self) -> dict[str, Any]:
        return {
            "platform_host": {"cpus": 1},
            "platform_edge_subnet": str(self.subnet),
            "nginx_maintenance_message": {"de": 'Wir sind "gleich" zurück\\', "en": "It's $5, <b>soon</b>"},
            "nginx_maintenance_allowed": [f"{self.address(NUMBERS['frontend', 'blue'])}/32"],
            "nginx_http_extra": REFERENCE,
        }

    def _connection(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self._folder / "nginx" / "tls" / "fullchain.pem"))
        return http.client.HTTPSConnection("localhost", self._port(443), timeout=15, context=context)

    def _port(self, inside: int) -> int:
        return int(self.nginx.ports[f"{inside}/tcp"][0]["HostPort"])


def render(folder: Path, variables: dict[str, Any]) -> None:
    """The role's template with the role's and the project's variables, by Ansible, as ``folder``/nginx/nginx.conf."""
    inventory = folder / "inventory"
    (inventory / "group_vars" / "all").mkdir(parents=True)
    (inventory / "group_vars" / "all" / "00-shared").symlink_to(ROOT / "group_vars" / "all")
    hosts = {"localhost": {"ansible_connection": "local"}}
    (inventory / "hosts.yml").write_text(
        yaml.safe_dump({n: {"hosts": hosts} for n in ("nginx", "backend", "frontend")})
    )
    template = {"src": str(ROOT / "roles/nginx/templates/nginx.conf.j2"), "dest": str(folder / "nginx" / "nginx.conf")}
    play = {"hosts": "nginx", "roles": ["nginx"], "tasks": [{"ansible.builtin.template": template | {"mode": "0644"}}]}
    (folder / "render.yml").write_text(yaml.safe_dump([play]))
    python = {"ansible_python_interpreter": str(ROOT / ".venv/bin/python")}
    (folder / "variables.json").write_text(json.dumps(variables | python))
    subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            str(inventory),
            str(folder / "render.yml"),
            "-e",
            f"@{folder}/variables.json",
        ],
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        cwd=ROOT,
        check=True,
    )


def run_in(container: Container, *command: str) -> str:
    code, output = container.exec_run(list(command))
    assert code == 0, output.decode()
    return str(output.decode())


def eventually(promise: str, check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if check():
                return
        except (OSError, AssertionError):  # not up yet
            pass
        assert time.monotonic() < deadline, f"within {PATIENCE_SECONDS:.0f} s: {promise}"
        time.sleep(0.1)


def _exchange(connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str]) -> Answer:
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        names = {name.lower(): response.getheader(name, "") for name, _ in response.getheaders()}  # twice: joined
        return Answer(response.status, names, response.read().decode())
    finally:
        connection.close()
