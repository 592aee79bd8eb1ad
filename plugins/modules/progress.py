#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""TODO"""
EXAMPLES = r"""TODO"""
RETURN = r"""TODO"""

import typing as t

from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import SettingsError
from ansible_collections.cortex.larry.plugins.module_utils._coordination.tasks import TaskService

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "task": {"type": "str", "required": True},
    "fence": {"type": "str", "required": True},
    "percent": {"type": "float", "required": True},
    "text": {"type": "str"},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Publishes how far a task is; answers whether it is still held."""
    wanted = context.parameters
    if not 0 <= wanted["percent"] <= 100:
        raise SettingsError(f"percent must be between 0 and 100, not {wanted['percent']:g}.")
    if context.check_mode:
        return {"changed": True, "task": wanted["task"], "state": "held", "held": True}
    reply = TaskService(context.session(member=True)).checkpoint(
        wanted["task"], wanted["fence"], percent=wanted["percent"], text=wanted["text"]
    )
    held = reply["status"] == "held"
    return {"changed": held, "task": wanted["task"], "state": reply["status"], "held": held}


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
