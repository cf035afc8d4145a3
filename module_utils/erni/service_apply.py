"""Carry out a service's plan on the host, and undo what did not come up.

:class:`Transition` has one method per action kind of ``service_plan``. A replacement keeps the old container,
stopped and under a second name, until the new one has passed its gate; when it does not, the old one and the
old files come back, and the error says why with the new container's last words.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace as replaced_dataclass
from typing import Any

from . import engine
from .container_state import ContainerState
from .errors import PlatformError
from .files import File, FileState, digest, ensure_folder, folder_matches, observe_file, write_atomically
from .lifecycle import wait_healthy
from .network_http import Question, ask_from
from .planning import Plan
from .service_plan import ServiceState, loaded_record, needs_gate
from .service_spec import ImageFacts, ServiceFile, ServiceSpec

GATE_POLL_SECONDS = 0.25
COMMAND_RETRY_SECONDS = 0.5  # a command is a program of its own, beside an application that boots


def observe_service(client: Any, spec: ServiceSpec) -> tuple[ServiceSpec, ServiceState]:
    """The service's state, and the spec with its files' owners resolved to the container's user."""
    networks = engine.network_ids(client)
    image = engine.observe_image(client, spec.image)
    uid, gid = _owner(client, spec, image)
    spec = _with_owner(spec, uid, gid)
    volumes = {volume["Name"]: volume.get("Mountpoint", "") for volume in client.volumes()["Volumes"] or []}
    state = ServiceState(
        container=_asked_again(client, spec, engine.observe_container(client, spec.container, networks)),
        replaced=engine.observe_container(client, f"{spec.container}-replaced", networks),
        image=image,
        volumes=frozenset(volumes),
        misowned_volumes=frozenset(_misowned(spec, volumes, uid)),
        misfit_folders=frozenset(
            f.path for f in spec.folders if not folder_matches(f.path, f.mode, *((uid, gid) if f.owned else (-1, -1)))
        ),
        files={entry.file.path: observe_file(entry.file.path) for entry in spec.files},
        watched=_watched(spec),
        applied=_read_applied(spec),
    )
    return spec, state


def _asked_again(client: Any, spec: ServiceSpec, container: ContainerState | None) -> ContainerState | None:
    """The engine looks only now and then: what it found unhealthy may have recovered, and is not restarted then."""
    if container is None or container.health != "unhealthy" or container.paused or not container.running:
        return container
    with suppress(engine.docker_errors.APIError):
        if engine.run_inside(client, spec.container, spec.health.command)[0] == 0:
            return replaced_dataclass(container, health="recovering")
    return container


def _owner(client: Any, spec: ServiceSpec, image: ImageFacts | None) -> tuple[int, int]:
    """The container's user; unknown (-1) only while the image that would tell is not there yet."""
    owns_something = spec.files or any(f.owned for f in spec.folders) or any(m.kind == "volume" for m in spec.mounts)
    numeric = spec.user.partition(":")[0].isdigit()
    if not owns_something or (image is None and not numeric):
        return -1, -1
    return engine.user_ids(client, spec)


def _with_owner(spec: ServiceSpec, uid: int, gid: int) -> ServiceSpec:
    files = tuple(
        ServiceFile(replaced_dataclass(entry.file, uid=uid, gid=gid), entry.on_change) for entry in spec.files
    )
    return replaced_dataclass(spec, files=files)


def _misowned(spec: ServiceSpec, volumes: dict[str, str], uid: int) -> list[str]:
    """Volumes that the container's user cannot write although the platform can see them on this host."""
    return [
        mount.source
        for mount in spec.mounts
        if mount.kind == "volume"
        and uid != -1
        and os.path.isdir(volumes.get(mount.source, ""))
        and os.stat(volumes[mount.source]).st_uid != uid
    ]


def _watched(spec: ServiceSpec) -> dict[str, str]:
    states = {path: observe_file(path) for path in spec.watched_files}
    return {path: digest(state.content) for path, state in states.items() if state}


def _read_applied(spec: ServiceSpec) -> dict[str, str]:
    state = observe_file(spec.applied_record) if spec.applied_record else None
    try:
        record = json.loads(state.content) if state else {}
    except ValueError:
        return {}
    return {str(path): str(value) for path, value in record.items()}


def recover(client: Any, spec: ServiceSpec, state: ServiceState) -> list[str]:
    """Finish or undo a replacement that was cut off, before anything else is planned. Sentences of what was done.

    With both containers there, the new one is kept if it passes its gate; otherwise the old one, which served before,
    comes back.
    """
    old = f"{spec.container}-replaced"
    if state.replaced is None:
        return []
    if state.container is not None:
        if _serves(client, spec, state):
            engine.remove_if_present(client, old)
            return [f"{old}, left by an interrupted run, is removed: its successor serves"]
        engine.remove_if_present(client, spec.container)
    client.rename(old, spec.container)
    client.start(spec.container)
    return [f"{spec.container} is back under its name: an interrupted run had set it aside"]


def _serves(client: Any, spec: ServiceSpec, state: ServiceState) -> bool:
    assert state.container is not None  # noqa: S101 (the caller has looked)
    if not state.container.running:
        return False
    try:
        Transition(client, spec, state).pass_gate()
    except engine.EngineAwayError:
        raise  # nothing is known of the container
    except (PlatformError, engine.docker_errors.APIError):
        return False
    return True


class Transition:
    """One application of one plan."""

    def __init__(self, client: Any, spec: ServiceSpec, state: ServiceState) -> None:
        self.client, self.spec, self.state = client, spec, state
        self.previous_files: dict[str, File | None] = {}
        self.holds_replaced = False

    def run(self, plan: Plan) -> None:
        """Apply every action, prove that the service serves, and settle.

        :raises PlatformError: after what could be undone has been undone.
        """
        try:
            self.apply(plan)
            if needs_gate(plan, self.state):
                self.pass_gate()
        except PlatformError as error:
            raise self._undone(error) from error
        except engine.docker_errors.APIError as error:
            failure = PlatformError(f"{self.spec.container} could not be brought up", engine.explanation(error))
            raise self._undone(failure) from error
        self._settle()

    def apply(self, plan: Plan) -> None:
        """The plan's actions alone: no gate, and nothing is undone."""
        for action in plan.actions:
            getattr(self, action.kind)(action.subject)

    # One method per action kind, in the order of the plan.

    def create_volume(self, volume: str) -> None:
        labels = {key: value for key, value in self.spec.labels.items() if key.endswith(("platform", "service"))}
        self.client.create_volume(volume, labels=labels)
        self.own_volume(volume)

    def own_volume(self, volume: str) -> None:
        uid, gid = engine.user_ids(self.client, self.spec)
        mountpoint = self.client.inspect_volume(volume)["Mountpoint"]
        if os.path.isdir(mountpoint):  # not where the engine runs elsewhere (DOCKER_HOST)
            os.chown(mountpoint, uid, gid)

    def make_folder(self, path: str) -> None:
        folder = next(folder for folder in self.spec.folders if folder.path == path)
        owner = engine.user_ids(self.client, self.spec) if folder.owned else (-1, -1)
        ensure_folder(path, folder.mode, *owner)

    def validate(self, _container: str) -> None:
        """Run the service's own checker over the candidate files, mounted where the real ones would be."""
        config_root = self.spec.folders[0].path
        candidate = f"{config_root}.candidate"
        shutil.rmtree(candidate, ignore_errors=True)  # what a killed run left; there may be none
        try:
            self._write_candidate(config_root, candidate)
            code, output = engine.run_once(
                self.client,
                self._validation_config(config_root, candidate),
                f"{self.spec.container}{engine.VALIDATION_SUFFIX}",
            )
        finally:
            shutil.rmtree(candidate, ignore_errors=True)
        if code != 0:
            raise PlatformError(
                f"The new configuration of {self.spec.name} is refused by its own check",
                f"`{' '.join(self.spec.validate_command)}` says: {self._hidden(output)}",
                "Nothing was replaced. Correct the variables or the template that the message names, and run again.",
            )

    def write_file(self, path: str) -> None:
        desired = next(entry.file for entry in self.spec.files if entry.file.path == path)
        if desired.uid == -1:  # the image came only now: its user was unknown when the plan was made
            uid, gid = engine.user_ids(self.client, self.spec)
            desired = replaced_dataclass(desired, uid=uid, gid=gid)
        before = observe_file(path)
        self.previous_files[path] = _as_it_was(path, before) if before else None
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            ensure_folder(folder, 0o700, desired.uid, desired.gid)
        write_atomically(desired)

    def create(self, container: str) -> None:
        engine.create_container(self.client, self.spec)
        self._start(container)

    def replace(self, container: str) -> None:
        """Old one stopped and set aside, new one in its place. The stop is the service's own graceful one."""
        self.client.stop(container, timeout=self.spec.stop_timeout)
        engine.remove_if_present(self.client, f"{container}-replaced")
        self.client.rename(container, f"{container}-replaced")
        self.holds_replaced = True
        engine.create_container(self.client, self.spec)
        self._start(container)

    def update(self, _container: str) -> None:
        engine.update_limits(self.client, self.spec)

    def disconnect(self, network: str) -> None:
        self.client.disconnect_container_from_network(self.spec.container, network, force=True)

    def connect(self, network: str) -> None:
        """Join a network; an endpoint on a network that was removed and made anew is dropped first."""
        with suppress(engine.docker_errors.APIError):  # it was not attached at all, which is the usual case
            self.client.disconnect_container_from_network(self.spec.container, network, force=True)
        engine.attach(self.client, self.spec, network)

    def unpause(self, container: str) -> None:
        self.client.unpause(container)

    def start(self, container: str) -> None:
        self._start(container)

    def restart(self, container: str) -> None:
        self.client.restart(container, timeout=self.spec.stop_timeout)

    def reload(self, container: str) -> None:
        if self.spec.reload_command:
            code, output = engine.run_inside(self.client, container, self.spec.reload_command)
            if code != 0:
                raise PlatformError(f"{container} refused to reload", self._hidden(output))
        else:
            self.client.kill(container, self.spec.reload_signal)

    def _start(self, container: str) -> None:
        self.client.start(container)

    def pass_gate(self) -> None:
        """``passes`` successes in a row; a container that exits or keeps restarting fails at once."""
        gate, container = self.spec.gate, self.spec.container
        before = self.client.inspect_container(container)
        deadline = time.monotonic() + gate.timeout
        in_a_row, objection = 0, ""
        while in_a_row < gate.passes:
            now = self.client.inspect_container(container)  # once: what has just exited is unhealthy, too
            if not now["State"]["Running"] or now["RestartCount"] > before["RestartCount"]:
                raise PlatformError(f"{container} does not stay up", self._last_words())
            if _is_unhealthy(now) and not _is_unhealthy(before):
                raise PlatformError(f"{container} has become unhealthy", self._last_words())
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"{container} runs but did not pass its gate within {gate.timeout} s",
                    f"the check says: {_last_line(self._hidden(objection)) or 'nothing'}; {self._last_words()}",
                )
            passed, output = self._probe(int(now["State"]["Pid"]))
            in_a_row, objection = (in_a_row + 1, objection) if passed else (0, output)
            if in_a_row < gate.passes:
                time.sleep(GATE_POLL_SECONDS if passed or gate.port else COMMAND_RETRY_SECONDS)

    def _probe(self, process: int) -> tuple[bool, str]:
        gate = self.spec.gate
        if gate.port:
            objection = ask_from(process, Question("127.0.0.1", gate.port, gate.path)).objection(gate.path)
            return not objection, objection
        try:
            code, output = engine.run_inside(self.client, self.spec.container, gate.command)
        except engine.docker_errors.APIError as error:  # it stopped between two looks; the loop will see it
            return False, engine.explanation(error)
        return code == 0, output

    def _last_words(self) -> str:
        excerpt = engine.log_excerpt(self.client, self.spec.container, self.spec.secret_values)
        return f"its last log lines are:\n{excerpt}" if excerpt else "it logged nothing"

    def _undone(self, error: PlatformError) -> PlatformError:
        """Bring back the old files and container; the error then also says so."""
        container = self.spec.container
        restored = self._restore_files()
        if self.holds_replaced:
            engine.remove_if_present(self.client, container)
            self.client.rename(f"{container}-replaced", container)
            self.client.start(container)
            remedy = f"The container that served before {self._serving_again()}. {error.remedy}"
            return PlatformError(error.what, error.why, remedy)
        if restored and self.state.container is not None and self.state.container.running:
            self.client.restart(container, timeout=self.spec.stop_timeout)
            remedy = f"The former configuration {self._serving_again()}. {error.remedy}"
            return PlatformError(error.what, error.why, remedy)
        return PlatformError(error.what, error.why, error.remedy or f"`make logs SERVICE={self.spec.name}` shows more.")

    def _serving_again(self) -> str:
        """Wait for what was started again, so that it serves when the failure is told."""
        try:
            wait_healthy(self.client, self.spec.container, self.spec.gate.timeout)
        except PlatformError:
            return "was started again, but is not healthy"
        return "is back"

    def _restore_files(self) -> bool:
        for path, file in self.previous_files.items():
            if file is not None:
                write_atomically(file)
            else:
                os.unlink(path)
        return any(file is not None for file in self.previous_files.values())

    def _settle(self) -> None:
        engine.remove_if_present(self.client, f"{self.spec.container}-replaced")
        record = self.spec.applied_record
        if not record:
            return
        content = json.dumps(loaded_record(self.spec, _watched(self.spec)), indent=1, sort_keys=True)
        current = observe_file(record)
        if current is None or current.content != content.encode():
            write_atomically(File(record, content, 0o600))

    def _write_candidate(self, config_root: str, candidate: str) -> None:
        if os.path.isdir(config_root):
            shutil.copytree(config_root, candidate, symlinks=True)
        uid, gid = engine.user_ids(self.client, self.spec)
        for entry in self.spec.files:
            path = entry.file.path.replace(config_root, candidate, 1)
            ensure_folder(os.path.dirname(path), 0o700, uid, gid)
            write_atomically(replaced_dataclass(entry.file, path=path, uid=uid, gid=gid))
        for folder, _, names in os.walk(candidate):
            for path in (folder, *(os.path.join(folder, name) for name in names)):
                os.chown(path, uid, gid, follow_symlinks=False)

    def _validation_config(self, config_root: str, candidate: str) -> dict[str, Any]:
        config = engine.container_config(self.spec)
        host = config["HostConfig"]
        host["Mounts"] = [
            m | {"Source": m["Source"].replace(config_root, candidate, 1)}
            for m in host["Mounts"]
            if m["Type"] == "bind"
        ]
        host |= {"NetworkMode": "none", "PortBindings": {}, "RestartPolicy": {"Name": "no"}}
        config |= {"Cmd": list(self.spec.validate_command), "ExposedPorts": {}, "Healthcheck": {"Test": ["NONE"]}}
        config.pop("NetworkingConfig", None)
        return config

    def _hidden(self, text: str) -> str:
        for value in self.spec.secret_values:
            text = text.replace(value, "(secret)")
        return text


def _is_unhealthy(inspected: Mapping[str, Any]) -> bool:
    return bool((inspected["State"].get("Health") or {}).get("Status") == "unhealthy")


def _last_line(text: str) -> str:
    """What a program says in the end; of a failed Python or Node program that is its error."""
    return text.strip().rpartition("\n")[2]


def _as_it_was(path: str, state: FileState) -> File:
    return File(path, state.content.decode(errors="surrogateescape"), state.mode, state.uid, state.gid)
