# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of a host as Ansible has them, for the launcher, which is no part of Ansible.

Run as a program it reads its question as JSON from standard input and writes the variables to standard output. It is a
process of its own, because Ansible imports this collection in another way than the launcher does. Secrets go through
its pipes, and not through a list of processes or a log.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

_WITHIN_S = 60


def variables_of(
    plan: str, host: str, extra_vars: list[str], names: list[str], environment: dict[str, str]
) -> dict[str, Any] | None:
    """Those of the variables `names` that a task for this host would have, with their templates filled in.

    None where Ansible cannot tell, for instance because a file is encrypted.
    """
    question = {"plan": plan, "host": host, "extra_vars": extra_vars, "names": names}
    try:
        done = subprocess.run(
            [sys.executable, __file__], input=json.dumps(question), env=environment, text=True, capture_output=True,
            timeout=_WITHIN_S, check=True,
        )  # fmt: skip
        return json.loads(done.stdout.splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    from ansible import context
    from ansible.module_utils.common.collections import ImmutableDict
    from ansible.parsing.dataloader import DataLoader

    try:
        # Since ansible-core 2.19 a text is a template only where somebody vouches for it, as the command line does.
        from ansible.template import trust_as_template
    except ImportError:
        trust_as_template = str
    context.CLIARGS = ImmutableDict(extra_vars=tuple(trust_as_template(text) for text in question["extra_vars"]))
    from ansible.inventory.manager import InventoryManager
    from ansible.plugins.loader import init_plugin_loader
    from ansible.template import Templar
    from ansible.vars.manager import VariableManager

    init_plugin_loader()
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[question["plan"]])
    manager = VariableManager(loader=loader, inventory=inventory)
    variables = manager.get_vars(host=inventory.get_host(question["host"]))
    templar = Templar(loader=loader, variables=variables)
    return {name: templar.template(variables[name]) for name in question["names"] if variables.get(name) is not None}


if __name__ == "__main__":
    print(json.dumps(_answer(json.load(sys.stdin))))
