"""Releases come, go back and are refused; what serves is told, and nobody has to look twice."""

from __future__ import annotations

import time

import e2e_web
import pytest
from e2e_platform import EDGE, NAME, Platform
from e2e_releases import Releases


def let_serve(platform: Platform, releases: Releases, variant: str) -> str:
    """The release's id."""
    if platform.container("backend").attrs["Config"]["Image"] != releases.backends[variant]:
        platform.make("deploy", release=releases.wish(variant)).succeeded()
    return platform.release()


def test_what_serves_is_told_by_nginx_and_has_the_canonical_names(running: Platform, releases: Releases) -> None:
    release = let_serve(running, releases, "good")

    headers = e2e_web.secure("GET", "/").headers
    assert headers["x-erni-release"] == running.release("frontend") == release
    assert headers["x-erni-slot"] == running.slot() == running.container("backend").labels["ch.erni.slot"]
    assert release in running.make("status").succeeded().output


def test_the_same_release_again_changes_nothing(running: Platform, releases: Releases) -> None:
    let_serve(running, releases, "good")
    before, journal = running.identities(), running.journal()

    run = running.make("deploy", release=releases.wish("good")).succeeded()

    assert run.changes == []
    assert "serves already; nothing was changed" in run.output
    assert (running.identities(), running.journal()) == (before, journal)


def test_rollbacks_in_a_row_go_back_further_and_make_up_does_not_undo_them(
    running: Platform, releases: Releases
) -> None:
    good, better = (let_serve(running, releases, variant) for variant in ("good", "better"))

    running.make("rollback").succeeded()
    assert running.release() == good
    assert running.up().changes == []
    assert running.release() == good
    running.make("rollback").succeeded()
    assert running.release() == releases.inventorys
    running.make("rollback", to=better).succeeded()
    assert running.release() == better


def test_what_waits_is_stopped_when_its_time_is_over_and_can_still_be_gone_back_to(
    running: Platform, releases: Releases
) -> None:
    before = let_serve(running, releases, "better")
    running.make("deploy", release=releases.another(running), args={"release_warm_seconds": 3}).succeeded()
    waiting = [name for name in running.identities() if name.startswith(("backend-", "frontend-"))]
    deadline = time.monotonic() + 60
    while any(running.container(name).status == "running" for name in waiting):
        assert time.monotonic() < deadline, "nobody has stopped it"
        time.sleep(0.5)
    assert "stopped" in running.make("releases").succeeded().output

    running.make("rollback").succeeded()

    assert running.release() == before
    assert [line["detail"] for line in running.journal() if line["phase"] == "begun"][-1] == "return"


def test_a_check_tells_the_plan_and_does_nothing(running: Platform, releases: Releases) -> None:
    before, args = running.footprint(), {"backend_log_level": "DEBUG"}

    run = running.make("deploy", release=releases.wish("good"), check=1, diff=1, args=args).succeeded()

    assert f"starts in slot {'blue' if running.slot() == 'green' else 'green'}" in run.output
    assert "LOG_LEVEL" in run.output
    assert running.footprint() == before


MIGRATIONS = [
    pytest.param("raise SystemExit('there is no column octarine')", "there is no column octarine", id="failing"),
    pytest.param("import time; time.sleep(60)", "it was ended after 3 s", id="hanging"),
]


@pytest.mark.parametrize(("program", "sentence"), MIGRATIONS)
def test_a_migration_that_does_not_end_well_stops_a_deploy_before_anything_is_switched(
    running: Platform, releases: Releases, program: str, sentence: str
) -> None:
    serving = running.serving()
    args = {"release_migration_command": ["python3", "-c", program], "release_migration_timeout": 3}

    running.make("deploy", release=releases.another(running), args=args).refused(sentence)

    assert running.serving() == serving
    assert not [name for name in running.identities() if "migration" in name]


def test_a_migration_that_another_one_keeps_out_says_who_it_is(running: Platform, releases: Releases) -> None:
    serving = running.serving()
    args = {"release_migration_command": ["true"], "release_migration_lock_timeout": 1}
    with running.holding_the_schema():
        run = running.make("deploy", release=releases.another(running), args=args)

    run.refused("Another schema change still holds the lock")
    assert running.serving() == serving


def test_an_address_that_is_taken_stops_a_deploy(running: Platform, releases: Releases) -> None:
    serving, image = running.serving(), running.container("backend").attrs["Config"]["Image"]
    free = f"{EDGE}.{30 if running.slot() == 'blue' else 20}"
    for name in [name for name in running.identities() if name.startswith("backend-")]:
        running.container(name).remove(force=True)
    squatter = running.engine.containers.create(
        image, ["sleep", "120"], name=f"{NAME}-squatter", labels={"ch.erni.test": "1"}
    )
    try:
        running.engine.api.disconnect_container_from_network(squatter.id, "bridge")
        running.network("edge").connect(squatter, ipv4_address=free)
        squatter.start()
        running.make("deploy", release=releases.another(running)).refused("Address already in use")
    finally:
        squatter.remove(force=True)
    assert running.serving() == serving


def test_a_full_disk_stops_a_deploy_before_anything_is_touched(running: Platform, releases: Releases) -> None:
    serving = running.serving()
    with running.full_disk("releases"):
        run = running.make("deploy", release=releases.another(running))

    run.refused("No space left on device")
    assert running.serving() == serving


def test_an_image_that_is_nowhere_is_refused_before_anything_is_touched(running: Platform, releases: Releases) -> None:
    before = running.footprint()

    wish = f"backend=127.0.0.1:1/none:1,frontend={releases.frontend}"
    running.make("deploy", release=wish).refused("127.0.0.1:1/none:1")

    assert running.footprint() == before


def test_what_has_not_served_in_staging_wants_a_reason(running: Platform, releases: Releases) -> None:
    before, args = running.footprint(), {"release_wanted_in": ["staging"]}

    running.make("deploy", release=releases.another(running), args=args).refused(
        "takes only what has served in staging"
    )

    assert running.footprint() == before


def test_maintenance_turns_users_away_and_lets_them_in_again(running: Platform) -> None:
    running.make("maintenance", state="on").succeeded()
    try:
        assert e2e_web.secure("GET", "/").status == 503
        assert e2e_web.secure("GET", "/health").status == 200
    finally:
        running.make("maintenance", state="off").succeeded()
    assert e2e_web.secure("GET", "/").status == 200
