# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""cortex.larry: one controller with its keeper, and a fork of it for each client, as in one ansible-playbook.

Each task is claimed under a lease and completed with a result; state, log and message change together.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import marking
from product import Controller, RunService, Session, Settings, TaskService, enter_run, plan_of, session

PREFIX = "bench:"


def enqueue(count: int) -> None:
    """Creates the run of a plan with so many tasks."""
    made = session(marking.URL, PREFIX, keep=False)
    plan = plan_of(count, marking.CLIENTS)
    (marking.PLACE / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    RunService(made).join(plan, "bench")


def work(controller: Controller, worker: str) -> None:
    """A fork: claims and completes until nothing is left."""
    marking.ready()
    keep = marking.VARIANT != "no keeper"
    tasks = TaskService(Session(Settings.of(marking.URL, PREFIX), controller, worker, member=True, keep=keep))
    while True:
        claimed = tasks.claim(worker, wait_s=1.0)
        if claimed["status"] == "done":
            return
        if claimed["status"] == "claimed":
            tasks.settle(claimed["task"], claimed["fence"], "completed", worker=worker, result={"summary": {}})
            marking.mark()


def main() -> None:
    """The controller."""
    plan = json.loads((marking.PLACE / "plan.json").read_text(encoding="utf-8"))
    made = session(marking.URL, PREFIX)
    enter_run(made, plan)
    marking.in_forks([functools.partial(work, made.controller, worker) for worker in plan["workers"]])


if __name__ == "__main__":
    main()
