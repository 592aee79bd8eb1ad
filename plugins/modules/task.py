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
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import SettingsError
from ansible_collections.cortex.larry.plugins.module_utils._coordination.snapshot import results_of
from ansible_collections.cortex.larry.plugins.module_utils._coordination.tasks import TaskService
from ansible_collections.cortex.larry.plugins.module_utils.plan_access import plan_of

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "state": {
        "type": "str",
        "choices": ["claimed", "held", "completed", "failed", "skipped"],
        "required": True,
    },
    "worker": {"type": "str", "required": True},
    "task": {"type": "str"},
    "turn": {"type": "int", "default": 0},
    "plan_file": {"type": "path"},
    "fence": {"type": "str"},
    "wait": {"type": "float", "default": 0.0},
    "ttl": {"type": "int", "default": 15},
    "result": {"type": "dict"},
    "cause": {"type": "str"},
    "retry": {"type": "bool", "default": True},
    **CONNECTION_SPEC,
}


def work_of(context: Context, task: str, tasks: TaskService | None) -> dict[str, t.Any]:
    """What is to be done for a task: from the plan on this machine, never from the server (law 12)."""
    if not (context.parameters.get("plan_file") or context.plan_file):
        return {}
    plan = plan_of(context)
    if task not in plan.tasks:
        raise SettingsError(f"The plan {plan.path} knows no task {task}; the run was made from another plan.")
    entry, worker = plan.tasks[task], plan.workers[context.parameters["worker"]]
    return {
        "role": entry["role"],
        "role_prefix": entry["role"].rsplit(".", 1)[-1].replace("-", "_"),
        "entry_point": entry["entry_point"],
        "capability": entry["capability"],
        "task_parameters": {**worker["parameters"], **entry["parameters"]},
        "estate_path": str(plan.estate_path) if plan.estate_path else "",
        "dependencies": results_of(tasks.session, entry["depends_on"] + entry["after"]) if tasks else {},
    }


def simulated_claim(context: Context) -> dict[str, t.Any]:
    """Check mode: the tasks bound to this worker in the order of the plan, one a turn; nothing is asked or written."""
    plan = plan_of(context)
    worker, turn = context.parameters["worker"], context.parameters["turn"]
    mine = [
        task for task in plan.tasks if (plan.tasks[task]["worker"] or plan.capable_workers(task)[0]) == worker
    ]
    if turn >= len(mine):
        return {"changed": False, "claimed": False, "done": True, "task": None}
    return {
        "changed": True,
        "claimed": True,
        "done": False,
        "task": mine[turn],
        "fence": "0",
        "attempt": 1,
        "simulated": True,
        "turn": turn,
        **work_of(context, mine[turn], None),
    }


def execute(context: Context) -> dict[str, t.Any]:
    """Claims a task, asks whether it is still held, or settles it."""
    wanted = context.parameters
    tasks = TaskService(context.session(member=True, actor=wanted["worker"]))
    if wanted["state"] == "claimed":
        if context.check_mode:
            return with_fact("larry_claim", simulated_claim(context))
        reply = tasks.claim(wanted["worker"], wait_s=wanted["wait"], ttl_ms=wanted["ttl"] * 1000)
        claimed = reply["status"] == "claimed"
        return with_fact(
            "larry_claim",
            {
                **(work_of(context, reply["task"], tasks) if claimed else {}),
                "changed": claimed,
                "claimed": claimed,
                "done": reply["status"] == "done" or reply.get("why") in ("phase_completed", "phase_failed", "draining"),
                "task": reply.get("task") if claimed else None,
                "fence": reply.get("fence"),
                "attempt": reply.get("attempt"),
                "why": reply.get("why"),
                "next": None if reply.get("next_ms") is None else reply["next_ms"] / 1000,
                "waited": round(tasks.session.waited_s, 3),
            },
        )
    task, fence = context.required("task", "fence")
    if context.check_mode:
        return {"changed": wanted["state"] != "held", "task": task, "state": wanted["state"]}
    if wanted["state"] == "held":
        reply = tasks.checkpoint(task, fence)
        return {"changed": False, "task": task, "state": reply["status"], "held": reply["status"] == "held"}
    reply = tasks.settle(
        task,
        fence,
        wanted["state"],
        worker=wanted["worker"],
        result=wanted["result"],
        cause=wanted["cause"],
        retry=wanted["retry"],
    )
    return {"changed": True, "task": task, "state": reply["state"]}


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
