"""Every secret's rotation and revocation, killed before each of their steps, on a model of the servers.

The order of the playbooks is the tool's, the steps of the vault are the module's functions, and what servers are told
is rendered from the roles' own variables. Modelled are the servers: PostgreSQL has one password a login, Redis several,
and the application runs with what it was started with.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.erni import keyring, rotation_plan
from ansible.module_utils.erni.keyring import Keyring
from ansible.module_utils.erni.secrets import SecretSpec
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from erni_cli import rotation, vault
from erni_cli.environment import Environment
from erni_cli.options import Options

ROOT = Path(__file__).resolve().parents[3]
DEMO = Environment("demo", Path("/inventories/demo"), Path("/inventories/demo/.vault_password"))
LOGINS = ["erni_app_a", "erni_app_b"]
NAMES = ("db_password", "redis_password", "secret_key", "jwt_secret_key", "openai_api_key")
SPECS = [SecretSpec(name, rotation="supplied" if name == "openai_api_key" else "generated") for name in NAMES]
SUPPLIED = "a-key-that-OpenAI-has-made-0123456789"


def roles_variables() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for file in (
        "group_vars/all/services.yml",
        "group_vars/all/rotation.yml",
        "roles/postgres/vars/main.yml",
        "roles/redis/vars/main.yml",
    ):
        found |= yaml.safe_load((ROOT / file).read_text())
    return {key: trust_as_template(value) if isinstance(value, str) else value for key, value in found.items()}


VARIABLES, LOADER = roles_variables(), DataLoader()


def rendered(name: str, ring: Keyring) -> Any:
    """A variable of the roles, for what stands in the vault."""
    known = VARIABLES | {"erni_secrets": dict(ring.values), "erni_rotation": ring.dump()}
    return Templar(loader=LOADER, variables=known).template(trust_as_template(f"{{{{ {name} }}}}"))


class Killed(BaseException):
    """The run ends before a step."""


@dataclass
class Platform:
    """The vault and the servers. ``steps_left`` counts down to a kill; None is never."""

    ring: Keyring
    moment: datetime = datetime(2026, 4, 1, tzinfo=UTC)
    logins: dict[str, str] = field(default_factory=dict)
    redis: set[str] = field(default_factory=set)
    application: dict[str, str] = field(default_factory=dict)
    login: str = ""
    steps_left: int | None = None
    steps: int = 0
    revoked_values: set[str] = field(default_factory=set)

    def step(self) -> None:
        if self.steps_left == 0:
            raise Killed
        self.steps += 1
        self.steps_left = None if self.steps_left is None else self.steps_left - 1

    def play(self, book: str, names: str | None, force: bool) -> None:
        match book:
            case "rotate":
                chosen = rotation_plan.chosen(SPECS, (names or "all").split(","), self.ring)
                fresh = rotation_plan.fresh_values(SPECS, chosen, SUPPLIED * ("openai" in (names or "")), self.ring)
                self.write(keyring.begin(self.ring, fresh, LOGINS, self.moment))
            case "up":
                self.up()
            case "shared/rotation_tried":
                pending = self.ring.pending
                if "db_password" in pending:
                    assert self.logins[pending["db_password"].login] == pending["db_password"].value
                if "redis_password" in pending:
                    assert pending["redis_password"].value in self.redis
                self.write(keyring.promote(self.ring, LOGINS[0], self.moment, 3600))
            case "shared/rotation_proven":
                assert self.application == dict(self.ring.values)
                self.write(keyring.prove(self.ring))
            case "revoke-previous":
                self.write(keyring.revoke(self.ring, self.moment, force=force))
            case "shared/rotation_forgotten":
                self.write(keyring.forget(self.ring))

    def write(self, ring: Keyring) -> None:
        self.step()
        self.ring = ring

    def up(self) -> None:
        for login, password in rendered("__postgres_passwords", self.ring).items():
            self.step()
            self.logins[login] = password
        self.step()
        self.redis = set(rendered("__redis_passwords", self.ring))
        self.step()
        self.application = dict(self.ring.values)
        self.login = rendered("postgres_active_login", self.ring)

    def assert_users_are_served(self) -> None:
        assert self.logins[self.login] == self.application["db_password"], "the application is locked out of PostgreSQL"
        assert self.application["redis_password"] in self.redis, "the application is locked out of Redis"
        in_the_vault = {*self.ring.values.values(), *(one.value for one in self.ring.pending.values())}
        in_the_vault |= {one.value for one in self.ring.previous.values()}
        in_use = {*self.application.values(), *self.redis, *(value for value in self.logins.values() if value)}
        assert self.ring.pending.keys() <= set(NAMES)
        assert set(self.application.values()) <= in_the_vault, "a value that is in use stands nowhere else"
        assert in_use - in_the_vault <= self.revoked_values, "a server knows a value that the vault does not"


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    now = {name: keyring.Current(keyring.told(datetime(2026, 1, 1, tzinfo=UTC))) for name in NAMES}
    made = Platform(Keyring({name: f"the-first-{name}-0123456789" for name in NAMES}, now=now))
    made.up()
    made.steps = 0
    monkeypatch.setattr(vault, "read_keyring", lambda _: made.ring)
    return made


def run(platform: Platform, verb: str, names: str | None, *, killed_before: int | None = None) -> None:
    platform.steps_left, platform.steps = killed_before, 0
    options = Options(secrets=names, force=verb == "revoke-previous")
    if verb == "revoke-previous":
        platform.revoked_values |= {one.value for one in platform.ring.previous.values()}
    for step in rotation.steps(verb, DEMO, options):
        platform.play(step.book, step.options.secrets, step.options.force)


def kills(platform: Platform, verb: str, names: str | None) -> Iterator[int]:
    """Before each step that an undisturbed run takes."""
    untouched = copy.deepcopy(platform.__dict__)
    run(platform, verb, names)
    steps = platform.steps
    platform.__dict__.update(untouched)
    yield from range(steps)


CHOICES = [*NAMES, "db_password,redis_password", None]


@pytest.mark.parametrize("names", CHOICES)
def test_a_rotation_killed_before_any_step_locks_nobody_out_and_the_next_run_ends_it(
    platform: Platform, names: str | None
) -> None:
    chosen = set(NAMES[:4] if names is None else names.split(","))
    before = copy.deepcopy(platform.__dict__)
    tried = 0
    for first in list(kills(platform, "rotate", names)):
        for second in count():
            platform.__dict__.update(copy.deepcopy(before))
            with pytest.raises(Killed):
                run(platform, "rotate", names, killed_before=first)
            platform.assert_users_are_served()
            tried += 1
            try:
                run(platform, "rotate", names, killed_before=second)
                break
            except Killed:
                platform.assert_users_are_served()
            run(platform, "rotate", names)
            ended(platform, chosen)
        ended(platform, chosen)
    assert tried > 10


def ended(platform: Platform, chosen: set[str]) -> None:
    platform.assert_users_are_served()
    assert platform.application == dict(platform.ring.values)
    assert platform.ring.unfinished == []
    assert platform.ring.previous.keys() == chosen
    assert {name for name in NAMES if not platform.ring.values[name].startswith("the-first")} == chosen


@pytest.mark.parametrize("names", CHOICES)
def test_a_revocation_killed_before_any_step_locks_nobody_out_and_the_next_run_ends_it(
    platform: Platform, names: str | None
) -> None:
    first = dict(platform.ring.values)
    run(platform, "rotate", names)
    chosen = set(platform.ring.previous)
    platform.moment += timedelta(days=1)
    before = copy.deepcopy(platform.__dict__)
    for killed_before in list(kills(platform, "revoke-previous", None)):
        platform.__dict__.update(copy.deepcopy(before))
        with pytest.raises(Killed):
            run(platform, "revoke-previous", None, killed_before=killed_before)
        platform.assert_users_are_served()
        run(platform, "revoke-previous", None)
        platform.assert_users_are_served()
        assert (platform.ring.previous, platform.ring.revoked) == ({}, ())
        known = {*platform.redis, *platform.logins.values()}
        assert not known & {first[name] for name in chosen}, "a former value still opens something"
