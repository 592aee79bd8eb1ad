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
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context, with_fact
from ansible_collections.cortex.larry.plugins.module_utils._coordination.slots import SlotService

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "worker": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["registered", "left", "failed"], "default": "registered"},
    "wait": {"type": "float", "default": 0.0},
    "ttl": {"type": "int", "default": 15},
    "cause": {"type": "str"},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Takes the worker's slot for this controller, or gives it up."""
    wanted = context.parameters
    worker = wanted["worker"]
    if context.check_mode:
        registered = wanted["state"] == "registered"
        return with_fact("larry_slot", {"changed": True, "worker": worker, "registered": registered, "standby": False})
    slots = SlotService(context.session(member=True, actor=worker))
    if wanted["state"] == "registered":
        reply = slots.take(worker, wait_s=wanted["wait"], ttl_ms=wanted["ttl"] * 1000)
        standby = reply["status"] == "standby"
        return with_fact(
            "larry_slot",
            {
                "changed": bool(reply.get("changed")),
                "worker": worker,
                "registered": not standby,
                "standby": standby,
                "run_state": reply.get("run", "running"),
                "holder": reply.get("owner") if standby else None,
            },
        )
    state = "failed" if wanted["state"] == "failed" else "completed"
    reply = slots.leave(worker, state, wanted["cause"])
    return {"changed": reply["changed"], "worker": worker, "registered": False, "standby": False}


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
