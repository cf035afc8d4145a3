#!/usr/bin/python
"""Ansible module: what is to run by itself does, by systemd's timers or by cron."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_schedule
short_description: Verbs run by themselves, by systemd's timers or by cron
description:
  - Where systemd is process 1, each job is a service and a timer; elsewhere all are lines of one file for Debian's
    cron, which is installed and started where it is missing.
  - A run is C(tools/scheduled.py) of O(checkout), which leaves a log, figures and a heartbeat.
  - Jobs that are not given, and those of the manager that is not used, are removed.
options:
  environment_name: {description: "The environment on which the verbs run.", type: str, required: true}
  jobs:
    description: Each has a C(verb), and C(when) in words, as C(daily 02:00), C(sunday 04:00), C(hourly :15).
    type: list
    elements: dict
    required: true
  checkout: {description: "Folder of this project on the host.", type: path, required: true}
  variables: {description: "Environment of the runs; not for secrets.", type: dict, default: {}}
  metrics: {description: "Folder of the figures for Prometheus.", type: path, required: true}
  cron_folder: {description: "Where cron looks for jobs.", type: path, default: /etc/cron.d}
  unit_folder: {description: "Where systemd looks for units.", type: path, default: /etc/systemd/system}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: Every night there is a set
  backup_schedule:
    environment_name: production
    jobs: [{verb: backup, when: daily 02:00}]
    checkout: /opt/erni
    metrics: /var/lib/erni/metrics
"""

RETURN = r"""
actions:
  description: What was done, or would be, as sentences.
  type: list
  elements: str
  returned: always
manager:
  description: Who begins the jobs on this host, C(systemd) or C(cron).
  type: str
  returned: always
erni_report:
  description: What runs by itself from now on, in a sentence.
  type: str
  returned: always
"""

import glob
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.planning import Plan
from ansible.module_utils.erni.schedule_apply import apply, manager_of_this_host, observe
from ansible.module_utils.erni.schedule_plan import (
    PROGRAM,
    Places,
    Schedule,
    desired_files,
    jobs_from,
    plan_schedule,
    report,
)

ARGUMENT_SPEC = {
    "environment_name": {"type": "str", "required": True},
    "jobs": {"type": "list", "elements": "dict", "required": True},
    "checkout": {"type": "path", "required": True},
    "variables": {"type": "dict", "default": {}},
    "metrics": {"type": "path", "required": True},
    "cron_folder": {"type": "path", "default": "/etc/cron.d"},
    "unit_folder": {"type": "path", "default": "/etc/systemd/system"},
}


def verbs_of(checkout: str) -> list[str]:
    """:raises PlatformError: where there is no checkout whose verbs could run."""
    if not os.path.isfile(os.path.join(checkout, PROGRAM)):
        raise PlatformError(
            "Nothing can run by itself on this host",
            f"this project is not at {checkout}",
            "Run make schedule on the first host of the group control, or set backup_schedule_checkout.",
        )
    books = glob.glob(os.path.join(glob.escape(checkout), "playbooks", "*.yml"))
    return [os.path.basename(path).removesuffix(".yml") for path in books]


def schedule_of(params: dict[str, Any]) -> Schedule:
    checkout = params["checkout"]
    jobs = jobs_from(params["jobs"], verbs_of(checkout)) if params["jobs"] else ()
    variables = {name: str(value) for name, value in params["variables"].items()}
    return Schedule(params["environment_name"], jobs, checkout, variables)


def bring_about(schedule: Schedule, params: dict[str, Any], manager: str, *, check: bool) -> Plan:
    places = Places(params["metrics"], params["cron_folder"], params["unit_folder"])
    plan = plan_schedule(schedule, manager, places, observe(schedule.environment, places, manager))
    if not check:
        apply(plan, desired_files(schedule, manager, places), places)
    return plan


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    manager = manager_of_this_host()
    try:
        schedule = schedule_of(module.params)
        plan = bring_about(schedule, module.params, manager, check=module.check_mode)
    except PlatformError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"The schedule could not be written: {error}. Mend that, and run make schedule again.")
    module.exit_json(
        changed=plan.changed,
        actions=plan.sentences,
        manager=manager,
        erni_report=report(schedule, manager),
        diff=plan.diff("schedule"),
    )


if __name__ == "__main__":
    main()
