"""`make VERB` ends here: check what was asked for, take the environment's lock, run the playbook, keep the journal."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from erni_cli import ROOT, attach, journal, options, recovery, rekey, rotation, vault
from erni_cli.environment import Environment, group_variable, operator, resolve
from erni_cli.errors import LockHeldError, PlatformError
from erni_cli.lock import environment_lock, lock_file
from erni_cli.options import Options
from erni_cli.process import run_to_its_end
from erni_cli.programs import child_environment, executable
from erni_cli.steps import Step

CHANGING_VERBS = {
    "up",
    "deploy",
    "rollback",
    "maintenance",
    "backup",
    "restore",
    "restore-undo",
    "recover",
    "drill",
    "schedule",
    "start",
    "stop",
    "restart",
    "destroy",
    "secrets",
    "rotate",
    "rotate-emergency",
    "revoke-previous",
}
ROTATIONS = ("rotate", "rotate-emergency", "revoke-previous")
REFUSED, LOCKED, INTERRUPTED = 2, 3, 130
TELLING_SECONDS = 30


def main(arguments: list[str]) -> int:
    try:
        if len(arguments) != 1:
            raise PlatformError("run.py wants one verb", remedy="Run `make help` to see them.")
        wanted = options.from_environment(os.environ)
        environment = resolve(wanted.env, ROOT / wanted.inventories, wanted.vault_password_file)
        return run(arguments[0], environment, wanted)
    except LockHeldError as error:
        print(error, file=sys.stderr)
        return LOCKED
    except PlatformError as error:
        print(error, file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED


def run(verb: str, environment: Environment, wanted: Options) -> int:
    """One verb on one environment."""
    if attach.is_interactive(verb, wanted):
        vault.read_secrets(environment)
        return attach.attach(verb, environment, wanted)
    if not playbook(verb).exists():
        raise PlatformError(f"There is no verb '{verb}'", remedy="Run `make help` to see them.")
    check_service(environment, wanted.service)
    wanted.check_verb(verb)
    who = operator()
    with ExitStack() as held:
        inherited = []
        if verb in CHANGING_VERBS and not wanted.check:
            path = lock_file(environment.name)
            inherited.append(held.enter_context(environment_lock(path, who, verb, wanted.lock_wait)))
        if verb == "rotate" and rotation.names_the_vault_password(wanted):
            return new_vault_password(environment, wanted, who)
        code = 0
        for step in steps(verb, environment, wanted):
            code = make_secrets(step, environment, wanted, who, inherited) or play(step, environment, who, inherited)
            if code:
                break
        return code


def new_vault_password(environment: Environment, wanted: Options, who: str) -> int:
    """No playbook does this: Ansible itself opens the vault before the first task."""
    vault.read_secrets(environment)  # a password that does not fit is refused here, in a check, too
    started, begin = datetime.now(UTC), time.monotonic()
    if wanted.check:
        print(f"would: {environment.vault_file} is encrypted with a new password")
        return 0
    print(rekey.rekey(environment))
    rotation.record_vault_password(environment, who, wanted.reason or "")
    seconds = round(time.monotonic() - begin, 1)
    record = journal.Record("rotate", environment.name, who, "ok", 0, seconds, started.isoformat(timespec="seconds"))
    journal.append(ROOT / ".run" / "journal.jsonl", record)
    return 0


def make_secrets(step: Step, environment: Environment, wanted: Options, who: str, inherited: list[int]) -> int:
    """Those that are missing, where an environment has them made by itself. A recovery looks in the set first."""
    missing = vault.missing_secrets(environment)  # asked always: a vault that does not open is refused here
    by_itself = group_variable(environment, "erni_secrets_autogenerate", False)
    if step.book in ("secrets", "recover") or not missing or not by_itself:
        return 0
    return play(Step("secrets", wanted), environment, who, inherited)


def steps(verb: str, environment: Environment, wanted: Options) -> Iterator[Step]:
    """The playbooks of a verb, each with its options. A release goes back together with its data: those come first,
    since a rollback refuses a schema that the release was not made for."""
    if verb == "recover":
        yield from recovery.steps(environment, wanted)
    elif verb in ROTATIONS:
        yield from rotation.steps(verb, environment, wanted)
    elif verb == "rollback" and wanted.restore_db:
        yield Step("restore", replace(wanted, only="postgres", to=None, restore_db=False))
        yield Step("rollback", replace(wanted, set=None, restore_db=False))
    else:
        yield Step(verb, wanted)


def check_service(environment: Environment, service: str | None) -> None:
    """:raises PlatformError: for a service that the platform does not have; every play would silently skip it."""
    known = group_variable(environment, "platform_services", [])
    if known and service is not None and service not in known:
        raise PlatformError(
            f"There is no service '{service}'", f"the services are {', '.join(known)}", "Name one of them."
        )


def play(step: Step, environment: Environment, who: str, inherited: list[int]) -> int:
    """Run the step's playbook and write how it ended into the journal."""
    verb = step.verb
    started, begin = datetime.now(UTC), time.monotonic()
    ended = run_to_its_end(command(step, environment, who), child_environment(), str(ROOT), inherited)
    outcome = "interrupted" if ended.interrupted else "failed" if ended.code else "ok"
    record = journal.Record(
        verb=verb,
        env=environment.name,
        operator=who,
        outcome=outcome,
        exit_code=ended.code,
        seconds=round(time.monotonic() - begin, 1),
        started=started.isoformat(timespec="seconds"),
    )
    journal.append(ROOT / ".run" / "journal.jsonl", record)
    if ended.code and verb in CHANGING_VERBS - {"secrets"} and not step.options.check:
        tell_the_hosts(replace(step, variables={"erni_outcome": outcome}), environment, who)
    return ended.code


def tell_the_hosts(step: Step, environment: Environment, who: str) -> None:
    """A run that ended well has written its own line into the hosts' journals; this is for the others.

    What cannot be told (a host is away, the vault is shut) is in the control node's journal all the same.
    """
    words = command(step, environment, who, playbook("shared/record"))
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(
            words, env=child_environment(), cwd=ROOT, capture_output=True, check=False, timeout=TELLING_SECONDS
        )


def playbook(verb: str) -> Path:
    return ROOT / "playbooks" / f"{verb}.yml"


def command(step: Step, environment: Environment, who: str, book: Path | None = None) -> list[str]:
    """:param book: another playbook than the step's."""
    variables = {
        "erni_env": environment.name,
        "erni_operator": who,
        "erni_verb": step.verb,
        "erni_started": int(time.time()),
        "erni_vault_file": str(environment.vault_file),
        "erni_vault_password_file": str(environment.vault_password_file),
        **step.options.extra_vars(),
        **step.variables,
    }
    vault_flags = []
    if environment.vault_password_file.exists():
        vault_flags = ["--vault-password-file", str(environment.vault_password_file)]
    return [
        executable("ansible-playbook"),
        *("-i", str(environment.folder)),
        *vault_flags,
        str(book or playbook(step.book)),
        *("-e", options.as_extra_vars(variables)),
        *step.options.ansible_flags(),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
