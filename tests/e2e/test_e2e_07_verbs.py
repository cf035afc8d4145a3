"""The everyday verbs do what they say."""

from __future__ import annotations

import json

from e2e_platform import ENV, NAME, SERVICES, Platform


def test_status_is_a_table_for_people(running: Platform) -> None:
    run = running.make("status").succeeded()

    head = next(line for line in run.output.splitlines() if line.startswith("SERVICE"))
    for column in ("CONTAINER", "STATE", "HEALTH", "UPTIME", "RESTARTS", "IMAGE", "RELEASE", "CPU", "MEMORY"):
        assert column in head
    assert [line.split()[0] for line in run.output.splitlines() if f" {NAME}-" in line] == list(SERVICES)


def test_status_is_json_for_machines(running: Platform) -> None:
    words = ["make", "--silent", "status", f"ENV={ENV}", f"INVENTORIES={running.inventories}", "FORMAT=json"]
    told = json.loads(running.stdout_of(words))

    assert [service["service"] for service in told["services"]] == list(SERVICES)
    assert {service["health"] for service in told["services"]} == {"healthy"}
    assert all(service["memory_limit_mb"] > service["memory_mb"] > 0 for service in told["services"])
    assert told["services"][2]["image"] == running.container("backend").attrs["Config"]["Image"]


def test_status_fails_and_names_the_service_that_is_not_well(running: Platform) -> None:
    running.container("redis").stop()

    running.make("status").refused(f"{NAME}-redis is exited")

    running.container("redis").start()


def test_stop_and_start_keep_the_order_and_wait_for_health(running: Platform) -> None:
    before = running.identities()

    running.make("stop").succeeded()
    finished = {s: running.container(s).attrs["State"]["FinishedAt"] for s in SERVICES}
    assert {running.container(s).status for s in SERVICES} == {"exited"}
    assert sorted(SERVICES, key=finished.__getitem__) == list(reversed(SERVICES))
    assert {s: running.container(s).attrs["State"]["ExitCode"] for s in ("postgres", "redis", "nginx")} == {
        "postgres": 0,
        "redis": 0,
        "nginx": 0,
    }

    running.make("start").succeeded()
    after = running.identities()
    assert {s: i.id for s, i in after.items()} == {s: i.id for s, i in before.items()}
    assert sorted(SERVICES, key=lambda s: after[s].started) == list(SERVICES)
    running.make("verify").succeeded()


def test_restart_of_one_service_touches_only_that_one(running: Platform) -> None:
    before = running.identities()

    running.make("restart", service="backend").succeeded()

    after = running.identities()
    assert {s for s in SERVICES if before[s] != after[s]} == {"backend"}
    assert after["backend"].id == before["backend"].id


def test_logs_show_the_last_lines_and_only_those_that_match(running: Platform) -> None:
    run = running.make("logs", service="postgres", tail=3).succeeded()
    matching = running.make("logs", service="postgres", grep="ready to accept").succeeded()

    lines = running.container("postgres").logs(tail=3).decode().splitlines()
    assert all(line.strip() in run.output for line in lines)
    assert "ready to accept connections" in matching.output
    assert "starting PostgreSQL" in running.make("logs", service="postgres", tail=500).succeeded().output
    assert "starting PostgreSQL" not in matching.output


def test_psql_and_redis_cli_answer_a_query(running: Platform, conversation: str) -> None:
    query = f"select count(*) || ' rows' from messages where conversation_id = '{conversation}'"  # noqa: S608 (our own id)

    assert "2 rows" in running.make("psql", query=query).succeeded().output
    assert "maxmemory_human:128" in running.make("redis-cli", query="info memory").succeeded().output


def test_a_query_that_fails_fails_the_verb(running: Platform) -> None:
    running.make("psql", query="select nonsense").refused('column "nonsense" does not exist')
    running.make("redis-cli", query="no-such-command").refused("unknown command")


def test_verify_sends_a_message_that_is_then_in_the_database(running: Platform) -> None:
    count = "select count(*) from messages where content like 'Hello from make verify%'"
    before = int(running.sql(count))

    running.make("verify").succeeded()

    assert int(running.sql(count)) == before + 1


def test_verify_fails_when_users_cannot_be_served(running: Platform) -> None:
    running.container("backend").pause()
    try:
        run = running.make("verify")
    finally:
        running.container("backend").unpause()

    assert run.code != 0
    assert f"{NAME}-backend" in run.output


def test_preflight_passes_on_a_host_that_serves(running: Platform) -> None:
    before = running.footprint()

    running.make("preflight").succeeded()

    assert running.footprint() == before


def test_secrets_are_never_replaced(running: Platform) -> None:
    before = running.secrets()

    assert running.make("secrets").succeeded().changes == []
    assert running.secrets() == before


def test_destroy_wants_the_name_of_the_environment(running: Platform) -> None:
    before = running.footprint()

    running.make("destroy", volumes=1).refused(f"to go on, type its name: make destroy ENV={ENV} CONFIRM={ENV}")
    running.make("destroy", confirm="local").refused("Nothing was removed.")

    assert running.footprint() == before
