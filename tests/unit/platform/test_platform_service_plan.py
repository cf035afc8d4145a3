"""Decisions about one service: what is done, in which order, and above all what is not done."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.erni.container_state import container_state
from ansible.module_utils.erni.service_plan import ServiceState, loaded_record, needs_gate, plan_service, plan_state
from ansible.module_utils.erni.service_spec import Folder, Mount, NetworkAttachment, ServiceFile, ServiceSpec
from platform_builders import (
    CERTIFICATE,
    IMAGE,
    NETWORK_IDS,
    QUICK_FILE,
    QUIET_FILE,
    SECRET,
    SLOW_FILE,
    converged,
    engine_answer,
    running,
    service,
    written,
)

WITH_FILES = service(
    files=(SLOW_FILE, QUICK_FILE, QUIET_FILE),
    watched_files={CERTIFICATE: "reload"},
    validate_command=("web", "--check"),
)


def plan_kinds(spec: ServiceSpec, state: ServiceState) -> list[str]:
    return plan_service(spec, state).kinds


# Nothing to do.


@pytest.mark.parametrize("spec", [service(), WITH_FILES, service(secret_environment={}), service(user="5:5")])
def test_a_service_that_is_right_has_no_actions_and_no_differences(spec: ServiceSpec) -> None:
    plan = plan_service(spec, converged(spec))
    assert (plan.actions, plan.differences) == ([], [])


@pytest.mark.parametrize(
    ("health", "needed"), [("healthy", False), ("none", False), ("starting", True), ("unhealthy", True)]
)
def test_a_service_that_is_right_is_only_proven_where_the_engine_has_not_found_it_healthy(
    health: str, needed: bool
) -> None:
    state = converged(service(), container=running(service(), health=health))
    assert needs_gate(plan_service(service(), converged(service())), state) is needed


def test_whatever_was_done_has_to_be_proven() -> None:
    state = converged(service(), container=running(service(), running=False))
    assert needs_gate(plan_service(service(), state), state)


# Creation.


def test_a_missing_container_is_created_and_nothing_else_is_touched() -> None:
    plan = plan_service(service(), converged(service(), container=None))
    assert plan.sentences == ["erni-web is created and started from erni/web:abc"]
    assert needs_gate(plan, converged(service(), container=None))


def test_on_a_bare_host_volumes_folders_and_files_come_before_the_container_that_mounts_them() -> None:
    state = ServiceState(image=IMAGE, misfit_folders=frozenset({"/srv/web"}))
    assert plan_kinds(WITH_FILES, state) == [
        "create_volume", "make_folder", "validate", "write_file", "write_file", "write_file", "create",
    ]  # fmt: skip


def test_what_will_be_created_is_shown_without_the_properties_that_are_empty() -> None:
    diff = plan_service(service(tmpfs={}, init=False), converged(service(), container=None)).diff("x")
    assert diff["after"]["memory"] == 256 * 1024**2
    assert "tmpfs" not in diff["after"]
    assert "init" not in diff["after"]
    assert set(diff["before"].values()) == {None}


def test_a_check_before_the_image_exists_plans_what_the_run_will_do() -> None:
    assert plan_kinds(service(), converged(service(), container=None, image=None)) == ["create"]
    plan = plan_service(service(image="erni/web:new"), converged(service(), image=None))
    assert plan.kinds == ["replace"]
    assert plan.diff("x")["after"]["image"] == "erni/web:new"


# Replacement.


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({"environment": {"MODE": "loud"}}, "environment.MODE"),
        ({"environment": {}}, "environment.MODE"),
        ({"command": ("serve", "-v")}, "command"),
        ({"ports": {}}, "port.80/tcp"),
        ({"tmpfs": {"/tmp": "size=1m"}}, "tmpfs"),
        ({"read_only": False}, "read_only"),
        ({"shm_size": 1}, "shm_size"),
        ({"stop_signal": "SIGINT", "init": False}, "init, stop_signal"),
        (
            {"stop_signal": "X", "init": False, "user": "9", "tmpfs": {}, "stop_timeout": 1, "read_only": False},
            "init, read_only, stop_signal, stop_timeout and 2 more",
        ),
    ],
)
def test_what_a_running_container_cannot_take_over_replaces_it_and_the_reason_is_told(
    changes: dict[str, Any], reasons: str
) -> None:
    plan = plan_service(service(**changes), converged(service()))
    assert plan.sentences == [f"erni-web is replaced: {reasons} changed"]


def test_a_new_image_under_the_same_name_replaces_the_container() -> None:
    plan = plan_service(service(), converged(service(), image=replace(IMAGE, id="sha256:2222")))
    assert plan.sentences == ["erni-web is replaced: image changed"]


def test_a_replacement_takes_limits_networks_and_reloads_with_it() -> None:
    spec = replace(WITH_FILES, memory=1, networks=WITH_FILES.networks[:1], command=("other",))
    assert plan_kinds(spec, converged(WITH_FILES, applied={})) == ["replace"]


def test_a_stopped_container_that_differs_is_replaced_and_not_started_first() -> None:
    state = converged(service(), container=running(service(), running=False))
    assert plan_kinds(service(command=("other",)), state) == ["replace"]


def test_a_changed_secret_replaces_and_is_shown_only_as_a_secret() -> None:
    plan = plan_service(service(secret_environment={"TOKEN": "brand new secret"}), converged(service()))
    assert plan.sentences == ["erni-web is replaced: environment.TOKEN changed"]
    diff = plan.diff("x")
    assert diff["after"] == {"environment.TOKEN": "(secret) after"}
    assert SECRET not in str(diff)
    assert "brand new" not in str(diff)


def test_a_created_container_shows_no_secret_value() -> None:
    state = converged(WITH_FILES, container=None, files=dict.fromkeys([SLOW_FILE.file.path, QUIET_FILE.file.path]))
    diff = plan_service(WITH_FILES, state).diff("x")
    assert diff["after"]["environment.TOKEN"] == diff["after"][QUIET_FILE.file.path] == "(secret) after"
    assert SECRET not in str(diff)


# Updates while it runs.


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"memory": 512 * 1024**2}, "memory"),
        ({"cpus": 0.5}, "cpus"),
        ({"pids": 100}, "pids"),
        ({"memory": 1, "cpus": 1.0, "pids": 1}, "cpus, memory, pids"),
    ],
)
def test_limits_are_updated_while_it_runs(changes: dict[str, Any], names: str) -> None:
    plan = plan_service(service(**changes), converged(service()))
    assert plan.sentences == [f"erni-web is updated while it runs: {names}"]
    assert [difference.name for difference in plan.differences] == names.split(", ")


def test_a_network_that_was_made_anew_is_joined_again_without_a_restart() -> None:
    answer = engine_answer(service())
    ids = NETWORK_IDS | {"erni-edge": "id-of-its-successor"}
    plan = plan_service(service(), converged(service(), container=container_state(answer, ids)))
    assert plan.sentences == ["erni-web joins network erni-edge"]


def test_a_changed_address_is_a_matter_of_joining_again() -> None:
    networks = (replace(service().networks[0], address="172.30.10.99"), service().networks[1])
    assert plan_kinds(service(networks=networks), converged(service())) == ["connect"]


def test_a_network_that_is_no_longer_wanted_is_left() -> None:
    plan = plan_service(service(networks=service().networks[:1]), converged(service()))
    assert plan.sentences == ["erni-web leaves network erni-data"]


def test_networks_are_joined_before_a_stopped_container_starts() -> None:
    spec = service(networks=(*service().networks, NetworkAttachment("erni-more", "", ())))
    state = converged(service(), container=running(service(), running=False))
    assert plan_kinds(spec, state) == ["connect", "start"]


# How it runs.


@pytest.mark.parametrize(
    ("facts", "kinds"),
    [
        ({}, []),
        ({"running": False}, ["start"]),
        ({"running": False, "health": "unhealthy"}, ["start"]),
        ({"paused": True}, ["unpause"]),
        ({"health": "unhealthy"}, ["restart"]),
        ({"health": "starting"}, []),
        ({"paused": True, "health": "unhealthy"}, ["unpause"]),
    ],
)
def test_a_container_that_does_not_serve_is_brought_back(facts: dict[str, Any], kinds: list[str]) -> None:
    assert plan_kinds(service(), converged(service(), container=running(service(), **facts))) == kinds


def test_an_unhealthy_container_that_has_to_reload_is_restarted_once() -> None:
    state = converged(WITH_FILES, container=running(WITH_FILES, health="unhealthy"), watched={CERTIFICATE: "new"})
    assert plan_kinds(WITH_FILES, state) == ["restart"]


# Files.


def with_content(entry: ServiceFile, content: str) -> ServiceFile:
    return replace(entry, file=replace(entry.file, content=content))


@pytest.mark.parametrize(
    ("changed", "effect"),
    [
        ((SLOW_FILE,), ["restart"]),
        ((QUICK_FILE,), ["reload"]),
        ((QUIET_FILE,), []),
        ((QUICK_FILE, QUIET_FILE), ["reload"]),
        ((SLOW_FILE, QUICK_FILE), ["restart"]),
        ((SLOW_FILE, QUICK_FILE, QUIET_FILE), ["restart"]),
    ],
)
def test_a_changed_file_has_exactly_its_effect_and_the_stronger_one_wins(
    changed: tuple[ServiceFile, ...], effect: list[str]
) -> None:
    files = tuple(with_content(f, "new content") if f in changed else f for f in WITH_FILES.files)
    plan = plan_service(replace(WITH_FILES, files=files), converged(WITH_FILES))
    assert plan.kinds == ["validate", *["write_file"] * len(changed), *effect]


def test_nothing_is_written_before_the_new_configuration_has_been_tested() -> None:
    files = (with_content(SLOW_FILE, "new"), with_content(QUICK_FILE, "new"))
    kinds = plan_kinds(replace(WITH_FILES, files=files, command=("other",)), converged(WITH_FILES))
    assert kinds.index("validate") < kinds.index("write_file") < kinds.index("replace")


def test_a_service_without_a_checker_is_not_tested() -> None:
    spec = replace(WITH_FILES, validate_command=())
    state = converged(spec, files=converged(spec).files | {QUICK_FILE.file.path: None})
    assert plan_kinds(spec, state) == ["write_file", "reload"]


@pytest.mark.parametrize(("entry", "effect"), [(SLOW_FILE, ["restart"]), (QUICK_FILE, ["reload"]), (QUIET_FILE, [])])
def test_a_file_edited_by_hand_on_disk_is_put_back_and_loaded_again(entry: ServiceFile, effect: list[str]) -> None:
    files = converged(WITH_FILES).files | {entry.file.path: written(entry, content=b"edited by hand")}
    assert plan_kinds(WITH_FILES, converged(WITH_FILES, files=files)) == ["validate", "write_file", *effect]


@pytest.mark.parametrize(("entry", "effect"), [(SLOW_FILE, ["restart"]), (QUICK_FILE, ["reload"]), (QUIET_FILE, [])])
def test_a_file_that_was_written_but_not_loaded_before_an_interruption_is_loaded(
    entry: ServiceFile, effect: list[str]
) -> None:
    applied = loaded_record(WITH_FILES, {CERTIFICATE: "digest-now"}) | {entry.file.path: "digest-of-the-old"}
    assert plan_kinds(WITH_FILES, converged(WITH_FILES, applied=applied)) == effect


def test_without_any_record_of_what_was_loaded_the_container_is_restarted() -> None:
    assert plan_kinds(WITH_FILES, converged(WITH_FILES, applied={})) == ["restart"]


@pytest.mark.parametrize("effect", ["restart", "reload"])
def test_a_watched_certificate_that_others_renewed_is_loaded_without_being_written(effect: str) -> None:
    spec = replace(WITH_FILES, watched_files={CERTIFICATE: effect})
    assert plan_kinds(spec, converged(spec, watched={CERTIFICATE: "digest-of-the-renewed"})) == [effect]


def test_a_watched_certificate_that_is_not_there_yet_changes_nothing() -> None:
    assert plan_kinds(WITH_FILES, converged(WITH_FILES, watched={})) == []


def test_the_record_of_loaded_files_names_each_file_once_with_its_digest() -> None:
    record = loaded_record(WITH_FILES, {CERTIFICATE: "x"})
    assert set(record) == {SLOW_FILE.file.path, QUICK_FILE.file.path, QUIET_FILE.file.path, CERTIFICATE}
    assert SECRET not in str(record)
    assert record[CERTIFICATE] == "x"


def test_a_container_that_does_not_run_is_started_and_not_reloaded() -> None:
    state = converged(WITH_FILES, container=running(WITH_FILES, running=False), applied={})
    assert plan_kinds(WITH_FILES, state) == ["start"]


# Volumes and folders.


def test_a_volume_that_exists_is_never_created_again() -> None:
    state = converged(service(), volumes=frozenset())
    plan = plan_service(service(), state)
    assert plan.sentences == ["volume erni-web-data is created"]
    assert not plan_service(service(), converged(service())).changed


def test_a_volume_that_its_user_cannot_write_is_given_to_it() -> None:
    plan = plan_service(service(), converged(service(), misowned_volumes=frozenset({"erni-web-data"})))
    assert plan.kinds == ["own_volume"]


def test_other_services_volumes_and_folders_are_left_alone() -> None:
    state = converged(service(), misowned_volumes=frozenset({"of-another"}), misfit_folders=frozenset({"/srv/another"}))
    assert not plan_service(service(), state).changed


def test_folders_are_made_in_the_order_of_the_spec_so_that_parents_come_first() -> None:
    spec = service(folders=(Folder("/srv/web", 0o700, True), Folder("/srv/web/tls", 0o755, False)))
    plan = plan_service(spec, converged(spec, misfit_folders=frozenset({"/srv/web/tls", "/srv/web"})))
    assert [action.subject for action in plan.actions] == ["/srv/web", "/srv/web/tls"]
    assert plan.diff("x")["after"]["folder /srv/web/tls"] == "0755"


def test_a_host_folder_is_no_volume_and_is_not_created_as_one() -> None:
    spec = service(mounts=(Mount("bind", "/srv/web", "/etc/web", True),))
    assert not plan_service(spec, converged(spec, volumes=frozenset())).changed


# What an interrupted replacement leaves.

NEW = service(command=("serve", "--new"))
OLD_STOPPED = running(service(), running=False)


@pytest.mark.parametrize(
    ("container", "replaced", "kinds"),
    [
        # killed before the rename: the old one is stopped under its own name
        (OLD_STOPPED, None, ["replace"]),
        # killed between rename and creation: the old one gets its name back and is replaced as planned
        (None, OLD_STOPPED, ["restore_replaced", "replace"]),
        # killed between creation and start
        (running(NEW, running=False), OLD_STOPPED, ["start", "remove_replaced"]),
        # killed while the gate was asked
        (running(NEW), OLD_STOPPED, ["remove_replaced"]),
        (running(NEW, health="unhealthy"), OLD_STOPPED, ["restart", "remove_replaced"]),
        # a former run's new container is not what is wanted now either
        (running(service(command=("third",))), OLD_STOPPED, ["replace", "remove_replaced"]),
        # both gone
        (None, None, ["create"]),
        # nothing was interrupted
        (running(NEW), None, []),
    ],
)
def test_an_interrupted_replacement_is_finished_from_wherever_it_stopped(
    container: Any, replaced: Any, kinds: list[str]
) -> None:
    assert plan_kinds(NEW, converged(NEW, container=container, replaced=replaced)) == kinds


def test_a_replacement_that_was_cut_and_is_no_longer_wanted_is_undone_by_starting_the_old_one() -> None:
    assert plan_kinds(service(), converged(service(), container=None, replaced=OLD_STOPPED)) == [
        "restore_replaced",
        "start",
    ]


@pytest.mark.parametrize("changed", [True, False])
def test_the_old_container_is_the_last_thing_to_go(changed: bool) -> None:
    spec = replace(NEW, memory=1) if changed else NEW
    state = converged(NEW, container=running(NEW, running=False), replaced=OLD_STOPPED, volumes=frozenset())
    kinds = plan_kinds(spec, state)
    assert kinds.count("remove_replaced") == 1
    assert kinds[-1] == "remove_replaced"


def test_in_every_combination_the_plan_ends_in_one_way_of_running_the_container() -> None:
    """Whatever is found, the service is created, replaced, started, or runs already; never two of them."""
    founds: list[Any] = [None, OLD_STOPPED, running(service()), running(NEW), running(NEW, running=False)]
    for container, replaced in itertools.product(founds, founds):
        plan = plan_service(NEW, converged(NEW, container=container, replaced=replaced))
        brought_up = [kind for kind in plan.kinds if kind in ("create", "replace", "start", "restart")]
        runs_already = container is not None and container.running and container.properties == running(NEW).properties
        restored_as_wanted = container is None and replaced is not None and replaced == running(NEW)
        assert len(brought_up) == (0 if runs_already or restored_as_wanted else 1), (container, replaced, plan.kinds)


# The everyday verbs.

FOUND = {
    "missing": None,
    "stopped": running(service(), running=False),
    "running": running(service()),
    "paused": running(service(), paused=True),
    "unhealthy": running(service(), health="unhealthy"),
}


@pytest.mark.parametrize(
    ("wanted", "found", "kinds"),
    [
        ("started", "missing", []),
        ("started", "stopped", ["start"]),
        ("started", "running", []),
        ("started", "paused", ["unpause"]),
        ("started", "unhealthy", []),
        ("stopped", "missing", []),
        ("stopped", "stopped", []),
        ("stopped", "running", ["stop"]),
        ("stopped", "paused", ["stop"]),
        ("restarted", "missing", []),
        ("restarted", "stopped", ["start"]),
        ("restarted", "running", ["restart"]),
        ("restarted", "unhealthy", ["restart"]),
        ("absent", "missing", []),
        ("absent", "stopped", ["remove"]),
        ("absent", "running", ["remove"]),
    ],
)
def test_a_verb_does_what_its_name_says_and_nothing_where_it_is_so_already(
    wanted: str, found: str, kinds: list[str]
) -> None:
    plan = plan_state("erni-web", FOUND[found], wanted)
    assert plan.kinds == kinds
    assert all(action.subject == "erni-web" for action in plan.actions)


WAITS, SET_ASIDE = "erni-web-green", "erni-web-green-displaced"


@pytest.mark.parametrize(
    ("wanted", "serving", "steps"),
    [
        ("stopped", "running", ["stop erni-web", f"stop {WAITS}"]),
        ("stopped", "stopped", [f"stop {WAITS}"]),
        ("stopped", "missing", [f"stop {WAITS}"]),
        ("absent", "running", ["remove erni-web", f"remove {WAITS}", f"remove {SET_ASIDE}"]),
        ("absent", "missing", [f"remove {WAITS}", f"remove {SET_ASIDE}"]),
        ("started", "stopped", ["start erni-web"]),
        ("started", "running", []),
        ("started", "missing", []),
        ("restarted", "running", ["restart erni-web"]),
        ("restarted", "missing", []),
    ],
)
def test_what_is_beside_a_service_stops_and_goes_with_it_but_only_what_serves_starts(
    wanted: str, serving: str, steps: list[str]
) -> None:
    """One release waits, warm, in the other slot; a container that was set aside for it is stopped."""
    plan = plan_state("erni-web", FOUND[serving], wanted, {WAITS: FOUND["running"], SET_ASIDE: FOUND["stopped"]})
    assert [f"{action.kind} {action.subject}" for action in plan.actions] == steps


def test_a_waiting_container_that_was_stopped_stays_so_whatever_is_asked_but_to_remove_it() -> None:
    beside = {WAITS: FOUND["stopped"]}
    for wanted in ("started", "stopped", "restarted"):
        subjects = {action.subject for action in plan_state("erni-web", FOUND["running"], wanted, beside).actions}
        assert subjects <= {"erni-web"}
    assert plan_state("erni-web", FOUND["running"], "absent", beside).diff("x")["before"] == {
        "erni-web": "present",
        WAITS: "present",
    }


@pytest.mark.parametrize(("asked", "kinds"), [("", []), ("172.30.10.21", []), ("172.30.10.22", ["connect"])])
def test_an_address_that_an_overlay_chose_and_nobody_asked_for_is_no_drift(asked: str, kinds: list[str]) -> None:
    network = NetworkAttachment("erni-data", "172.30.10.21", ("web",))
    has = service(networks=(network,))
    wants = service(networks=(replace(network, address=asked),))
    assert plan_kinds(wants, converged(wants, container=running(has))) == kinds
