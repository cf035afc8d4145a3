"""What is sent for a module is put together once, and again as soon as it would be something else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import pytest
from ansible.executor.module_common import _CachedModule
from small_project import BIN, ROOT

NAME = "ansible.legacy.say-ZIP_DEFLATED-none"
MODULE = """#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.words import WORD
AnsibleModule({}).exit_json(msg=f"the word is {WORD}")
"""
PLAY = "- hosts: localhost\n  gather_facts: false\n  tasks:\n    - say: {}\n    - ansible.builtin.ping:\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of one module, with the real plugin."""
    for name in ("library", "module_utils", "plugins/callback"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(ROOT / "plugins" / "callback" / "erni_payloads.py", tmp_path / "plugins" / "callback")
    settings = "library = library\nmodule_utils = module_utils\ncallback_plugins = plugins/callback\n"
    settings += f"local_tmp = {tmp_path}/tmp\ninterpreter_python = {sys.executable}\n"
    (tmp_path / "ansible.cfg").write_text(f"[defaults]\n{settings}")
    (tmp_path / "library" / "say.py").write_text(MODULE)
    (tmp_path / "module_utils" / "words.py").write_text("WORD = 'octarine'\n")
    (tmp_path / "book.yml").write_text(PLAY)
    return tmp_path


def run(folder: Path) -> str:
    command = [BIN / "ansible-playbook", "-i", "localhost,", "-c", "local", "-v", "book.yml"]
    settings = {"ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"}
    return subprocess.check_output(command, cwd=folder, env={**os.environ, **settings}, text=True)


def kept(folder: Path) -> list[Path]:
    return sorted((folder / ".ansible" / "payloads").glob("*/*"))


def plant(payload: Path, folder: Path, word: str) -> None:
    """In place of the payload one that says something else, so that who used it can be heard."""
    (folder / "module_utils" / "words.py").write_text(f"WORD = {word!r}\n")
    run(folder)
    (other,) = kept(folder)
    payload.parent.mkdir(mode=0o700, exist_ok=True)
    other.rename(payload)
    other.parent.rmdir()
    (folder / "module_utils" / "words.py").write_text("WORD = 'octarine'\n")


def test_what_was_put_together_is_used_again(folder: Path) -> None:
    assert "the word is octarine" in run(folder)
    (payload,) = kept(folder)
    assert payload.name == NAME, "the modules of others are not kept"

    plant(payload, folder, "ultraviolet")

    assert "the word is ultraviolet" in run(folder)


def test_another_content_is_put_together_anew_and_the_former_goes(folder: Path) -> None:
    run(folder)
    before = kept(folder)

    (folder / "module_utils" / "words.py").write_text("WORD = 'mauve'\n")

    assert "the word is mauve" in run(folder)
    assert len(kept(folder)) == 1
    assert kept(folder) != before


def test_what_was_edited_during_a_run_is_not_taken_for_what_the_run_sent(folder: Path) -> None:
    edit = "    - ansible.builtin.copy: {dest: module_utils/words.py, content: \"WORD = 'mauve'\"}\n"
    (folder / "book.yml").write_text(PLAY + edit)
    assert "the word is octarine" in run(folder)

    (folder / "book.yml").write_text(PLAY)

    assert "the word is mauve" in run(folder)


def test_a_folder_that_others_may_write_to_is_not_used(folder: Path) -> None:
    run(folder)
    (payload,) = kept(folder)
    plant(payload, folder, "ultraviolet")

    payload.parent.chmod(0o770)

    assert "the word is octarine" in run(folder)


def test_a_folder_that_cannot_be_made_costs_nothing(folder: Path) -> None:
    (folder / ".ansible").write_text("a file where the folder should be")

    assert "the word is octarine" in run(folder)


def test_what_is_sent_holds_compiled_code_that_is_preferred_to_its_source(folder: Path, tmp_path: Path) -> None:
    run(folder)
    (payload,) = kept(folder)
    archive = tmp_path / "payload.zip"
    archive.write_bytes(zip_of(payload))

    asked = "import ansible.module_utils.words as words; print(words.__loader__.get_filename(words.__name__))"
    environment = {"PYTHONPATH": str(archive), "PATH": os.environ["PATH"]}
    said = subprocess.check_output([BIN / "python", "-S", "-c", asked], env=environment, text=True)

    assert said.strip() == f"{archive}/ansible/module_utils/words.pyc"


def zip_of(payload: Path) -> bytes:
    return b64decode(_CachedModule.load(str(payload)).zip_data)
