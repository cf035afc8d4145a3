"""What the journal means: a history that one goes back over, step by step, and what retention may not touch."""

from __future__ import annotations

from itertools import count

import pytest
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.release_history import (
    endings,
    good,
    open_transition,
    quarantined,
    retained,
    rollback_choices,
    rollback_target,
    stack,
)
from ansible.module_utils.erni.release_record import JournalEntry

ALL = set("ABCDEFG")


def journal(story: str) -> list[JournalEntry]:
    """``deploy A done; rollback B begun``: a transition each, of one phase beside its beginning.

    A word more names the transition, for one that goes on later.
    """
    numbers, entries = count(), list[JournalEntry]()
    for sentence in filter(None, story.split("; ")):
        verb, release, phase, *name = sentence.split()
        transition = name[0] if name else f"t{next(numbers)}"
        for each in dict.fromkeys(("begun", phase)):
            time = f"2026-01-01T00:00:{len(entries):02}.000Z"
            entries.append(JournalEntry(time, transition, verb, each, release))
    return entries


@pytest.mark.parametrize(
    ("story", "releases"),
    [
        ("", ""),
        ("deploy A done", "A"),
        ("deploy A done; deploy B done; up C done", "ABC"),
        ("deploy A done; up A done; deploy A done", "A"),
        ("deploy A done; deploy B done; deploy A done", "ABA"),
        ("deploy A done; deploy B failed; deploy C reverted; deploy D stuck", "A"),
        ("deploy A done; deploy B switched", "A"),
        ("deploy A done; deploy B done; rollback A done", "A"),
        ("deploy A done; deploy B done; deploy C done; rollback B done; rollback A done", "A"),
        ("deploy A done; deploy B done; deploy C done; rollback A done", "A"),
        ("deploy A done; deploy B done; rollback A failed", "AB"),
        ("deploy A done; deploy B done; rollback A reverted", "AB"),
        ("deploy A done; deploy B done; rollback A done; rollback B done", "AB"),
        ("deploy A done; deploy B done; rollback A done; deploy C done", "AC"),
        ("deploy A done; deploy B done; deploy A done; rollback B done", "AB"),
        ("deploy A done; deploy B done; deploy A done; rollback A done", "ABA"),
        ("rollback A done", "A"),
    ],
)
def test_a_deploy_puts_its_release_on_top_and_a_rollback_takes_away_what_lies_above(story: str, releases: str) -> None:
    assert "".join(stack(journal(story))) == releases


@pytest.mark.parametrize(
    ("story", "verb", "releases"),
    [
        ("deploy A done; deploy B done; rollback A switched x; recover A done x", "rollback", "A"),
        ("deploy A done; deploy B done; rollback A switched; recover A done", "rollback", "A"),
        ("deploy A done; deploy B done; deploy A switched; recover A done", "deploy", "ABA"),
        ("deploy A done; deploy B done; rollback A switched; recover A proven; recover A done", "rollback", "A"),
        ("deploy A done; deploy B done; rollback A failed; recover A done", "recover", "ABA"),
        ("deploy A done; deploy B done; rollback A switched; deploy A done", "deploy", "ABA"),
        ("deploy A done; deploy B switched; recover B reverted", "deploy", "A"),
    ],
)
def test_what_a_recovery_finishes_counts_as_what_it_was_begun_as(story: str, verb: str, releases: str) -> None:
    entries = journal(story)
    assert endings(entries)[-1].verb == verb
    assert "".join(stack(entries)) == releases


@pytest.mark.parametrize(
    ("story", "phases"),
    [
        ("", []),
        ("deploy A done", []),
        ("deploy A failed", []),
        ("deploy A reverted", []),
        ("deploy A stuck", []),
        ("deploy A begun", ["begun"]),
        ("deploy A done; deploy B switched", ["begun", "switched"]),
        ("deploy A switched; deploy B done", []),
        ("deploy A switched x; recover A proven x", ["begun", "switched", "begun", "proven"]),
        ("deploy A switched x; recover A done x", []),
    ],
)
def test_a_last_transition_without_an_end_was_interrupted(story: str, phases: list[str]) -> None:
    assert [entry.phase for entry in open_transition(journal(story))] == phases


@pytest.mark.parametrize(
    ("story", "fine", "banned"),
    [
        ("", "", ""),
        ("deploy A done", "A", ""),
        ("deploy A failed", "", ""),
        ("deploy A switched", "", ""),
        ("deploy A done; deploy B reverted", "A", "B"),
        ("deploy A done; deploy B stuck", "A", "B"),
        ("deploy A done; deploy B done; rollback A reverted", "B", "A"),
        ("deploy A reverted; deploy A done", "A", ""),
        ("deploy A reverted; deploy A failed", "", "A"),
        ("deploy A done; deploy A reverted; deploy A failed", "", "A"),
        ("deploy A done; deploy A failed", "A", ""),
    ],
)
def test_good_is_what_served_to_the_end_and_was_not_taken_back_since(story: str, fine: str, banned: str) -> None:
    entries = journal(story)
    assert good(entries) == set(fine)
    assert quarantined(entries) == set(banned)


@pytest.mark.parametrize(
    ("story", "target"),
    [
        ("deploy A done; deploy B done", "A"),
        ("deploy A done; deploy B done; deploy C reverted", "A"),
        ("deploy A done; deploy B done; up B done; deploy C failed", "A"),
        ("deploy A done; deploy B done; deploy C done; rollback B reverted", "A"),
        ("deploy A done; deploy B done; deploy A done", "B"),
        ("deploy A done; deploy B done; deploy C done; deploy B reverted", "A"),
    ],
)
def test_a_rollback_goes_to_the_last_good_release_before_the_current_one(story: str, target: str) -> None:
    assert rollback_target(journal(story), ALL) == target


def test_two_rollbacks_in_a_row_go_back_twice_and_a_third_has_nowhere_to_go() -> None:
    story, went = "deploy A done; deploy B done; deploy C done", []
    for _ in range(2):
        went.append(rollback_target(journal(story), ALL))
        story += f"; rollback {went[-1]} done"
    assert went == ["B", "A"]
    with pytest.raises(PlatformError, match="no good one came before A"):
        rollback_target(journal(story), ALL)


def test_a_rollback_that_failed_is_tried_again_and_not_passed_over() -> None:
    assert rollback_target(journal("deploy A done; deploy B done; rollback A failed"), ALL) == "A"


def test_a_release_whose_record_is_gone_is_passed_over() -> None:
    assert rollback_target(journal("deploy A done; deploy B done; deploy C done"), {"A", "C"}) == "A"


@pytest.mark.parametrize(
    ("story", "to"),
    [
        ("deploy A done; deploy B done; deploy C done", "A"),
        ("deploy A done; deploy B done; rollback A done", "B"),
        ("deploy A done; deploy B reverted", "B"),
    ],
)
def test_a_release_that_is_named_is_gone_to_even_from_quarantine_or_forward(story: str, to: str) -> None:
    assert rollback_target(journal(story), ALL, to) == to


@pytest.mark.parametrize(
    ("story", "recorded", "to", "sentence"),
    [
        ("", "", "", "There is no release to go back to: none has served on this host yet. Deploy one: make deploy."),
        ("deploy A done", "A", "", "no good one came before A. Deploy one"),
        ("deploy A done; deploy B done", "B", "", "no good one came before B; the record of A is gone. Deploy one"),
        (
            "deploy A done; deploy B done; rollback A reverted", "AB", "",
            "no good one came before B; A is quarantined. A release can also be named: TO=A.",
        ),
        ("deploy A done; deploy B done; rollback A done", "AB", "", "before A. A release can also be named: TO=B."),
        ("deploy A done; deploy B done", "AB", "B", "Release B serves already. make releases"),
        (
            "deploy A done; deploy B done; deploy C done", "ABC", "X",
            "There is no going back to release X: this host has no record of it. Name one of B, A.",
        ),
        ("deploy A done; deploy B done", "B", "A", "has no record of it. There is no other either"),
        (
            "deploy A done; deploy B done; deploy C failed", "ABC", "C",
            "release C: it has never served on this host. Name one of A.",
        ),
    ],
)  # fmt: skip
def test_where_there_is_no_way_back_a_sentence_says_why_and_what_there_is(
    story: str, recorded: str, to: str, sentence: str
) -> None:
    with pytest.raises(PlatformError) as raised:
        rollback_target(journal(story), set(recorded), to)
    assert sentence in str(raised.value)


def test_the_choices_are_recorded_releases_that_have_served_newest_first() -> None:
    entries = journal("deploy A done; deploy B done; deploy C failed; deploy D reverted; deploy E done; deploy A done")
    assert rollback_choices(entries, ALL) == ["E", "D", "B"]
    assert rollback_choices(entries, {"B", "C", "D"}) == ["D", "B"]


DEPLOYS = "; ".join(f"deploy {release} done" for release in "ABCDE")


@pytest.mark.parametrize(
    ("story", "keep", "active", "warm", "staying"),
    [
        (DEPLOYS, 5, "E", "D", "ABCDE"),
        (DEPLOYS, 3, "E", "D", "CDE"),
        (DEPLOYS, 1, "E", "", "DE"),  # the way back stays, however few are wanted
        (DEPLOYS, 0, "E", "", "DE"),
        (DEPLOYS, -1, "E", "", "DE"),
        (DEPLOYS, 2, "E", "A", "ADE"),
        (DEPLOYS, 2, "B", "", "ABDE"),  # the proxy says otherwise than the journal
        (DEPLOYS, 1, "X", "", "EX"),
        (DEPLOYS, 1, "", "", "E"),
        # Coming to serve again makes a release young again.
        (f"{DEPLOYS}; rollback B done", 2, "B", "E", "ABE"),
        (f"{DEPLOYS}; deploy A done", 2, "A", "", "AE"),
        # What is not good does not count; of it the last stays, to be looked into.
        (f"{DEPLOYS}; deploy F reverted; deploy G failed", 3, "E", "", "CDEG"),
        (f"{DEPLOYS}; deploy D reverted", 3, "E", "", "BCDE"),
        (f"{DEPLOYS}; deploy F failed; deploy F done", 2, "F", "E", "EF"),
        # Whatever a transition that is under way is about, stays.
        (f"{DEPLOYS}; deploy F candidate", 1, "E", "", "DEF"),
        ("", 5, "", "", ""),
    ],
)
def test_retention_counts_good_releases_and_never_drops_what_is_needed(
    story: str, keep: int, active: str, warm: str, staying: str
) -> None:
    assert retained(journal(story), keep, active, warm) == set(staying)


def test_thirty_failed_nights_cost_no_good_release() -> None:
    nights = "; ".join(f"deploy N{night} {'failed' if night % 2 else 'reverted'}" for night in range(30))
    assert retained(journal(f"deploy A done; deploy B done; {nights}"), 2, "B", "A") == {"A", "B", "N29"}
