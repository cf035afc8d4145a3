"""Verbs that hand the terminal to a program in a container: psql, redis-cli, and logs that follow."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from . import ROOT
from .environment import Environment
from .errors import PlatformError
from .options import Options
from .programs import child_environment, executable

DEFAULT_TAIL = 100


@dataclass(frozen=True)
class Client:
    """A verb's service, and the inventory variable with the command (a list) to run in its container."""

    service: str
    command_variable: str


CLIENTS = {"psql": Client("postgres", "postgres_psql_command"), "redis-cli": Client("redis", "redis_cli_command")}

# What is asked of the inventory; rendered by Ansible, since values may be templates.
QUESTIONS = {
    "platform": "{{ platform_name | default('erni') }}",
    "docker": "{{ docker_executable | default('/usr/bin/docker') }}",
    "connection": "{{ ansible_connection | default('ssh') }}",
    "host": "{{ ansible_host | default(inventory_hostname) }}",
    "user": "{{ ansible_user | default('') }}",
    "port": "{{ ansible_port | default('') }}",
    "key": "{{ ansible_ssh_private_key_file | default('') }}",
    "ssh_arguments": "{{ ansible_ssh_common_args | default('') }} {{ ansible_ssh_extra_args | default('') }}",
    "become": "{{ ansible_become | default(false) }}",
}


def is_interactive(verb: str, wanted: Options) -> bool:
    """Whether the verb talks to the operator's terminal (or pipe) rather than run a playbook."""
    return (verb == "logs" and wanted.follow) or (verb in CLIENTS and wanted.query is None)


def attach(verb: str, environment: Environment, wanted: Options) -> int:
    """Become the program; returns only when the target cannot be resolved."""
    if verb == "logs" and wanted.service is None:
        raise PlatformError("Only one service can be followed", remedy="Name it: make logs FOLLOW=1 SERVICE=backend.")
    client = CLIENTS.get(verb, Client(wanted.service or "", ""))
    target = resolve_target(environment, client)
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    inside = follow_logs(target, client.service, wanted) if verb == "logs" else run_client(target, client, terminal)
    words = reach(target, inside, terminal)
    os.execvp(words[0], words)  # noqa: S606 (words, not a shell line)


def run_client(target: dict[str, Any], client: Client, terminal: bool) -> list[str]:
    flags = "-it" if terminal else "-i"
    return [target["docker"], "exec", flags, f"{target['platform']}-{client.service}", *target["command"]]


def follow_logs(target: dict[str, Any], service: str, wanted: Options) -> list[str]:
    tail = DEFAULT_TAIL if wanted.tail is None else wanted.tail
    words = [target["docker"], "logs", "--follow", "--tail", str(tail), f"{target['platform']}-{service}"]
    if wanted.grep is None:
        return words
    return ["/bin/sh", "-c", f"{shlex.join(words)} 2>&1 | grep --line-buffered -E -e {shlex.quote(wanted.grep)}"]


def reach(target: dict[str, Any], inside: list[str], terminal: bool) -> list[str]:
    """The command as seen from the control node.

    :raises PlatformError: when the connection is neither local nor SSH.
    """
    words = ["sudo", *inside] if target["become"] else inside
    if target["connection"] == "local":
        return words
    if target["connection"] not in ("ssh", "smart", "ansible.builtin.ssh"):
        raise PlatformError(
            f"A terminal cannot be opened over the connection '{target['connection']}'",
            remedy="Log in to the host and use docker there.",
        )
    options = ["-t"] if terminal else []
    options += ["-p", str(target["port"])] if target["port"] else []
    options += ["-i", os.path.expanduser(target["key"])] if target["key"] else []
    login = f"{target['user']}@{target['host']}" if target["user"] else target["host"]
    return ["ssh", *options, *shlex.split(target["ssh_arguments"]), login, "--", shlex.join(words)]


def resolve_target(environment: Environment, client: Client) -> dict[str, Any]:
    """What the inventory says about the first host of the service's group."""
    questions: dict[str, Any] = dict(QUESTIONS)
    if client.command_variable:
        questions["command"] = "{{ " + client.command_variable + " }}"
    words = [executable("ansible"), "-i", str(environment.folder), f"{client.service}[0]"]
    if environment.vault_password_file.exists():
        words += ["--vault-password-file", str(environment.vault_password_file)]
    words += ["-m", "ansible.builtin.debug", "-a", json.dumps({"msg": questions})]
    # debug is rendered on the control node: no host is contacted for it.
    answer = subprocess.run(
        words,
        cwd=ROOT,
        env={**child_environment(), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    _, found, payload = answer.stdout.partition(" | SUCCESS => ")
    if not found:
        raise PlatformError(
            f"The inventory of '{environment.name}' does not say how to reach the service '{client.service}'",
            _reason(answer.stdout) or f"the group '{client.service}' has no host",
            f"Look at it: ansible-inventory -i {environment.folder} --graph.",
        )
    target: dict[str, Any] = json.loads(payload)["msg"]
    return target


def _reason(output: str) -> str:
    """The message in what `ansible` prints of a failure."""
    _, _, payload = output.partition(" | FAILED! => ")
    try:
        return str(json.loads(payload)["msg"]).strip()
    except (ValueError, KeyError):
        return ""
