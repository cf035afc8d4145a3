"""What stands between ``make VERB`` and ansible-playbook."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

ROOT = Path(__file__).resolve().parents[2]

# The project's logic is imported under the one name that it has inside modules, too.
ansible.module_utils.__path__.append(str(ROOT / "module_utils"))
