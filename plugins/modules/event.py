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
from ansible_collections.cortex.larry.plugins.module_utils._coordination.events import EventService

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "event": {"type": "str", "required": True},
    "data": {"type": "dict"},
    "alert": {"type": "bool", "default": False},
    "within_run": {"type": "bool", "default": False},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Writes the event to the log and publishes it."""
    wanted = context.parameters
    channel = "larry:alerts" if wanted["alert"] else "larry:coordination"
    if context.check_mode:
        return {"changed": True, "event": wanted["event"], "channel": channel, "id": None}
    reply = EventService(context.session()).publish(wanted["event"], wanted["data"], alert=wanted["alert"])
    return {"changed": True, "event": wanted["event"], "channel": channel, "id": reply["id"], "timestamp": reply["timestamp"]}


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
