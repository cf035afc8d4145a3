"""No secret in any output, argument, label, log, image or file: a whole bring-up is watched for them."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import Self
from urllib.parse import quote

import pytest
from e2e_platform import PLATFORM_ROOT, ROOT, SERVICES, Platform


class Watch:
    """Collects every process' arguments for as long as the block lasts."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self.rounds = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.005):
            self.rounds += 1
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes().replace(b"\0", b" "))
                except OSError:
                    continue  # it ended between two looks


class Evidence:
    """Texts by where they were found, and a search for secrets in them."""

    def __init__(self, secrets: dict[str, str]) -> None:
        self.texts: dict[str, str] = {}
        self._needles = {name: {value, quote(value, safe="")} for name, value in secrets.items()}

    def leaks(self) -> list[str]:
        """Where which secret was found; never its value."""
        return [
            f"{name} in {where}"
            for where, text in self.texts.items()
            for name, needles in self._needles.items()
            if any(needle in text for needle in needles)
        ]


@pytest.fixture(scope="module")
def evidence(platform: Platform) -> Evidence:
    """A bring-up from nothing, with everything that it showed and left."""
    platform.make("destroy", confirm="e2e", volumes=1)
    platform.sweep()
    with Watch() as watch:
        run = platform.up(v=3)
        verified = platform.make("verify", v=3).succeeded()
    assert watch.rounds > 100, "the watch was too slow to see anything"
    assert any(b"ansible-playbook" in arguments for arguments in watch.seen)
    found = Evidence(platform.secrets())
    found.texts |= {
        "the output of make up V=3": run.output,
        "the output of make verify V=3": verified.output,
        "the process list": b"\n".join(watch.seen).decode(errors="replace"),
        "the journal of the control node": (ROOT / ".run" / "journal.jsonl").read_text(),
        "the journal of the host": (PLATFORM_ROOT / "journal.jsonl").read_text(),
    }
    return found


def test_no_secret_is_in_what_a_run_shows_or_what_ps_shows_meanwhile(evidence: Evidence) -> None:
    assert "TASK [" in evidence.texts["the output of make up V=3"], "V=3 shows the tasks"
    assert evidence.leaks() == []


def test_no_secret_is_in_labels_logs_or_images(platform: Platform, evidence: Evidence) -> None:
    for service in SERVICES:
        container = platform.container(service)
        evidence.texts[f"the labels of {service}"] = str(container.labels)
        evidence.texts[f"the command of {service}"] = str(container.attrs["Config"]["Cmd"])
        evidence.texts[f"the log of {service}"] = container.logs().decode(errors="replace")
        image = platform.engine.images.get(container.attrs["Config"]["Image"])
        evidence.texts[f"the image of {service}"] = f"{image.history()} {image.attrs}"

    assert evidence.leaks() == []


def test_no_secret_is_in_the_repository(evidence: Evidence) -> None:
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(words, cwd=ROOT, text=True).split("\0"):
        path = ROOT / name
        if name and path.is_file() and not path.is_symlink():
            evidence.texts[f"the file {name}"] = path.read_bytes().decode(errors="replace")

    assert len(evidence.texts) > 100
    assert evidence.leaks() == []


def test_the_vault_of_an_environment_is_encrypted_and_its_key_private(platform: Platform) -> None:
    folder = platform.inventories / "e2e"

    assert (folder / "group_vars" / "all" / "vault.yml").read_text().startswith("$ANSIBLE_VAULT;1.1;AES256\n")
    assert (folder / ".vault_password").stat().st_mode & 0o077 == 0
    for ignored in ("inventories/local/.vault_password", "inventories/local/group_vars/all/vault.yml"):
        assert subprocess.run(["git", "check-ignore", "--quiet", ignored], cwd=ROOT, check=False).returncode == 0


def test_the_search_would_find_a_secret_in_an_argument(platform: Platform) -> None:
    secrets = platform.secrets()
    with Watch() as watch:
        subprocess.run(["sh", "-c", "sleep 0.5; true", secrets["db_password"]], check=True)
    planted = Evidence(secrets)
    planted.texts["the process list"] = b"\n".join(watch.seen).decode(errors="replace")

    assert planted.leaks() == ["db_password in the process list"]
