"""A platform whose secrets move from its vault file into a secret manager, and are rotated there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.module_utils.erni import secret_homes
from e2e_platform import ENV, Platform
from e2e_rotation import assert_opens, assert_refused
from secret_managers import Manager, openbao


@pytest.fixture
def manager(running: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """OpenBao's server; after it the vault file holds what serves, as before."""
    with openbao(tmp_path) as server:
        server.let_in(monkeypatch)
        yield server
        if not running.vault_file.exists():
            running.write_environment(ENV, secrets=values(server))
    running.write_environment(ENV)


def document(manager: Manager) -> dict[str, dict[str, object]]:
    return secret_homes.opened(manager.settings).load() or {}


def values(manager: Manager) -> dict[str, str]:
    return {name: str(value) for name, value in document(manager)["erni_secrets"].items()}


def test_a_platform_is_moved_to_a_manager_and_rotated_there(running: Platform, manager: Manager) -> None:
    vault, password_file = running.vault_file, running.inventories / ENV / ".vault_password"
    running.make("revoke-previous", force=1).succeeded()  # what other tests have rotated
    before = running.secrets()
    running.write_environment(ENV, {"erni_secrets_home": manager.settings})

    running.make("secrets").succeeded()
    assert running.up().changes == [], "the values are the same"
    vault.unlink()
    password_file.unlink()
    assert running.up().changes == []
    assert values(manager) == before

    run = running.make("rotate", reason="they have a new home").succeeded()
    after = values(manager)
    changed = {name for name in before if before[name] != after[name]}
    assert changed >= {"db_password", "redis_password", "secret_key", "jwt_secret_key"}
    assert_opens(after)
    assert not [value for value in (*before.values(), *after.values()) if value in run.output]
    running.make("revoke-previous", force=1).succeeded()
    assert_refused(before)
    assert_opens(after)
    assert document(manager)["erni_rotation"]["previous"] == {}
    (told,) = [line for line in running.make("rotation-status").output.splitlines() if line.startswith("db_password ")]
    assert told.split()[2:] == ["0", "days", "90", "days", "in", "time"]
    assert not [path.name for path in (vault, password_file) if path.exists()], "nothing of them comes back"
