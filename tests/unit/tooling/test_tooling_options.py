from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni.errors import PlatformError
from ansible.parsing.dataloader import DataLoader

from erni_cli.options import Options, as_extra_vars, from_environment


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Options()),
        ({"ERNI_ENV": "", "ERNI_TAIL": "", "ERNI_CHECK": ""}, Options()),
        ({"ERNI_ENV": "production", "ERNI_CONFIRM": "production"}, Options(env="production", confirm="production")),
        ({"ERNI_TAIL": "20", "ERNI_FOLLOW": "yes"}, Options(tail=20, follow=True)),
        ({"ERNI_VOLUMES": "1", "ERNI_CHECK": "true", "ERNI_DIFF": "0"}, Options(volumes=True, check=True)),
        ({"ERNI_ARGS": "--limit 'a b' -t x"}, Options(arguments=("--limit", "a b", "-t", "x"))),
        ({"ERNI_LOCK_WAIT": "0", "ERNI_V": "3"}, Options(lock_wait=0, verbosity=3)),
        ({"ERNI_FORMAT": "json"}, Options(format="json")),
        ({"ERNI_RELEASE": "main", "ERNI_REASON": "a 'fix'"}, Options(release="main", reason="a 'fix'")),
        ({"ERNI_RELEASE": "backend=a:1,frontend=b:1"}, Options(release="backend=a:1,frontend=b:1")),
        ({"ERNI_TO": "0123456789ab", "ERNI_RESTORE_DB": "1"}, Options(to="0123456789ab", restore_db=True)),
        ({"ERNI_STATE": "on"}, Options(state="on")),
        ({"ERNI_TIME": "2026-11-23T14:05:00+01:00"}, Options(time="2026-11-23 13:05:00+00")),
        ({"ERNI_STATE": "", "ERNI_RESTORE_DB": "0", "ERNI_RELEASE": "", "ERNI_TO": ""}, Options()),
    ],
)
def test_what_is_typed_is_understood(variables: dict[str, str], expected: Options) -> None:
    assert from_environment(variables) == expected


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ERNI_CHECK": "maybe"}, "CHECK=maybe is neither yes nor no"),
        ({"ERNI_TAIL": "-1"}, "TAIL=-1 is not a whole number"),
        ({"ERNI_TAIL": "ten"}, "TAIL=ten is not a whole number"),
        ({"ERNI_V": "9"}, "V=9 is not a whole number up to 6"),
        ({"ERNI_FORMAT": "xml"}, "FORMAT=xml is unknown. Choose text or json."),
        ({"ERNI_STATE": "yes"}, "STATE=yes is unknown. Choose on or off."),
        ({"ERNI_RESTORE_DB": "please"}, "RESTORE_DB=please is neither yes nor no"),
        ({"ERNI_TO": "previous"}, "TO=previous is no release: its id is 12 hexadecimal digits. Run `make releases`"),
        ({"ERNI_TO": "0123456789abc"}, "TO=0123456789abc is no release"),
        ({"ERNI_TO": "0123456789AB"}, "TO=0123456789AB is no release"),
        ({"ERNI_RELEASE": "-x"}, "RELEASE=-x cannot be deployed"),
        ({"ERNI_RELEASE": "backend=a:1"}, "RELEASE=backend=a:1 cannot be deployed: frontend is missing"),
        (
            {"ERNI_REASON": "two\nlines"},
            "REASON holds a line break or another control character. Write it in one line.",
        ),
        ({"ERNI_REASON": "\x1b[31m"}, "REASON holds a line break"),
        ({"ERNI_TIME": "2026-11-23 14:05:00"}, "TIME=2026-11-23 14:05:00 is no moment: it has a date, a time, and its"),
        ({"ERNI_ARGS": "--limit 'a"}, "ARGS cannot be split into words: No closing quotation"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(variables: dict[str, str], said: str) -> None:
    with pytest.raises(PlatformError, match=f"^{said}"):
        from_environment(variables)


def test_only_what_was_given_becomes_a_variable() -> None:
    assert Options().extra_vars() == {}
    assert Options(service="backend", tail=0, volumes=True).extra_vars() == {
        "erni_service": "backend",
        "erni_tail": 0,
        "erni_volumes": True,
    }
    assert Options(release="main", to="0123456789ab", reason="why", state="off", restore_db=True).extra_vars() == {
        "erni_release_wanted": "main",
        "erni_rollback_to": "0123456789ab",
        "erni_reason": "why",
        "erni_state": "off",
        "erni_restore_db": True,
    }


RELEASE_OPTIONS = [
    ("RELEASE", Options(release="main"), "deploy"),
    ("TO", Options(to="0123456789ab"), "rollback"),
    ("RESTORE_DB", Options(restore_db=True, set="20260102T120000Z-00ff"), "rollback"),
    ("STATE", Options(state="on"), "maintenance"),
]


@pytest.mark.parametrize(("name", "options", "owner"), RELEASE_OPTIONS)
@pytest.mark.parametrize("verb", ["deploy", "rollback", "maintenance"])
def test_a_verb_that_moves_traffic_does_not_overlook_an_option(
    name: str, options: Options, owner: str, verb: str
) -> None:
    if verb == owner:
        options.check_verb(verb)
        return
    with pytest.raises(PlatformError, match=f"^{name} is an option of make {owner}, not of make {verb}. Leave it out"):
        options.check_verb(verb)


@pytest.mark.parametrize("options", [options for _, options, _ in RELEASE_OPTIONS])
def test_other_verbs_do_not_mind_what_the_environment_happens_to_hold(options: Options) -> None:
    for verb in ("up", "status", "releases"):
        options.check_verb(verb)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options(set="20260102T120000Z-00ff", file="/dump.sql"), "SET and FILE name different things to restore"),
        (Options(set="20260102T120000Z-00ff", time="2026-01-02 12:00:00+00"), "SET and TIME name different things"),
        (Options(file="/dump.sql", only="redis"), "FILE is a database, and holds no redis"),
        (Options(time="2026-01-02 12:00:00+00", only="data"), "TIME is a database, and holds no data"),
    ],
)
def test_a_restore_is_told_of_one_thing_to_restore(options: Options, said: str) -> None:
    with pytest.raises(PlatformError, match=f"^{said}"):
        options.check_verb("restore")


@pytest.mark.parametrize("only", [None, "postgres"])
def test_a_restore_of_one_thing_is_as_it_is_typed(only: str | None) -> None:
    for options in (Options(only=only), Options(file="/dump.sql", only=only), Options(set="20260102T120000Z-00ff")):
        options.check_verb("restore")


def test_a_file_that_is_named_is_there_and_known_by_its_full_path(tmp_path: Path) -> None:
    (tmp_path / "dump.sql").write_text("")
    given = from_environment({"ERNI_FILE": str(tmp_path / "x" / ".." / "dump.sql"), "ERNI_ONLY": "postgres"})
    assert (given.file, given.only) == (str(tmp_path / "dump.sql"), "postgres")
    with pytest.raises(PlatformError, match="IDENTITY=/no/such cannot be read"):
        from_environment({"ERNI_IDENTITY": "/no/such"})


def test_a_rollback_with_the_data_is_told_from_which_set() -> None:
    with pytest.raises(PlatformError, match="RESTORE_DB=1 does not say which backup"):
        Options(restore_db=True).check_verb("rollback")
    Options(restore_db=True, set="20260102T120000Z-00ff").check_verb("rollback")


def test_maintenance_has_to_be_told_whether_on_or_off() -> None:
    with pytest.raises(PlatformError, match=r"Write STATE=on or STATE=off\."):
        Options().check_verb("maintenance")


def test_flags_come_in_ansibles_words() -> None:
    options = Options(check=True, diff=True, verbosity=2, arguments=("--limit", "a b"))
    assert options.ansible_flags() == ["--check", "--diff", "-vv", "--limit", "a b"]


@pytest.mark.parametrize(
    "value",
    [
        "a 'b' \"c\" $d `e`",
        "{{ not_a_template }}",
        "line\nbreak",
        "ü € 😀",
        "\\",
        "!x: [",
        "on",
        "1.10",
        "0123",
        "",
        3,
        True,
    ],
)
def test_values_survive_the_way_to_ansible(value: Any) -> None:
    told = DataLoader().load(as_extra_vars({"x": value, "y": "z"}))
    assert told == {"x": value, "y": "z"}
    assert isinstance(told["x"], type(value)), "what looks like a number or a truth stays a text"


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (Options(only="postgres"), "ONLY"),
        (Options(file="/dump.sql"), "FILE"),
        (Options(time="2026-01-02 12:00:00+00"), "TIME"),
    ],
)
def test_a_platform_is_recovered_whole(options: Options, name: str) -> None:
    with pytest.raises(PlatformError, match=f"^{name} is an option of make restore, not of make recover"):
        options.check_verb("recover")


def test_a_set_to_recover_from_is_named_by_its_id_and_place(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("")
    given = from_environment({"ERNI_LOCATION": "/mnt/sets", "ERNI_CREDENTIAL": str(tmp_path / "key")})
    given.check_verb("recover")
    assert given.extra_vars() == {"erni_location": "/mnt/sets", "erni_credential": str(tmp_path / "key")}
    with pytest.raises(PlatformError, match="LOCATION=sets cannot be found on a host: it does not begin with /"):
        from_environment({"ERNI_LOCATION": "sets"})
