"""The action release_source, by the real ansible-playbook: what RELEASE= overrides, and on which hosts."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from product_repository import Product
from small_project import Project

PLAYBOOK = """---
- name: The release is found
  hosts: backend
  gather_facts: false
  vars:
    product_root: "{{ platform_application_root | default('of the inventory') }}"
  tasks:
    - name: Its source is here
      release_source:
        wanted: "{{ erni_release_wanted | default('') }}"
        repository: "{{ release_repository | default('') }}"
        root: "{{ playbook_dir }}/.."
        folder: "{{ playbook_dir }}/../.run/sources"
      run_once: RUN_ONCE
    - name: All hosts know it
      ansible.builtin.copy:
        content: "{{ vars | dict2items | selectattr('key', 'match', '(release|platform|product|backend|frontend)_')
          | items2dict | to_json }}"
        dest: "{{ inventory_dir }}/{{ inventory_hostname }}.json"
        mode: "0600"
"""


class Environment:
    def __init__(self, project: Project, variables: str) -> None:
        self.project, self.folder = project, project.environment("demo", variables)
        (self.folder / "hosts").write_text("[backend]\none\ntwo\n[backend:vars]\nansible_connection=local\n")
        project.playbook("deploy", PLAYBOOK.replace("RUN_ONCE", "true"))

    def deploy(
        self, release: str = "", **options: str
    ) -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
        done = self.project.run("deploy", RELEASE=release, **options)
        return done, [json.loads(path.read_text()) for path in sorted(self.folder.glob("*.json"))]


@pytest.fixture
def environment(project: Project, product: Product) -> Environment:
    given = "backend_image: of-the-inventory\nfrontend_image: of-the-inventory\n"
    return Environment(project, f"release_repository: {product.folder}\n{given}")


@pytest.mark.slow
def test_a_commit_of_the_repository_overrides_the_inventory_on_all_hosts(
    environment: Environment, product: Product
) -> None:
    done, seen = environment.deploy("main")
    assert done.returncode == 0, done.stdout + done.stderr
    tree = f"{environment.project.folder}/.run/sources/trees/{product.first}"
    assert seen == [seen[0]] * 2
    assert {name: seen[0][name] for name in seen[0] if name not in ("platform_schema_file", "release_repository")} == {
        "release_origin": f"git:{product.first}",
        "release_commit": product.first,
        "platform_application_root": tree,
        "product_root": tree,
        "backend_image": "",
        "frontend_image": "",
    }
    assert seen[0]["platform_schema_file"] == f"{tree}/scripts/init_db.sql"


@pytest.mark.slow
def test_given_images_override_the_inventorys_and_nothing_else(environment: Environment) -> None:
    done, seen = environment.deploy("backend=a:1,frontend=b:2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert seen == [seen[0]] * 2
    assert (seen[0]["release_origin"], seen[0]["release_commit"]) == ("images", "")
    assert (seen[0]["backend_image"], seen[0]["frontend_image"]) == ("a:1", "b:2")
    assert seen[0]["product_root"] == "of the inventory"


@pytest.mark.slow
def test_without_release_the_inventory_stands(environment: Environment) -> None:
    done, seen = environment.deploy()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (seen[0]["release_origin"], seen[0]["release_commit"]) == ("inventory", "")
    assert (seen[0]["backend_image"], seen[0]["frontend_image"]) == ("of-the-inventory", "of-the-inventory")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "release", "said"),
    [
        ("", "main", "RELEASE=main cannot be looked up: the variable release_repository is not set. Set it in"),
        ("release_repository: FILL_IN", "main", "the variable release_repository is not set"),
        ("release_repository: http://u:pa$$w0rd@127.0.0.1:9/p", "main", "http://127.0.0.1:9/p cannot be read: "),
    ],
)
def test_what_stands_in_the_way_is_a_sentence_without_secrets(
    project: Project, variables: str, release: str, said: str
) -> None:
    environment = Environment(project, variables)
    done, seen = environment.deploy(release, V="3")
    assert done.returncode == 2
    assert said in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "pa$$w0rd" not in done.stdout + done.stderr
    assert seen == []


@pytest.mark.slow
def test_each_host_asking_for_itself_is_refused(environment: Environment) -> None:
    environment.project.playbook("deploy", PLAYBOOK.replace("RUN_ONCE", "false"))
    done, seen = environment.deploy("main")
    assert "The task release_source needs run_once: true." in done.stdout
    assert (done.returncode, seen) == (2, [])
