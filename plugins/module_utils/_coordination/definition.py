# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server needs to know of a plan: a canonical plan (a plain mapping) to the arguments of the load scripts."""

from __future__ import annotations

import json
import typing as t

CHUNK = 200


def _us(planned_s: float, time_scale: float) -> int:
    """Planned seconds to real microseconds."""
    return int(planned_s * 1_000_000 / time_scale)


def _weight(task: dict[str, t.Any]) -> int:
    """Progress counts tasks by their planned duration."""
    return max(1, int(task["planned_s"]))


def _compact(value: t.Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def load_steps(plan: dict[str, t.Any]) -> t.Iterator[dict[str, t.Any]]:
    """Arguments of the successive `run_load` calls for a canonical plan."""
    scale = float(plan["time_scale"])
    tasks = list(plan["tasks"].values())
    of_larry: dict[str, list[dict[str, t.Any]]] = {name: [] for name in plan["larrys"]}
    dependents: dict[str, list[str]] = {task["id"]: [] for task in tasks}
    for task in tasks:
        of_larry[task["larry"]].append(task)
        for parent in task["depends_on"]:
            dependents[parent].append("h:" + task["id"])
        for parent in task["after"]:
            dependents[parent].append("s:" + task["id"])
    larrys = []
    for larry in plan["larrys"].values():
        mine = of_larry[larry["id"]]
        accounts = {worker: plan["workers"][worker]["tokens"] for worker in larry["workers"]}
        for name, master in larry["masters"].items():
            accounts[name] = master["tokens"] + master["pool"]
        larrys.append(
            {
                "id": larry["id"],
                "node": larry["node"],
                "domain": larry["domain"],
                "total": len(mine),
                "weight_total": sum(_weight(task) for task in mine),
                "phase_us": _us(larry["phase_s"], scale),
                # A phase is overdue before it is over: at nine tenths of its planned time.
                "planned_us": int(_us(larry["phase_s"], scale) * 0.9),
                "checkpoints": _compact(
                    [
                        {"at_s": point["at_s"], "at_us": _us(point["at_s"], scale), "progress": int(point["progress"])}
                        for point in larry["checkpoints"]
                    ]
                ),
                "limit": larry["tokens"],
                "accounts": accounts,
                "workers": _compact(larry["workers"]),
                "tasks": _compact([task["id"] for task in mine]),
            }
        )
    yield {"larrys": larrys}
    workers = [
        {
            "id": worker["id"],
            "larry": worker["larry"],
            "node": worker["node"],
            "capabilities": _compact(worker["capabilities"]),
        }
        for worker in plan["workers"].values()
    ]
    for start in range(0, len(workers), CHUNK):
        yield {"workers": workers[start : start + CHUNK]}
    for start in range(0, len(tasks), CHUNK):
        yield {
            "tasks": [
                {
                    "id": task["id"],
                    "larry": task["larry"],
                    "index": task["index"],
                    "capability": task["capability"],
                    "worker": task["worker"] or "",
                    "weight": _weight(task),
                    "planned_us": _us(task["planned_s"], scale),
                    "deadline_us": _us(task["deadline_s"], scale),
                    "attempts": task["attempts"],
                    "backoff_us": int(task["backoff_s"] * 1_000_000),
                    "touches": _compact(task["touches"]) if task["touches"] else "",
                    "waiting": len(task["depends_on"]) + len(task["after"]),
                    "depends_on": _compact(task["depends_on"]),
                    "after": _compact(task["after"]),
                    "dependents": dependents[task["id"]],
                    "metered": 1 if task["metered"] else 0,
                }
                for task in tasks[start : start + CHUNK]
            ]
        }


def capabilities(plan: dict[str, t.Any]) -> list[str]:
    """Every capability that a task or worker of the plan names."""
    named = {task["capability"] for task in plan["tasks"].values()}
    for worker in plan["workers"].values():
        named.update(worker["capabilities"])
    return sorted(named)
