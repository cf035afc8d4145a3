"""The next certificate takes the place of the one that is served: whole, by one rename, and back if nobody gets it."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.erni import certificate, tls_swap
from ansible.module_utils.erni.certificate import CHAIN, KEY, Certificate
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.tls_swap import Door, Pairs, TlsFolder, plan
from certificate_builders import BEGIN, END, issue, private
from cryptography.hazmat.primitives.asymmetric import ec

NOW = dt.datetime(2030, 1, 1, 12)  # noqa: DTZ001 (naive UTC, as the module's facts are)
NAMES = ["app.example.org"]
GOOD = Certificate(frozenset(NAMES), BEGIN, END, key_fits=True, issuer="Someone", serial=0xAB)
SERVED = replace(GOOD, serial=0xCD)
DOOR = Door("127.0.0.1", 443, "app.example.org")


@pytest.mark.parametrize(
    ("found", "kinds"),
    [
        (Pairs(None, None, False), []),
        (Pairs(None, SERVED, False), []),
        (Pairs(None, SERVED, True), ["prove"]),
        (Pairs(GOOD, None, False), ["swap", "prove"]),
        (Pairs(GOOD, SERVED, False), ["swap", "prove"]),
        (Pairs(SERVED, SERVED, False), []),
        (Pairs(GOOD, replace(GOOD, key_fits=False), False), ["swap", "prove"]),
    ],
)
def test_what_has_to_be_done(found: Pairs, kinds: list[str]) -> None:
    assert plan(found, NAMES, NOW).kinds == kinds


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (replace(GOOD, key_fits=False), "its key does not fit"),
        (replace(GOOD, names=frozenset({"other.example.org"})), "it is not valid for app.example.org"),
        (replace(GOOD, not_after=NOW - dt.timedelta(days=2)), "it ended on 2029-12-30"),
        (replace(GOOD, not_before=NOW + dt.timedelta(days=1)), "it holds from 2030-01-02 12:00 UTC on"),
    ],
)
def test_what_is_no_good_is_refused_before_anything_is_touched(bad: Certificate, why: str) -> None:
    with pytest.raises(PlatformError, match=why):
        plan(Pairs(bad, SERVED, False), NAMES, NOW)


def put(folder: Path) -> int:
    """A new certificate with its key in the folder; its serial number."""
    folder.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / CHAIN).write_bytes(issue(key, NAMES))
    (folder / KEY).write_bytes(private(key))
    return serial(folder)


def serial(folder: Path) -> int:
    found = certificate.read(str(folder / CHAIN), str(folder / KEY))
    assert found is not None
    assert found.key_fits, "certificate and key are never of two pairs"
    return found.serial


def run(path: Path, handshake: Callable[[Door], int], door: Door | None = DOOR) -> list[str]:
    folder = TlsFolder(str(path), os.getuid())
    wanted = plan(folder.pairs(), NAMES, NOW)
    if wanted.changed:
        tls_swap.apply(folder, wanted, door, handshake)
    return wanted.kinds


def honest(path: Path) -> Callable[[Door], int]:
    """nginx, which reads the files at each handshake."""
    return lambda _: serial(path)


@pytest.fixture(autouse=True)
def _does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_swap, "SERVED_WITHIN_SECONDS", 0.0)


def test_the_first_the_next_and_nothing_more(tmp_path: Path) -> None:
    for door in (None, DOOR, DOOR):
        fresh = put(tmp_path / "next")
        assert run(tmp_path, honest(tmp_path), door) == ["swap", "prove"]
        assert serial(tmp_path) == fresh
        assert run(tmp_path, honest(tmp_path)) == []
        assert len(list(tmp_path.glob("pair-*"))) == 1, "no former key is left"
        assert not (tmp_path / "next").exists()
        assert (tmp_path / KEY).resolve().stat().st_mode & 0o777 == 0o400


def test_files_that_lay_there_before_are_taken_over(tmp_path: Path) -> None:
    before = put(tmp_path)
    fresh = put(tmp_path / "next")
    asked: list[int] = []

    def nobody(_: Door) -> int:
        asked.append(serial(tmp_path))
        return before

    with pytest.raises(PlatformError, match="taken back"):
        run(tmp_path, nobody)
    assert asked[0] == fresh
    assert serial(tmp_path) == before
    assert run(tmp_path, honest(tmp_path)) == []


def fail(_: Door) -> int:
    raise OSError("handshake failure")


@pytest.mark.parametrize("handshake", [lambda _: 1, fail])
def test_what_users_do_not_get_is_taken_back(tmp_path: Path, handshake: Callable[[Door], int]) -> None:
    put(tmp_path / "next")
    run(tmp_path, honest(tmp_path), None)
    before = serial(tmp_path)
    put(tmp_path / "next")
    with pytest.raises(PlatformError, match=r"taken back.*127\.0\.0\.1:443.*Users get the one before"):
        run(tmp_path, handshake)
    assert serial(tmp_path) == before
    assert run(tmp_path, honest(tmp_path)) == [], "it is not tried again by itself"


def test_an_nginx_that_does_not_run_will_serve_it(tmp_path: Path) -> None:
    def refuse(_: Door) -> int:
        raise ConnectionRefusedError

    put(tmp_path)
    fresh = put(tmp_path / "next")
    run(tmp_path, refuse)
    assert serial(tmp_path) == fresh


class Killed(BaseException):
    """The process ends here."""


def killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> list[str]:
    """Every change of the folder's names from now on, until the step in question, before which the process ends."""
    done: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def do(*arguments: Any, **options: Any) -> Any:
            if len(done) == step:
                raise Killed
            done.append(name)
            return real(*arguments, **options)

        return do

    for name in ("rename", "symlink", "unlink", "mkdir", "rmdir"):
        monkeypatch.setattr(os, name, counted(name))
    return done


@pytest.mark.parametrize("adopted", [True, False])
def test_killed_before_any_step_users_get_one_of_both_and_the_next_run_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adopted: bool
) -> None:
    finished = step = 0
    while not finished:
        path = tmp_path / str(step)
        path.mkdir()
        put(path if adopted else path / "next")
        if not adopted:
            run(path, honest(path), None)
        before, fresh = serial(path), put(path / "next")
        with monkeypatch.context() as patch:
            killed_at(patch, step)
            try:
                run(path, honest(path))
                finished = step
            except Killed:
                assert serial(path) in (before, fresh)
        run(path, honest(path))
        assert serial(path) == fresh
        assert not (path / "former").is_symlink()
        assert len(list(path.glob("pair-*"))) == 1
        step += 1
    assert finished > 8
