"""What happens around a transition: hooks, a backup before it, the schema change, and the watch over it afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .bake import BakeRules
from .database_apply import connection
from .errors import PlatformError
from .hooks import (
    ON_FAILURE,
    POST_DEPLOY,
    POST_SWITCH,
    PRE_DEPLOY,
    backup_refusal,
    hook_environment,
    run_hook,
    take_backup,
)
from .release_apply import Moments, ReleaseTransition, nothing
from .release_bake import Bake
from .schema_apply import migrate, schema_version
from .schema_plan import MigrationSpec, rollback_allowed
from .slots import in_slot, other

UP, ROLLBACK = "up", "rollback"


@dataclass(frozen=True)
class Surroundings:
    """Settings of all that happens around a transition; times in seconds.

    ``database`` holds ``socket_folder``, ``name``, ``admin_password`` and what ``MigrationSpec`` takes; empty where
    PostgreSQL is on another host. ``backup`` holds ``command``, ``required`` and ``timeout``, or
    the ``name`` of the one that was made.
    """

    hooks: Mapping[str, Any]
    hook_timeout: float
    backup: Mapping[str, Any]
    database: Mapping[str, Any]
    bake_seconds: float
    bake_rules: BakeRules


NO_SURROUNDINGS = Surroundings({}, 0, {}, {}, 0, BakeRules())


@dataclass
class Around:
    """The moments of one transition. ``notes`` are sentences for the operator; ``schema`` and ``backup`` go into the
    release's manifest."""

    surroundings: Surroundings
    transition: ReleaseTransition
    environment: str
    target_schema: str = ""
    notes: list[str] = field(default_factory=list)
    schema: dict[str, str] = field(default_factory=lambda: {"before": "", "after": ""})
    backup: str = ""

    def moments(self) -> Moments:
        return Moments(
            before=self._before,
            switched=lambda: self._hook(POST_SWITCH),
            # One goes back to a good release because the one that serves is not: there is nothing to compare with.
            bake=nothing if self._verb == ROLLBACK else self._bake,
            done=lambda: self._hook(POST_DEPLOY),
            failed=lambda: self._hook(ON_FAILURE),
        )

    @property
    def _verb(self) -> str:
        return self.transition.diary.template.verb

    def _before(self) -> None:
        """In the order of what may still say no: first what only looks, last what changes the schema."""
        if self._verb == ROLLBACK:
            self._schema_allows()
            return
        if self._verb != UP:
            made = str(self.surroundings.backup.get("name") or "")
            refusal = backup_refusal(
                self.surroundings.backup.get("command") or made,
                bool(self.surroundings.backup.get("required")),
                self.transition.diary.template.reason,
            )
            if refusal:
                raise PlatformError(refusal)
            self._hook(PRE_DEPLOY)
            self.backup = made or take_backup(
                self.surroundings.backup.get("command") or [],
                self._told(),
                float(self.surroundings.backup.get("timeout") or 3600),
                self._hide(),
            )
        self._migrate()

    def _schema_allows(self) -> None:
        """:raises PlatformError: where the release to go back to was made for another schema."""
        database = self.surroundings.database
        if not database:
            return
        with self._connection() as connected:
            current = schema_version(connected, str(database.get("version_query") or ""))
        refusal = rollback_allowed(current, self.target_schema, database.get("supported") or [])
        if refusal and self.target_schema:
            raise PlatformError(f"Release {self.transition.release} does not fit the schema", refusal)
        self.schema = {"before": current, "after": current}

    def _migrate(self) -> None:
        database, backend = self.surroundings.database, self.transition.specs.get("backend")
        if not database or backend is None:
            return
        placed = in_slot(backend, self.transition.plan.slot, self.transition.release, serving=False)
        client = self.transition.site.client
        spec = MigrationSpec(
            command=tuple(database.get("command") or ()),
            image_id=str(client.inspect_image(backend.image)["Id"]),
            lock_wait=float(database["lock_wait"]),
            lock_timeout=int(database["lock_timeout"]),
            statement_timeout=int(database["statement_timeout"]),
            timeout=float(database["timeout"]),
            version_query=str(database.get("version_query") or ""),
        )
        with self._connection() as connected:
            migrated = migrate(client, connected, placed, spec)
        self.schema = {"before": migrated.before, "after": migrated.after}
        if migrated.ran:
            self.notes.append(f"The schema went from {migrated.before or 'none'} to {migrated.after}.")

    def _connection(self) -> Any:
        database = self.surroundings.database
        return connection(database["socket_folder"], database["name"], "postgres", str(database["admin_password"]))

    def _bake(self) -> None:
        transition, proxy = self.transition, self.transition.site.proxy
        if self.surroundings.bake_seconds <= 0 or proxy is None:
            return
        bake = Bake(
            client=transition.site.client,
            proxy=proxy.container,
            slots=proxy.slots,
            containers=[spec.container for spec in transition.specs.values()],
            seconds=self.surroundings.bake_seconds,
            rules=self.surroundings.bake_rules,
        )
        self.notes += bake.run(other(transition.plan.slot), transition.plan.slot)

    def _hook(self, name: str) -> None:
        if self._verb == UP:  # settings are brought up to date; nobody has deployed anything
            return
        result = run_hook(
            name,
            self.surroundings.hooks.get(name) or [],
            self._told(),
            self.surroundings.hook_timeout,
            self._hide(),
        )
        if result.warning:
            self.notes.append(result.warning)

    def _told(self) -> dict[str, str]:
        line = self.transition.diary.template
        return hook_environment(
            environment=self.environment,
            verb=line.verb,
            release=line.release,
            from_release=line.from_release,
            slot=line.slot,
            operator=line.operator,
            reason=line.reason,
        )

    def _hide(self) -> list[str]:
        return [value for spec in self.transition.specs.values() for value in spec.secret_values]
