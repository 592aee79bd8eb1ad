# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The next task of a worker: claimed on the server, and what is to be done for it by the plan on this machine."""

from __future__ import annotations

import typing as t

from ._coordination.errors import SettingsError
from ._coordination.snapshot import results_of
from ._coordination.tasks import TaskService
from .options import Context
from .plan_access import coordination_directory, estate_directory, plan_of


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
        "estate_path": estate_directory(context, plan) or "",
        "coordination_dir": coordination_directory(context, plan),
        "dependencies": results_of(tasks.session, entry["depends_on"] + entry["after"]) if tasks else {},
    }


def claim(context: Context, tasks: TaskService, wait_s: float) -> dict[str, t.Any]:
    """Claims the next task that the worker may do, with what is to be done for it."""
    reply = tasks.claim(context.parameters["worker"], wait_s=wait_s, ttl_ms=context.ttl_ms)
    claimed = reply["status"] == "claimed"
    return {
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
    }
