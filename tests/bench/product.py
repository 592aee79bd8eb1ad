# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's coordination library as the benchmarks use it, and plans made for them."""

from __future__ import annotations

import os
import sys
from typing import Any

from measuring import ROOT

if str(ROOT / "playbooks" / "collections") not in sys.path:
    sys.path.insert(0, str(ROOT / "playbooks" / "collections"))

from ansible_collections.cortex.larry.plugins.module_utils._coordination.barriers import BarrierService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller
from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import LockService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.phases import PhaseService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.runs import RunService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import Session
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings
from ansible_collections.cortex.larry.plugins.module_utils._coordination.slots import SlotService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.tasks import TaskService

__all__ = [
    "BarrierService",
    "Controller",
    "LockService",
    "PhaseService",
    "RunService",
    "Session",
    "Settings",
    "SlotService",
    "TaskService",
    "enter_run",
    "plan_of",
    "session",
]

LARRY = "bench"
LONG_TTL_MS = 3_600_000


def plan_of(tasks: int, workers: int) -> dict[str, Any]:
    """A canonical plan of one Larry with independent tasks that any of its workers may do."""
    names = [f"bench-worker-{number}" for number in range(workers)]
    return {
        "name": LARRY, "title": "BENCH", "cluster": "bench", "window_s": 86400, "time_scale": 1.0, "controllers": 1,
        "larrys": {
            LARRY: {
                "id": LARRY, "domain": "bench", "node": "n", "phase_s": 86400, "checkpoints": [], "masters": {},
                "tokens": 0, "workers": names,
            },
        },
        "workers": {
            name: {"id": name, "larry": LARRY, "node": "n", "tokens": 0, "capabilities": ["work"]} for name in names
        },
        "tasks": {
            f"t{number}": {
                "id": f"t{number}", "larry": LARRY, "index": number, "capability": "work", "worker": None,
                "depends_on": [], "after": [], "touches": [], "planned_s": 60, "deadline_s": 3600, "attempts": 3,
                "backoff_s": 1, "metered": False,
            }
            for number in range(tasks)
        },
        "budgets": {"emergency": 0},
    }  # fmt: skip


def session(url: str, prefix: str, *, member: bool = True, keep: bool = True, host: str = "bench") -> Session:
    """A session of this process as a controller."""
    return Session(Settings.of(url, prefix), Controller.of_process(os.getpid()), host, member=member, keep=keep)


def enter_run(made: Session, plan: dict[str, Any], *, ttl_ms: int = LONG_TTL_MS) -> None:
    """Joins (or creates) the run of the plan, leads its Larry, and takes the slot of each worker.

    The roots of the plan become ready in steps, by timers; this works them all off, so that no claim pays for it.
    """
    RunService(made).join(plan, "bench")
    slots = SlotService(made)
    slots.take(LARRY, ttl_ms=ttl_ms)
    PhaseService(made).start(LARRY)
    for worker in plan["workers"]:
        slots.take(worker, ttl_ms=ttl_ms)
    roots = made.key("larry:roots")
    while made.client.exists(roots):
        made.call("renew", {"only": ["none"]})
