"""A deploy loses no request, a rollback neither, and a bad release never costs the one that serves."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import e2e_releases
import e2e_web
import pytest
from e2e_platform import HTTPS_PORT, NAME, Platform
from e2e_releases import Releases
from load_generator import Load
from load_posts import posts_applied_exactly_once
from load_report import Report
from load_settings import Settings

CYCLES = 5  # of a deploy and a rollback
# Requests a second, mixed. benchmarks/bench_deploy.py sends 300, on a machine that does nothing else: two cores have no
# room for whatever else a machine that tests may be at.
RATE = 150.0


@pytest.fixture(scope="module")
def releases(platform: Platform) -> Iterator[Releases]:
    if not platform.is_well():
        platform.up()
    with e2e_releases.built(platform) as made:
        yield made


def load(rate: float = RATE, **settings: Any) -> Load:
    return Load(Settings(port=HTTPS_PORT, authority=str(e2e_web.AUTHORITY), rate=rate, **settings))


def assert_nothing_lost(platform: Platform, report: Report) -> None:
    assert report.failures == [], report.failures_by_kind()
    assert report.total > 0
    assert posts_applied_exactly_once(report.posts_answered, platform.sql) == []
    assert set(report.posts_sent) == set(report.posts_answered)


def test_deploys_and_rollbacks_under_load_lose_no_request(running: Platform, releases: Releases) -> None:
    before = running.release()
    with load() as traffic:
        for cycle in range(CYCLES):
            traffic.mark("deploy")
            # Not the one that waits in the other slot: each deploy has to start a candidate.
            running.make("deploy", release=releases.wish(("good", "better")[cycle % 2])).succeeded()
            assert running.release() != before
            traffic.mark("rollback")
            running.make("rollback").succeeded()
            assert running.release() == before
        report = traffic.stop()
    assert_nothing_lost(running, report)


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


def backend_address(platform: Platform, name: str) -> str:
    networks = platform.container(name).attrs["NetworkSettings"]["Networks"]
    return f"{networks[f'{NAME}-edge']['IPAddress']}:8000"


def backends_asked(platform: Platform, seconds: float) -> set[str]:
    """Whom nginx asks from now on, in vain or not."""
    begin = time.time()
    time.sleep(seconds)
    lines = platform.container("nginx").logs(stderr=False, since=begin).decode().splitlines()
    asked = [address for line in lines for address in json.loads(line)["upstream"].split(", ")]
    return {address for address in asked if address.endswith(":8000")}


def test_two_replicas_share_the_requests_and_a_rollback_to_one_loses_none(running: Platform) -> None:
    running.make("deploy").succeeded()
    before, two = running.release(), {"backend_replicas": 2}
    mixture = {"health": 0.5, "post": 0.5}  # what is begun before a look at whom nginx asks has ended by then
    with load(30, mixture=mixture, idle_connections=0) as traffic:
        running.make("deploy", args=two).succeeded()
        assert backends_asked(running, 2) == {backend_address(running, n) for n in ("backend", "backend-2")}
        again = running.up(args=two)
        assert again.changes == [], again.output
        assert f"{NAME}-backend-2 " in running.make("status").succeeded().output
        running.make("rollback").succeeded()
        assert backends_asked(running, 2) == {backend_address(running, "backend")}
        report = traffic.stop()

    assert_nothing_lost(running, report)
    assert running.release() == before
    assert {"backend-2-blue", "backend-2-green"} & set(running.identities()), "ready to be gone back to"


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


@dataclass(frozen=True)
class Bad:
    """A release that must not stay, and what the run says of it. Those that have ``served`` pass their gate and are
    taken back, so that some users notice."""

    variant: str
    sentence: str
    served: bool = False


BAD = [
    Bad("crashing", "does not stay up"),
    Bad("never-ready", "did not pass its gate within"),
    Bad("dying", "does not do well", served=True),
    Bad("failing", "failed (5xx)", served=True),
    Bad("slow", "answers slowly", served=True),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.variant)
def test_a_bad_release_ends_with_the_former_one_serving(running: Platform, releases: Releases, bad: Bad) -> None:
    before, serving = running.release(), running.serving()
    args = {"release_bake_seconds": 30, "backend_gate_timeout": 10}
    # No streams and no slow answers: what the load has to notice is the release.
    mixture = {"health": 0.2, "post": 0.8}
    with load(30, mixture=mixture, idle_connections=0) as traffic:
        run = running.make("deploy", release=releases.wish(bad.variant), args=args)
        report = traffic.stop()

    run.refused(bad.sentence)
    assert running.release() == before
    assert {name: i.id for name, i in running.serving().items()} == {name: i.id for name, i in serving.items()}
    assert e2e_web.chat("Are you there?")["response"]
    assert not [name for name in running.identities() if name.endswith(("-displaced", "-image"))]
    if not bad.served:
        assert report.failures == [], report.failures_by_kind()


def test_a_release_that_was_taken_back_does_not_come_again_by_itself(running: Platform, releases: Releases) -> None:
    args = {"release_bake_seconds": 30, "backend_gate_timeout": 10}  # as before: another setting is another release
    running.make("deploy", release=releases.wish(BAD[-1].variant), args=args).refused("is quarantined")


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
    free = f"172.30.20.{30 if running.slot() == 'blue' else 20}"
    for name in [name for name in running.identities() if name.startswith("backend-")]:
        running.container(name).remove(force=True)
    squatter = running.engine.containers.create(
        image, ["sleep", "120"], name="erni-e2e-squatter", labels={"ch.erni.test": "1"}
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


def test_the_history_tells_how_to_go_back(running: Platform) -> None:
    told = running.make("releases").succeeded().output
    assert running.release() in told
    assert "serves" in told
    assert "quarantined" in told


def test_maintenance_turns_users_away_and_lets_them_in_again(running: Platform) -> None:
    running.make("maintenance", state="on").succeeded()
    try:
        assert e2e_web.secure("GET", "/").status == 503
        assert e2e_web.secure("GET", "/health").status == 200
    finally:
        running.make("maintenance", state="off").succeeded()
    assert e2e_web.secure("GET", "/").status == 200


def test_after_all_of_it_the_inventorys_release_can_serve_again(running: Platform) -> None:
    running.make("deploy").succeeded()
    assert running.up().changes == []
