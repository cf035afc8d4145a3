"""What the operator asked for: the ERNI_* variables that the Makefile exports, checked."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from ansible.module_utils.erni import release_source
from ansible.module_utils.erni.archive_plan import parse_moment, told
from ansible.module_utils.erni.backup_set import is_set_id

from .errors import PlatformError

TRUE_WORDS = {"1", "true", "yes", "on"}
FALSE_WORDS = {"", "0", "false", "no", "off"}
MARK = "__ansible_unsafe"
FORMATS = ("text", "json")
STATES = ("on", "off")
# Verbs that move traffic refuse an option of one another: whoever mistypes must not get what the default would do.
RELEASE_VERBS = ("deploy", "rollback", "maintenance")
BELONGS_TO = {"RELEASE": "deploy", "TO": "rollback", "RESTORE_DB": "rollback", "STATE": "maintenance"}
_RELEASE_ID = re.compile(r"[0-9a-f]{12}")
PARTS = ("postgres", "redis", "data", "secrets")
_NAMES = re.compile(r"[A-Za-z0-9_]+(,[A-Za-z0-9_]+)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Options:
    """One run's options. None and False: not given."""

    env: str = "local"
    inventories: str = "inventories"
    service: str | None = None
    tail: int | None = None
    follow: bool = False
    grep: str | None = None
    volumes: bool = False
    confirm: str | None = None
    format: str | None = None
    query: str | None = None
    release: str | None = None
    to: str | None = None
    reason: str | None = None
    state: str | None = None
    restore_db: bool = False
    max_age: int | None = None
    set: str | None = None
    only: str | None = None
    source_environment: str | None = None
    file: str | None = None
    identity: str | None = None
    time: str | None = None
    location: str | None = None
    credential: str | None = None
    secrets: str | None = None
    force: bool = False
    check: bool = False
    diff: bool = False
    verbosity: int = 0
    arguments: tuple[str, ...] = ()
    lock_wait: int = 600
    vault_password_file: str | None = None

    def extra_vars(self) -> dict[str, str | int | bool]:
        """The variables for the playbook; only those that were given, so that a playbook's defaults hold."""
        given: dict[str, str | int | bool | None] = {
            "erni_service": self.service,
            "erni_tail": self.tail,
            "erni_grep": self.grep,
            "erni_volumes": self.volumes or None,
            "confirm": self.confirm,
            "erni_format": self.format,
            "erni_query": self.query,
            "erni_release_wanted": self.release,
            "erni_rollback_to": self.to,
            "erni_reason": self.reason,
            "erni_state": self.state,
            "erni_restore_db": self.restore_db or None,
            "erni_max_age": self.max_age,
            "erni_set": self.set,
            "erni_only": self.only,
            "erni_from": self.source_environment,
            "erni_file": self.file,
            "erni_identity": self.identity,
            "erni_time": self.time,
            "erni_location": self.location,
            "erni_credential": self.credential,
            "erni_secret_names": self.secrets,
            "erni_force": self.force or None,
        }
        return {name: value for name, value in given.items() if value is not None}

    def ansible_flags(self) -> list[str]:
        flags = ["--check"] * self.check + ["--diff"] * self.diff
        if self.verbosity:
            flags.append("-" + "v" * self.verbosity)
        return [*flags, *self.arguments]

    def check_verb(self, verb: str) -> None:
        """:raises PlatformError: when a verb that moves traffic was given another's option, or lacks its own."""
        if verb == "restore":
            self._check_source()
        if verb == "recover":
            self._check_whole()
        if verb not in RELEASE_VERBS:
            return
        given = {"RELEASE": self.release, "TO": self.to, "RESTORE_DB": self.restore_db, "STATE": self.state}
        for name, owner in BELONGS_TO.items():
            if given[name] and owner != verb:
                raise PlatformError(f"{name} is an option of make {owner}, not of make {verb}", remedy="Leave it out.")
        if self.restore_db and self.set is None:
            raise PlatformError(
                "RESTORE_DB=1 does not say which backup the data are to come from",
                "the record of the release that serves names the one that was made before it (`backup`)",
                "Write SET=<that set>; make backups lists them.",
            )
        if verb == "maintenance" and self.state is None:
            raise PlatformError("make maintenance has to know what is wanted", remedy="Write STATE=on or STATE=off.")

    def _check_whole(self) -> None:
        given = [name for name, value in (("ONLY", self.only), ("FILE", self.file), ("TIME", self.time)) if value]
        if given:
            raise PlatformError(
                f"{given[0]} is an option of make restore, not of make recover",
                "a platform is recovered whole, from a set",
                "Leave it out; make restore can follow.",
            )

    def _check_source(self) -> None:
        given = [name for name, value in (("SET", self.set), ("FILE", self.file), ("TIME", self.time)) if value]
        if len(given) > 1:
            raise PlatformError(
                f"{' and '.join(given)} name different things to restore", remedy="Leave one of them out."
            )
        if (self.file or self.time) and self.only not in (None, "postgres"):
            raise PlatformError(f"{given[0]} is a database, and holds no {self.only}", remedy="Leave ONLY out.")


def from_environment(variables: Mapping[str, str]) -> Options:
    """Read ``ERNI_<OPTION>``; an empty value counts as not given.

    :raises PlatformError: when a value cannot be meant.
    """

    def text(name: str) -> str | None:
        return variables.get(f"ERNI_{name}") or None

    return Options(
        env=text("ENV") or "local",
        inventories=text("INVENTORIES") or "inventories",
        service=text("SERVICE"),
        tail=_number("TAIL", text("TAIL")),
        follow=_flag("FOLLOW", text("FOLLOW")),
        grep=text("GREP"),
        volumes=_flag("VOLUMES", text("VOLUMES")),
        confirm=text("CONFIRM"),
        format=_one_of("FORMAT", text("FORMAT"), FORMATS),
        query=text("QUERY"),
        release=_release(text("RELEASE")),
        to=_release_id("TO", text("TO")),
        reason=_line("REASON", text("REASON")),
        state=_one_of("STATE", text("STATE"), STATES),
        restore_db=_flag("RESTORE_DB", text("RESTORE_DB")),
        max_age=_number("MAX_AGE", text("MAX_AGE")),
        set=_set_id("SET", text("SET")),
        only=_one_of("ONLY", text("ONLY"), PARTS),
        source_environment=text("FROM"),
        file=_file("FILE", text("FILE")),
        identity=_file("IDENTITY", text("IDENTITY")),
        time=_moment(text("TIME")),
        location=_folder("LOCATION", text("LOCATION")),
        credential=_file("CREDENTIAL", text("CREDENTIAL")),
        secrets=_names("SECRETS", text("SECRETS")),
        force=_flag("FORCE", text("FORCE")),
        check=_flag("CHECK", text("CHECK")),
        diff=_flag("DIFF", text("DIFF")),
        verbosity=_number("V", text("V"), largest=6) or 0,
        arguments=_words("ARGS", text("ARGS")),
        lock_wait=600 if (wait := _number("LOCK_WAIT", text("LOCK_WAIT"))) is None else wait,
        vault_password_file=text("VAULT_PASSWORD_FILE"),
    )


def _flag(name: str, value: str | None) -> bool:
    word = (value or "").lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise PlatformError(f"{name}={value} is neither yes nor no", remedy=f"Write {name}=1, or leave it out.")


def _number(name: str, value: str | None, largest: int | None = None) -> int | None:
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or (largest is not None and int(value) > largest):
        limit = "" if largest is None else f" up to {largest}"
        raise PlatformError(f"{name}={value} is not a whole number{limit}", remedy=f"Write {name}=1, say.")
    return int(value)


def _one_of(name: str, value: str | None, choices: tuple[str, ...]) -> str | None:
    if value is not None and value not in choices:
        raise PlatformError(f"{name}={value} is unknown", remedy=f"Choose {' or '.join(choices)}.")
    return value


def _release(value: str | None) -> str | None:
    if value is not None:
        release_source.parse(value)  # raises what is wrong with it; what it means is for the playbook
    return value


def _release_id(name: str, value: str | None) -> str | None:
    if value is not None and not _RELEASE_ID.fullmatch(value):
        raise PlatformError(
            f"{name}={value} is no release", "its id is 12 hexadecimal digits", "Run `make releases` to see them."
        )
    return value


def _set_id(name: str, value: str | None) -> str | None:
    if value is not None and not is_set_id(value):
        raise PlatformError(
            f"{name}={value} is no backup set",
            "its id begins with the time, as in 20260102T120000Z-00ff",
            "Run `make backups` to see them.",
        )
    return value


def _file(name: str, value: str | None) -> str | None:
    """Its full path: whatever reads it may run elsewhere."""
    if value is None:
        return None
    path = os.path.abspath(os.path.expanduser(value))
    if not os.path.isfile(path):
        raise PlatformError(f"{name}={value} cannot be read", "there is no such file", "Write its path.")
    return path


def _names(name: str, value: str | None) -> str | None:
    """Separated by commas, as they are told on."""
    if value is not None and not _NAMES.fullmatch(value):
        raise PlatformError(
            f"{name}={value} names no secrets", "names are of letters, digits and _", "Separate them by commas."
        )
    return value


def _folder(name: str, value: str | None) -> str | None:
    """A folder on a host, which this program cannot look at."""
    if value is not None and not os.path.isabs(value):
        raise PlatformError(
            f"{name}={value} cannot be found on a host", "it does not begin with /", "Write its full path there."
        )
    return value


def _moment(value: str | None) -> str | None:
    """In UTC, so that the journal and all messages tell the same."""
    return None if value is None else told(parse_moment(value))  # raises what is wrong with it


def _line(name: str, value: str | None) -> str | None:
    """A journal's entry and the subject of a mail are one line each."""
    if value is not None and _CONTROL.search(value):
        raise PlatformError(f"{name} holds a line break or another control character", remedy="Write it in one line.")
    return value


def _words(name: str, value: str | None) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(value or ""))
    except ValueError as error:
        raise PlatformError(f"{name} cannot be split into words", str(error), "Close the quotes.") from None


def as_extra_vars(variables: Mapping[str, str | int | bool]) -> str:
    """The variables for ``ansible-playbook -e``, as JSON whose strings stay what they are.

    Without Ansible's own mark for it a string would be taken for a template, or for what YAML makes of ``on`` or 1.10.
    """
    return json.dumps(
        {name: {MARK: v} if isinstance(v, str) else v for name, v in variables.items()}, ensure_ascii=False
    )
