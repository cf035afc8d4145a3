#!/usr/bin/python
"""Ansible module: a run leaves its line in the host's journal, and its figures for Prometheus."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_record
short_description: Append a run to the host's journal and update its figures for Prometheus
description:
  - Reports no change, since a journal tells of runs and is no part of the state that they bring about.
options:
  root: {description: "Folder of the platform on the host.", type: path, required: true}
  verb: {description: "The verb that ran.", type: str, required: true}
  environment_name: {description: "On which environment.", type: str, required: true}
  operator: {description: "Who ran it.", type: str, required: true}
  outcome: {description: "How it ended.", type: str, choices: [ok, failed, interrupted], default: ok}
  started: {description: "When it began, in seconds since the epoch; 0 where nobody knows.", type: float, default: 0.0}
  release: {description: "The release that it was about.", type: str, default: ""}
author: ERNI Building Agents operations
"""

EXAMPLES = r"""
- name: The run is in the host's journal
  run_record:
    root: /var/lib/erni
    verb: up
    environment_name: local
    operator: deployer
"""

RETURN = r"""
run:
  description: The entry.
  type: dict
  returned: always
"""

import os
import time
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.erni.journal import Run, record

ARGUMENT_SPEC = {
    "root": {"type": "path", "required": True},
    "verb": {"type": "str", "required": True},
    "environment_name": {"type": "str", "required": True},
    "operator": {"type": "str", "required": True},
    "outcome": {"type": "str", "choices": ["ok", "failed", "interrupted"], "default": "ok"},
    "started": {"type": "float", "default": 0.0},
    "release": {"type": "str", "default": ""},
}


def main() -> None:
    module = AnsibleModule(ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    now = time.time()
    run = Run(
        verb=params["verb"],
        environment=params["environment_name"],
        operator=params["operator"],
        outcome=params["outcome"],
        release=params["release"],
        ended=int(now),
        seconds=round(now - params["started"], 1) if params["started"] else 0.0,
    )
    # A run that was refused on a fresh host has touched nothing, and its record does not either.
    if not module.check_mode and (params["outcome"] == "ok" or os.path.isdir(params["root"])):
        record(params["root"], run)
    module.exit_json(changed=False, run=asdict(run))


if __name__ == "__main__":
    main()
