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
from ansible_collections.cortex.larry.plugins.module_utils.plan_access import plan_of
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context, with_fact
from ansible_collections.cortex.larry.plugins.module_utils._coordination.barriers import DEFAULT_TIMEOUT_S, POLICIES, BarrierService

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["passed", "left"], "default": "passed"},
    "members": {"type": "list", "elements": "str"},
    "count": {"type": "int"},
    "member": {"type": "str"},
    "policy": {"type": "str", "choices": list(POLICIES), "default": "fail"},
    "timeout": {"type": "float", "default": DEFAULT_TIMEOUT_S},
    "turn": {"type": "float"},
    "join_within": {"type": "float", "default": 300.0},
    "generation": {"type": "int"},
    "ttl": {"type": "int", "default": 15},
    "within_run": {"type": "bool", "default": False},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Arrives and waits, or withdraws the arrival."""
    wanted = context.parameters
    barriers = BarrierService(context.session())
    name = wanted["name"]
    if wanted["state"] == "left":
        if context.check_mode:
            return {"changed": False, "name": name, "state": "left"}
        return {"changed": barriers.leave(name, wanted["member"]), "name": name, "state": "left"}
    if context.check_mode:
        view = barriers.look(name)
        # Nobody is kept waiting in check mode: the answer is that this host would arrive.
        result = {
            "changed": True,
            "name": name,
            "open": True,
            "state": "would arrive",
            "generation": wanted["generation"],
            "members": view["arrived"],
            "missing": view["missing"],
        }
        return with_fact("larry_barrier", result) if wanted["within_run"] else result
    token = None
    if wanted["turn"] is not None:
        # Every turn of one member in one controller is the same arrival.
        token = f"{context.controller.id}/{wanted['member'] or context.host}"
    members, policy, timeout_s, join_within_s = (wanted[name] for name in ("members", "policy", "timeout", "join_within"))
    if wanted["within_run"] and members is None and wanted["count"] is None:
        # The barrier of a run: its members and its policy come from the plan.
        plan = plan_of(context).canonical()
        members = list(plan["larrys"])
        policy, timeout_s, join_within_s = (plan["barrier"][name] for name in ("policy", "timeout_s", "join_within_s"))
    reply = barriers.meet(
        name,
        member=wanted["member"],
        members=members,
        count=wanted["count"],
        policy=policy,
        timeout_s=timeout_s,
        turn_s=wanted["turn"],
        join_within_s=join_within_s,
        generation=wanted["generation"],
        ttl_ms=wanted["ttl"] * 1000,
        token=token,
        keep=context.keep,
    )
    result = {
        "changed": True,
        "name": name,
        "open": reply["status"] == "open",
        "state": reply["status"],
        "generation": reply["generation"],
        "members": reply["members"],
        "missing": reply["missing"],
        "waited": round(barriers.session.waited_s, 3),
    }
    return with_fact("larry_barrier", result) if wanted["within_run"] else result


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
