"""A document moves from one home to another as a whole, where there is one to move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from ansible.module_utils.erni.secret_store import SecretStore


class Drawer(SecretStore):
    place, editing = "the drawer", "a pen"

    def __init__(self, document: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.document = document

    def load(self) -> dict[str, Any] | None:
        return self.document

    def save(self, document: Mapping[str, Any]) -> None:
        self.document = dict(document)


def test_the_next_write_brings_all_that_the_other_home_holds() -> None:
    here, there = Drawer(), Drawer({"erni_secrets": {"a": "1"}, "erni_rotation": {"now": {}}, "another": 1})
    assert here.read() == {}
    assert here.begin_with(there) == {"a": "1"}
    here.write({"a": "1", "b": "2"})
    assert here.document == {"erni_secrets": {"a": "1", "b": "2"}, "erni_rotation": {"now": {}}, "another": 1}


@pytest.mark.parametrize("document", [None, {}, {"another": 1}, {"erni_secrets": None}])
def test_without_secrets_there_is_nothing_to_move(document: dict[str, Any] | None) -> None:
    here = Drawer()
    here.read()
    assert here.begin_with(Drawer(document)) == {}
    here.write({"a": "1"})
    assert here.document == {"erni_secrets": {"a": "1"}}
