#!/usr/bin/python
"""Ansible module: one service's container, volumes, folders and files are as they should be, and it serves."""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_service
short_description: A service's container, volumes and files are as its mapping says, and it serves
description:
  - Observes the container, its volumes, folders and files, plans what differs, and applies that and nothing else.
  - Configuration files are validated by the service's own checker before they replace those that work.
  - A replacement keeps the former container until the new one has passed its gate, and brings it back when it does not.
options:
  platform:
    description: Prefix of the container's name, and the value of its label C(ch.erni.platform).
    type: str
    required: true
  service:
    description: The service mapping.
    type: dict
    required: true
    suboptions:
      name: {description: "Name of the service.", type: str, required: true}
      image: {description: "Image reference; must be present on the host.", type: str, required: true}
      user: {description: "User of the container; empty means the image's own.", type: str, default: ""}
      command: {description: "Arguments in place of the image's command.", type: list, elements: str, default: []}
      environment: {description: "Plain environment variables.", type: dict, default: {}}
      secret_environment: {description: "Environment variables whose values are never shown.", type: dict, default: {}}
      labels: {description: "Further labels, without the prefix C(ch.erni.).", type: dict, default: {}}
      networks:
        description: Networks to join; the first is the one that published ports use.
        type: list
        elements: dict
        default: []
        suboptions:
          name: {description: "Name of the network.", type: str, required: true}
          address: {description: "Fixed IPv4 address; empty lets the engine choose.", type: str, default: ""}
          addresses: {description: "Fixed IPv4 address per slot, for what has slots.", type: dict, default: {}}
          aliases: {description: "Names on that network.", type: list, elements: str, default: []}
      ports:
        description: Published TCP ports.
        type: list
        elements: dict
        default: []
        suboptions:
          address: {description: "Address on the host.", type: str, default: "0.0.0.0"}
          host: {description: "Port on the host.", type: int, required: true}
          container: {description: "Port in the container.", type: int, required: true}
      volumes:
        description: Named volumes; the top folder is given to the container's user.
        type: list
        elements: dict
        default: []
        suboptions:
          name: {description: "Name of the volume.", type: str, required: true}
          target: {description: "Path in the container.", type: str, required: true}
          read_only: {description: "Mounted read-only.", type: bool, default: false}
      binds:
        description: Host folders.
        type: list
        elements: dict
        default: []
        suboptions:
          source: {description: "Path on the host.", type: str, required: true}
          target: {description: "Path in the container.", type: str, required: true}
          read_only: {description: "Mounted read-only.", type: bool, default: true}
      tmpfs: {description: "Paths in memory with their mount options.", type: dict, default: {}}
      folders:
        description: Host folders that exist before the container starts; the first one is the root of the files.
        type: list
        elements: dict
        default: []
        suboptions:
          path: {description: "Path on the host.", type: str, required: true}
          mode: {description: "Mode, octal.", type: str, default: "0700"}
          owned: {description: "Whether the container's user owns it.", type: bool, default: true}
      files:
        description: Configuration files on the host.
        type: list
        elements: dict
        default: []
        suboptions: &file
          path: {description: "Path on the host.", type: str, required: true}
          content: {description: "Whole content.", type: str, required: true}
          mode: {description: "Mode, octal.", type: str, default: "0400"}
          on_change:
            description: What makes a running container load it.
            type: str
            choices: [restart, reload, nothing]
            default: restart
      secret_files:
        description: Like O(service.files), with contents that are never shown.
        type: list
        elements: dict
        default: []
        suboptions: *file
      watched_files:
        description: Files that others write, such as certificates, and that the container must load when they change.
        type: list
        elements: dict
        default: []
        suboptions:
          path: {description: "Path on the host.", type: str, required: true}
          on_change: {description: "What makes it load them.", type: str, choices: [restart, reload], default: reload}
      health:
        description: The engine's health check; times in seconds.
        type: dict
        required: true
        suboptions: &health
          command: {description: "Command in the container.", type: list, elements: str, required: true}
          interval: {description: "Between checks; each costs a process.", type: int, default: 10}
          timeout: {description: "Of one check.", type: int, default: 5}
          retries: {description: "Failures in a row that count.", type: int, default: 3}
          start_period: {description: "Grace after the start.", type: int, default: 30}
      gate:
        description: What a started container must pass before it counts as serving.
        type: dict
        default: {}
        suboptions:
          command: {description: "Command; empty means the health check's.", type: list, elements: str, default: []}
          port: {description: "Port that must answer with 200, instead of it.", type: int, default: 0}
          path: {description: "What is asked for there.", type: str, default: /}
          passes: {description: "Successes in a row.", type: int, default: 1}
          timeout: {description: "Seconds for all of it.", type: int, default: 90}
      reload_command: {description: "Command that makes it load its files.", type: list, elements: str, default: []}
      reload_signal: {description: "Signal that does, where there is no command.", type: str, default: SIGHUP}
      validate_command: {description: "Checker of the files.", type: list, elements: str, default: []}
      limits:
        description: Limits of the container.
        type: dict
        required: true
        suboptions:
          memory: {description: "Memory, no swap beside it.", type: str, required: true}
          cpus: {description: "Processors.", type: float, required: true}
          pids: {description: "Processes and threads.", type: int, required: true}
          shm: {description: "Size of /dev/shm.", type: str, default: 64m}
      read_only: {description: "Root file system is read-only.", type: bool, default: true}
      capabilities: {description: "Capabilities kept; all others are dropped.", type: list, elements: str, default: []}
      stop_timeout: {description: "Seconds between the stop signal and SIGKILL.", type: int, default: 30}
      stop_signal: {description: "Signal that asks it to stop.", type: str, default: SIGTERM}
      log_max_size: {description: "Size at which the engine rotates its log.", type: str, default: 10m}
      log_max_files: {description: "Rotated logs kept.", type: int, default: 5}
      extra_hosts: {description: "Host names and addresses added to its hosts file.", type: dict, default: {}}
      init: {description: "A small init process reaps orphans.", type: bool, default: false}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: Redis serves
  container_service:
    platform: erni
    service: "{{ redis_service }}"
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode, as sentences.
  type: list
  elements: str
  returned: always
container:
  description: Name of the container.
  type: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni import engine
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.host_lock import host_lock
from ansible.module_utils.erni.service_apply import Transition, observe_service, recover
from ansible.module_utils.erni.service_arguments import SERVICE
from ansible.module_utils.erni.service_plan import needs_gate, plan_service
from ansible.module_utils.erni.service_spec import from_params

ARGUMENT_SPEC = {
    "platform": {"type": "str", "required": True},
    "service": {"type": "dict", "required": True, "options": SERVICE},
}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    platform = module.params["platform"]
    try:
        wanted = from_params(platform, module.params["service"])
        client = engine.connect(predicting=module.check_mode)
        with (
            host_lock(platform, f"service {wanted.name}"),
            engine.explained(f"{wanted.container} could not be changed"),
        ):
            spec, state = observe_service(client, wanted)
            recovered = [] if module.check_mode else recover(client, spec, state)
            if recovered:
                spec, state = observe_service(client, wanted)
            plan = plan_service(spec, state)
            if not module.check_mode and (plan.changed or needs_gate(plan, state)):
                Transition(client, spec, state).run(plan)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=plan.changed or bool(recovered),
        actions=recovered + plan.sentences,
        container=spec.container,
        diff=plan.diff(spec.container),
    )


if __name__ == "__main__":
    main()
