"""No secret in any output, argument, label, log, image or file: a whole bring-up is watched for them."""

from __future__ import annotations

import subprocess

import pytest
from e2e_platform import ENV, PLATFORM_ROOT, ROOT, SERVICES, Platform
from e2e_secrets import BringUp, Evidence, Watch


@pytest.fixture(scope="module")
def evidence(platform: Platform, first_bring_up: BringUp) -> Evidence:
    """The bring-up from nothing that began these tests, with everything that it showed, and the journals since."""
    found = Evidence(platform.secrets())
    found.texts |= {
        "the output of make up V=3": first_bring_up.run.output,
        "the output of make verify V=3": first_bring_up.verified.output,
        "the process list": first_bring_up.processes,
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
    folder = platform.inventories / ENV

    assert platform.vault_file.read_text().startswith("$ANSIBLE_VAULT;1.1;AES256\n")
    assert (folder / ".vault_password").stat().st_mode & 0o077 == 0
    for ignored in ("inventories/local/.vault_password", "inventories/local/group_vars/all/vault.yml"):
        assert subprocess.run(["git", "check-ignore", "--quiet", ignored], cwd=ROOT, check=False).returncode == 0


def test_the_search_would_find_a_secret_in_an_argument(platform: Platform) -> None:
    secrets = platform.secrets()
    with Watch() as watch:
        subprocess.run(["sh", "-c", "sleep 0.5; true", secrets["db_password"]], check=True)
    planted = Evidence(secrets)
    planted.texts["the process list"] = watch.text()

    assert planted.leaks() == ["db_password in the process list"]
