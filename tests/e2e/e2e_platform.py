"""An environment of its own for these tests, driven by the commands that operators type."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import ansible.module_utils
import docker
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from docker.models.containers import Container

ROOT = Path(__file__).resolve().parents[2]
ansible.module_utils.__path__.append(str(ROOT / "module_utils"))

from ansible.module_utils.erni.database_apply import ADVISORY_LOCK  # noqa: E402 (its path is set above)
from ansible.module_utils.erni.release_record import read_journal  # noqa: E402 (likewise)

# Two sessions of these tests can run side by side on a machine, each with an environment of its own: e2e or twin.
ENV = os.environ.get("ERNI_E2E_ENV", "e2e")
_NUMBER = ("e2e", "twin").index(ENV)
NAME = f"erni-{ENV}"  # prefix of containers, networks and volumes
PLATFORM_ROOT = Path(f"/var/lib/{NAME}")
LIVE_FOLDER = PLATFORM_ROOT / "services" / "nginx" / "live"
SERVICES = ("postgres", "redis", "backend", "frontend", "nginx")
HTTP_PORT, HTTPS_PORT = 18080 + _NUMBER, 18443 + _NUMBER
PUBLIC_URL = f"https://localhost:{HTTPS_PORT}"

# Every process that the tests start inherits this variable, so that a run can be killed whole and leftovers be found.
MARK = "ERNI_E2E_RUN"
# Variables of an outer `make test-e2e` would reach the inner make, too.
MAKE_VARIABLES = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS")
MAKE_OPTIONS = (
    *("ENV", "INVENTORIES", "SERVICE", "TAIL", "FOLLOW", "GREP", "VOLUMES", "CONFIRM", "FORMAT", "QUERY"),
    *("RELEASE", "TO", "REASON", "STATE", "RESTORE_DB", "MAX_AGE", "SET", "ONLY", "FROM", "FILE", "IDENTITY"),
    *("LOCATION", "CREDENTIAL", "TIME", "SECRETS", "FORCE"),
    *("CHECK", "DIFF", "V", "ARGS", "LOCK_WAIT", "SCENARIO"),
)
TIMEOUT = 600.0  # seconds; no bound, only so that a hanging run ends
VAULT = Path("group_vars", "all", "vault.yml")  # in an environment's folder
END_OF_OUTPUT = "(that was all)"
# A killed module cannot remove its temporary files: they stay where the sweep finds them.
SCRATCH = Path(f"/tmp/{NAME}")
EDGE, DATA = (f"172.30.{number + 2 * _NUMBER}" for number in (20, 21))  # addresses of the networks begin so
# Names of images tell what serves, so that two platforms need names of their own; the first has local's.
SHARED_IMAGE_PREFIX = "erni"
IMAGE_PREFIX = (SHARED_IMAGE_PREFIX, NAME)[_NUMBER]

VARIABLES: dict[str, Any] = {
    "erni_env": ENV,
    "platform_name": NAME,
    "platform_root": str(PLATFORM_ROOT),
    "platform_edge_subnet": f"{EDGE}.0/24",
    "platform_data_subnet": f"{DATA}.0/24",
    "platform_image_prefix": IMAGE_PREFIX,
    "nginx_http_port": HTTP_PORT,
    "nginx_https_port": HTTPS_PORT,
    # Built into the pages: with local's value the image is local's, and is not built a second time.
    "frontend_public_api_url": "https://localhost:8443/api",
    "backend_workers": 2,
    "release_bake_seconds": 1,
    "release_drain_seconds": 12,
    "backend_rate_limits": {"minute": 6000, "hour": 60000, "day": 600000},
}


@dataclass(frozen=True)
class Run:
    """A command that has ended."""

    code: int
    output: str
    seconds: float

    def succeeded(self) -> Run:
        assert self.code == 0, f"it ended with {self.code}:\n{self.output}"
        return self

    def refused(self, sentence: str) -> Run:
        assert self.code != 0, f"it should have failed:\n{self.output}"
        assert sentence in self.output, f"it should say '{sentence}':\n{self.output}"
        assert "Traceback" not in self.output, self.output
        return self

    @property
    def one_line(self) -> str:
        """The output without the breaks that come from the terminal's width."""
        return " ".join(self.output.split())

    @property
    def changes(self) -> list[str]:
        """The phases that changed something."""
        return [line.strip() for line in self.output.splitlines() if line.strip().startswith("changed ")]


@dataclass(frozen=True)
class Identity:
    """A container is the same, and has not been restarted, exactly when both are equal."""

    id: str
    started: str


class Started:
    """A command that runs: its output as it comes, and a way to kill it with all that it started."""

    def __init__(self, command: list[str], token: str) -> None:
        self._token = token
        self._begin = time.monotonic()
        self._lines: list[str] = []
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(token),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.append(line)

    @property
    def output(self) -> str:
        return "".join(self._lines)

    def says(self, text: str, timeout: float = TIMEOUT) -> None:
        """Wait until the output holds the text."""
        deadline = time.monotonic() + timeout
        while text not in self.output:
            assert self._process.poll() is None, f"it ended before it said '{text}':\n{self.output}"
            assert time.monotonic() < deadline, f"it did not say '{text}' within {timeout} s:\n{self.output}"
            time.sleep(0.02)

    def ended(self, timeout: float = TIMEOUT) -> Run:
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it did not end within {timeout} s:\n{self.output}") from None
        self._reader.join(10)
        return Run(code, self.output, time.monotonic() - self._begin)

    def kill(self) -> None:
        """SIGKILL for all of the run. Ansible's workers are sessions of their own: no process group holds them all."""
        while alive := marked_processes(self._token):
            for process in alive:
                _kill(process)
            time.sleep(0.02)
        self._process.wait(10)


def environment(token: str) -> dict[str, str]:
    outer = {
        name: value
        for name, value in os.environ.items()
        if name not in (*MAKE_VARIABLES, *MAKE_OPTIONS) and not name.startswith("ERNI_")
    }
    return {**outer, MARK: token, "TMPDIR": str(SCRATCH)}


def _token(run: int = 0) -> str:
    return f"{ENV}-{os.getpid()}-{run}"


def marked_processes(token: str = f"{ENV}-") -> list[int]:
    """Processes of one run, or of any of this environment's. An engine that a run had to start is nobody's leftover."""
    mark = f"{MARK}={token}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            marked = any(entry.startswith(mark) for entry in (folder / "environ").read_bytes().split(b"\0"))
            if marked and not (folder / "comm").read_text().startswith(("dockerd", "containerd", "docker-proxy")):
                found.append(int(folder.name))
        except OSError:
            continue  # it ended between two looks
    return [process for process in found if process != os.getpid() and not _is_zombie(process)]


def _is_zombie(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _kill(process: int) -> None:
    try:
        os.kill(process, 9)
    except ProcessLookupError:
        return


class Platform:
    """The environment and its containers."""

    def __init__(self, inventories: Path) -> None:
        self.inventories = inventories
        self.engine = docker.from_env(timeout=120)
        self._runs = 0
        self.write_environment(ENV)

    # Inventories

    def write_environment(
        self, name: str, variables: Mapping[str, Any] | None = None, secrets: Mapping[str, str] | None = None
    ) -> Path:
        """An inventory of that name for the same platform; secrets are put into an encrypted vault."""
        folder = self.inventories / name
        variables_folder = folder / "group_vars" / "all"
        variables_folder.mkdir(parents=True, exist_ok=True)
        local = ROOT / "inventories" / "local"
        shutil.copy(local / "hosts.yml", folder / "hosts.yml")
        shared = variables_folder / "00-shared"
        if not shared.is_symlink():
            shared.symlink_to(ROOT / "group_vars" / "all")
        evidence = {"release_evidence_file": str(self.inventories / "releases.jsonl")}
        main = yaml.safe_load((local / "group_vars" / "all" / "main.yml").read_text())
        (variables_folder / "main.yml").write_text(yaml.safe_dump(main | VARIABLES | evidence | dict(variables or {})))
        if secrets is not None:
            self._write_vault(folder, secrets)
        return folder

    def _write_vault(self, folder: Path, secrets: Mapping[str, str]) -> None:
        """Other values; what the vault holds beside them stays."""
        path, password_file = folder / VAULT, folder / ".vault_password"
        if not password_file.exists():
            password_file.write_text("a password for tests\n")
            password_file.chmod(0o600)
        vault = VaultLib([("default", VaultSecret(password_file.read_bytes().strip()))])
        document = yaml.safe_load(vault.decrypt(path.read_bytes())) if path.exists() else {}
        path.write_bytes(vault.encrypt(yaml.safe_dump({**document, "erni_secrets": dict(secrets)})))

    @property
    def vault_file(self) -> Path:
        return self.inventories / ENV / VAULT

    def secrets(self) -> dict[str, str]:
        """The generated values, read as an operator would."""
        folder = self.inventories / ENV
        words = [str(ROOT / ".venv/bin/ansible-vault"), "view", str(self.vault_file)]
        words += ["--vault-password-file", str(folder / ".vault_password")]
        text = subprocess.check_output(words, text=True, cwd=ROOT)
        return dict(yaml.safe_load(text)["erni_secrets"])

    # Commands

    def start(self, verb: str, env: str = ENV, **options: Any) -> Started:
        """`make VERB`; options by their lower-case names. ``args`` is a list of words, or a mapping of variables."""
        self._runs += 1
        given = {"ENV": env, "INVENTORIES": self.inventories} | {name.upper(): v for name, v in options.items()}
        if isinstance(arguments := given.get("ARGS"), Mapping):
            given["ARGS"] = shlex.join(["-e", json.dumps(arguments)])
        words = ["make", verb, *(f"{name}={value}" for name, value in given.items())]
        return Started(words, _token(self._runs))

    def make(self, verb: str, env: str = ENV, timeout: float = TIMEOUT, **options: Any) -> Run:
        return self.start(verb, env, **options).ended(timeout)

    def stdout_of(self, words: list[str]) -> str:
        """Standard output alone, as a program that reads it would get it."""
        return subprocess.check_output(words, cwd=ROOT, env=environment(_token()), text=True, timeout=TIMEOUT)

    def up(self, **options: Any) -> Run:
        return self.make("up", **options).succeeded()

    # The world

    def container(self, service: str) -> Container:
        return self.engine.containers.get(f"{NAME}-{service}")

    def containers(self) -> list[Container]:
        return [
            c for c in self.engine.containers.list(all=True, ignore_removed=True) if str(c.name).startswith(f"{NAME}-")
        ]

    def last_words(self, lines: int = 40) -> dict[str, str]:
        """The end of each container's log, for whoever has to find out why a test failed."""
        return {str(c.name): c.logs(tail=lines).decode(errors="replace") for c in self.containers()}

    def identities(self) -> dict[str, Identity]:
        return {
            str(c.name).removeprefix(f"{NAME}-"): Identity(str(c.id), c.attrs["State"]["StartedAt"])
            for c in self.containers()
        }

    def serving(self) -> dict[str, Identity]:
        """Those of the containers that serve; what waits in the other slot may come and go."""
        return {name: identity for name, identity in self.identities().items() if name in SERVICES}

    def network(self, kind: str) -> Any:
        return self.engine.networks.get(f"{NAME}-{kind}")

    def exec(self, service: str, *command: str) -> tuple[int, str]:
        """Exit code and output (both streams) of a command in the service's container."""
        code, output = self.container(service).exec_run(list(command))
        assert code is not None
        assert isinstance(output, bytes)
        return code, output.decode(errors="replace").strip()

    def sql(self, statement: str, database: str = "erni_agents") -> str:
        """What psql prints. The engine sometimes loses that (moby's issue 27289): a query is asked again then."""
        words = ("psql", "-XAt", "--username=postgres", f"--dbname={database}", "--set=ON_ERROR_STOP=1")
        whole = False
        while not whole:
            code, output = self.exec("postgres", *words, "-c", statement, "-c", f"\\echo {END_OF_OUTPUT}")
            assert code == 0, output
            whole = output.endswith(END_OF_OUTPUT) or not statement.startswith("select")
        return output.removesuffix(END_OF_OUTPUT).strip()

    def messages_of(self, conversation: str) -> int:
        return int(self.sql(f"select count(*) from messages where conversation_id = '{UUID(conversation)}'"))  # noqa: S608 (a UUID)

    def is_well(self) -> bool:
        """Every service runs and is healthy; what waits in the other slot does not count."""
        containers = {str(c.name): c for c in self.containers()}
        serving = [containers.get(f"{NAME}-{service}") for service in SERVICES]
        return all(container is not None and _is_healthy(container) for container in serving)

    def slot(self) -> str:
        return "green" if (LIVE_FOLDER / "green").exists() else "blue"

    def release(self, service: str = "backend") -> str:
        """The release whose container has the service's canonical name."""
        return str(self.container(service).labels["ch.erni.release"])

    def journal(self) -> list[dict[str, Any]]:
        """The journal of the transitions between releases, without a line that is just being written."""
        return [asdict(entry) for entry in read_journal(str(PLATFORM_ROOT / "releases"))]

    @contextmanager
    def holding_the_schema(self) -> Iterator[None]:
        """Another schema change is under way: its session holds the lock that there is one of."""
        words = ["docker", "exec", f"{NAME}-postgres", "psql", "-XAt", "--username=postgres", "--dbname=erni_agents"]
        statement = f"select pg_advisory_lock({ADVISORY_LOCK}); select pg_sleep(60)"
        with subprocess.Popen([*words, "-c", statement], stdout=subprocess.DEVNULL) as session:
            try:
                while self.sql("select count(*) from pg_locks where locktype = 'advisory' and granted") == "0":
                    time.sleep(0.1)
                yield
            finally:
                self.sql("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted")
                session.wait(30)

    @contextmanager
    def full_disk(self, folder: str) -> Iterator[None]:
        """The folder lies on a file system of its own that has no room left."""
        path = PLATFORM_ROOT / folder
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(path)], check=True)
        try:
            with suppress(OSError), (path / "filling").open("wb") as handle:
                while True:
                    handle.write(b"0" * 4096)
                    handle.flush()
            yield
        finally:
            subprocess.run(["umount", str(path)], check=True)

    def files(self) -> dict[str, tuple[Any, ...]]:
        """Every file of the platform but the history of runs, with what a rewrite would change."""
        return {
            str(path.relative_to(PLATFORM_ROOT)): (s.st_ino, s.st_mtime_ns, s.st_mode, s.st_uid, s.st_gid, s.st_size)
            for path in _walk(PLATFORM_ROOT)
            if not path.is_relative_to(PLATFORM_ROOT / "metrics") and path.name != "journal.jsonl"
            for s in (path.lstat(),)
            if not path.is_dir()
        }

    def footprint(self) -> dict[str, Any]:
        """All that a refused command may not touch."""
        return {
            "containers": self.identities(),
            "networks": {n.name: n.id for n in self.engine.networks.list(names=[NAME])},
            "volumes": {v.name for v in self.engine.volumes.list(filters={"name": NAME})},
            "files": self.files(),
        }

    @contextmanager
    def images_named(self) -> Iterator[None]:
        """What was built for the first environment has this one's names, too, and is not built again."""
        if IMAGE_PREFIX == SHARED_IMAGE_PREFIX:
            yield
            return
        for image in self.engine.images.list(filters={"reference": f"{SHARED_IMAGE_PREFIX}/*"}):
            for tag in image.tags:
                image.tag(tag.replace(SHARED_IMAGE_PREFIX, IMAGE_PREFIX, 1))
        try:
            yield
        finally:
            for image in self.engine.images.list(filters={"reference": f"{IMAGE_PREFIX}/*"}):
                for tag in image.tags:
                    if tag.startswith(f"{IMAGE_PREFIX}/"):
                        self.engine.images.remove(tag, force=True)

    def sweep(self) -> None:
        """Remove whatever is left of this or a killed earlier session; no command of the platform is needed for it."""
        for process in marked_processes():
            _kill(process)
        for container in self.containers():
            container.remove(force=True, v=True)
        for network in self.engine.networks.list(names=[NAME]):
            network.remove()
        for volume in self.engine.volumes.list(filters={"name": NAME}):
            volume.remove(force=True)
        for folder in (PLATFORM_ROOT, SCRATCH):
            shutil.rmtree(folder, ignore_errors=True)  # there may be none
        SCRATCH.mkdir(mode=0o700)


def _is_healthy(container: Container) -> bool:
    """Its own check is asked where the engine has not looked at it yet."""
    told = container.attrs["State"].get("Health", {}).get("Status")
    if container.status == "running" and told == "starting":
        return bool(container.exec_run(container.attrs["Config"]["Healthcheck"]["Test"][1:])[0] == 0)
    return bool(told == "healthy")


def _walk(folder: Path) -> Iterator[Path]:
    return folder.rglob("*") if folder.is_dir() else iter(())
