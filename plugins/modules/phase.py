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
from ansible_collections.cortex.larry.plugins.module_utils._coordination.phases import PhaseService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.slots import SlotService

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "larry": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["started", "watched", "finished", "left"], "required": True},
    "wait": {"type": "float", "default": 0.0},
    "ttl": {"type": "int", "default": 15},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Leads the phase of one Larry."""
    wanted = context.parameters
    larry = wanted["larry"]
    if context.check_mode:
        return with_fact(
            "larry_phase",
            {"changed": wanted["state"] != "watched", "larry": larry, "led": True, "standby": False, "done": True, "phase": "pending"},
        )
    session = context.session(member=True, actor=larry)
    phases, slots = PhaseService(session), SlotService(session)
    if wanted["state"] == "left":
        return {"changed": slots.leave(larry)["changed"], "larry": larry, "led": False}
    if wanted["state"] == "started":
        slot = slots.take(larry, wait_s=wanted["wait"], ttl_ms=wanted["ttl"] * 1000)
        if slot["status"] == "standby":
            return with_fact(
                "larry_phase",
                {
                    "changed": False,
                    "larry": larry,
                    "led": False,
                    "standby": True,
                    "run_state": slot.get("run", "running"),
                    "holder": slot.get("owner"),
                },
            )
        view = phases.start(larry)
        view["changed"] = view["changed"] or bool(slot.get("changed"))
    else:
        view = phases.turn(larry, wait_s=wanted["wait"], finish=wanted["state"] == "finished")
    return with_fact(
        "larry_phase",
        {
            "changed": bool(view["changed"]),
            "larry": larry,
            "led": True,
            "standby": False,
            "run_state": "running",
            "phase": view["phase"],
            "mode": view["mode"],
            "done": bool(view["done"]),
            "progress": view["progress"],
            "counts": {name: view[name] for name in ("total", "settled", "completed", "failed", "skipped")},
            "running": view.get("running") or [],
            "waited": round(session.waited_s, 3),
        },
    )


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
