"""The next certificate takes the place of the one that nginx serves, by one rename and without a reload.

nginx reads certificate and key at each handshake, through names that lead to a folder with both::

    tls/next/          where whoever issues a certificate puts it, with its key
    tls/pair-<digest>/ a certificate and its key
    tls/pair           a symbolic link to the one that is served
    tls/former         a symbolic link to the one before, until its successor is seen to be served
    tls/fullchain.pem  symbolic links through ``pair``: other programs read the certificate here, too
    tls/privkey.pem

So the two files never differ in whose they are, wherever a run is killed. While ``former`` is there, the next run
finds out what is served, and goes on or goes back.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from . import certificate
from .certificate import CHAIN, KEY, Certificate
from .errors import PlatformError
from .files import File, ensure_folder, sync_folder, write_atomically
from .planning import Difference, Plan

HANDSHAKE_SECONDS = 5.0
SERVED_WITHIN_SECONDS = 10.0
UNHEARD = "make up tries again; `make logs SERVICE=nginx` shows what nginx says."


@dataclass(frozen=True)
class Door:
    """Where users' connections arrive; ``name`` is the host name that they ask for."""

    address: str
    port: int
    name: str


@dataclass(frozen=True)
class Pairs:
    """What lies in the folder."""

    next: Certificate | None
    served: Certificate | None
    unproven: bool


def plan(found: Pairs, names: list[str], now: dt.datetime) -> Plan:
    """Put the next one in the place of what is served, or find out how an earlier run ended.

    :param now: naive UTC.
    :raises PlatformError: when the next one is no good; it is not touched, nor is what is served.
    """
    made = Plan()
    if found.next is not None:
        reasons = certificate.problems(found.next, names, 0, now) + certificate.too_early(found.next, now)
        if reasons:
            raise PlatformError(
                "The next certificate is not put in place",
                "; ".join(reasons),
                "Users get the one before. Correct where it comes from (docs/certificates.md), and run it again.",
            )
        if found.served is None or found.next.serial != found.served.serial or not found.served.key_fits:
            before = None if found.served is None else found.served.told_serial
            made.differences.append(Difference("serial", before, found.next.told_serial))
            made.add("swap", found.next.told_serial, f"the certificate {found.next.told_serial} is served")
    if made.changed or found.unproven:
        made.add("prove", "served", "users are seen to get it")
    return made


def is_unproven(path: str) -> bool:
    """Whether a run was killed before it had seen the certificate served that it put in place."""
    return os.path.islink(os.path.join(path, "former"))


class TlsFolder:
    """The folder on the nginx host. ``uid`` owns what is in it."""

    def __init__(self, path: str, uid: int) -> None:
        self.path, self.uid = path, uid

    def pairs(self) -> Pairs:
        return Pairs(self._read("next"), self._read("."), is_unproven(self.path))

    def swap(self) -> None:
        """The next pair is the one in use. What was in use is kept as ``former``."""
        self._adopt()
        folder = self._made({name: _text(self._at("next", name)) for name in (CHAIN, KEY)})
        served = os.readlink(self._at("pair")) if self._is_link("pair") else ""
        if served and served != folder and not self._is_link("former"):
            self._link(served, "former")
        self._link(folder, "pair")
        for name in (CHAIN, KEY):
            self._link(f"pair/{name}", name)

    def go_back(self) -> None:
        """Users get the former again. Nothing happens where there is none."""
        if self._is_link("former") and self._read("former") is not None:
            self._link(os.readlink(self._at("former")), "pair")
            self.settle()

    def settle(self) -> None:
        """What is in use has been seen to be served: the former's key is on this host no longer."""
        in_use = os.readlink(self._at("pair")) if self._is_link("pair") else ""
        for entry in os.listdir(self.path):
            if entry.startswith("pair-") and entry != in_use:
                shutil.rmtree(self._at(entry))
        shutil.rmtree(self._at("next"), ignore_errors=True)
        if self._is_link("former"):  # last: while it is there, the next run looks after what is left
            os.unlink(self._at("former"))
        sync_folder(self.path)

    def _adopt(self) -> None:
        """Two files that lie here themselves become a pair, without a moment in which they are not there."""
        if all(self._is_link(name) for name in (CHAIN, KEY)) or self._read(".") is None:
            return
        self._link(self._made({name: _text(self._at(name)) for name in (CHAIN, KEY)}), "pair")
        for name in (CHAIN, KEY):
            self._link(f"pair/{name}", name)

    def _made(self, texts: dict[str, str]) -> str:
        """The name of a folder with both, written whole before it is pointed at."""
        name = f"pair-{hashlib.sha256((texts[CHAIN] + texts[KEY]).encode()).hexdigest()[:16]}"
        ensure_folder(self._at(name), 0o700, self.uid, self.uid)
        for file, text in texts.items():
            write_atomically(File(self._at(name, file), text, 0o400, self.uid, self.uid, secret=True))
        return name

    def _read(self, folder: str) -> Certificate | None:
        return certificate.read(self._at(folder, CHAIN), self._at(folder, KEY))

    def _link(self, target: str, name: str) -> None:
        """The name leads to the target, by one rename."""
        fresh = self._at(f".new-{name}")
        if os.path.lexists(fresh):
            os.unlink(fresh)
        os.symlink(target, fresh)
        os.rename(fresh, self._at(name))
        sync_folder(self.path)

    def _is_link(self, name: str) -> bool:
        return os.path.islink(self._at(name))

    def _at(self, *parts: str) -> str:
        return os.path.join(self.path, *parts)


def apply(folder: TlsFolder, wanted: Plan, door: Door | None, handshake: Callable[[Door], int]) -> None:
    """Carry the plan out; a certificate that is not served is taken back.

    :param door: None before nginx has ever served, when nobody could be asked.
    :raises PlatformError: when users do not get it; the former is in place again.
    """
    if "swap" in wanted.kinds:
        folder.swap()
    if door is not None and not is_served(folder, door, handshake):
        folder.go_back()
        raise PlatformError(
            "The new certificate was taken back",
            f"it was in place, and at {door.address}:{door.port} it is not served. Users get the one before",
            UNHEARD,
        )
    folder.settle()


def is_served(folder: TlsFolder, door: Door, handshake: Callable[[Door], int]) -> bool:
    """Whether new connections get the certificate in use. An nginx that does not run will, once it does."""
    in_use = folder.pairs().served
    deadline = time.monotonic() + SERVED_WITHIN_SECONDS
    while True:
        try:
            if in_use is not None and handshake(door) == in_use.serial:
                return True
        except ConnectionRefusedError:
            return True
        except OSError:
            pass  # no handshake yet
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)


def served_serial(door: Door) -> int:
    """The serial number of the certificate that a new connection gets; whose it is does not matter here.

    :raises OSError: when nobody listens, or no handshake comes about.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # read, not trusted
    with (
        socket.create_connection((door.address, door.port), HANDSHAKE_SECONDS) as raw,
        context.wrap_socket(raw, server_hostname=door.name) as wrapped,
    ):
        return certificate.serial_of(wrapped.getpeercert(binary_form=True) or b"")


def _text(path: str) -> str:
    with open(path, encoding="ascii") as handle:
        return handle.read()
