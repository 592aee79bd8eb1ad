# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A builder of plans and of run records for the tests of the reports.

What it builds is a fixture: invented, consistent, the same each time. It is not the record of any run.
"""

from __future__ import annotations

import copy
from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.cortex.larry.plugins.module_utils import _report as report

DOMAINS = ("infrastructure", "security", "development", "data-platform")
BEGIN = datetime(2026, 11, 21, 7, 40, 0, tzinfo=timezone.utc)


def at(seconds: float) -> str:
    """The ISO time so many seconds into the fixture's run."""
    return (BEGIN + timedelta(seconds=seconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Fixture:
    """A plan of `count` Larrys with two tasks each, and the record of a run of it in which all went well."""

    at = staticmethod(at)

    def plan(self, count: int = 3) -> dict:
        larrys, workers, tasks, nodes = {}, {}, {}, {}
        for number in range(1, count + 1):
            larry, node = f"larry-{number:02d}", f"node-{number:02d}"
            worker = f"{larry}-scan-worker"
            nodes[node] = {"name": node, "address": f"10.0.0.{number}", "role": "worker"}
            larrys[larry] = {
                "id": larry,
                "domain": DOMAINS[(number - 1) % len(DOMAINS)],
                "node": node,
                "phase_s": 1800,
                "checkpoints": [{"at_s": 600, "progress": 40}],
                "masters": {f"master-{number:02d}": {"tokens": 30000, "pool": 15000}},
                "tokens": 53000,
                "workers": [worker],
            }
            workers[worker] = {
                "id": worker, "name": "scan-worker", "larry": larry, "node": node, "tokens": 8000, "duration_s": 900,
                "capabilities": ["first", "second"], "parameters": {},
            }  # fmt: skip
            for index, part in enumerate(("first", "second")):
                needs = [f"first-{number:02d}"] if index else []
                if not index and number > 1:
                    needs = ["first-01"]
                task = f"{part}-{number:02d}"
                tasks[task] = {
                    "id": task, "larry": larry, "index": 2 * (number - 1) + index,
                    "capability": "security-scan" if number == 2 and not index else part,
                    "role": "cortex.larry.test", "entry_point": part, "worker": worker, "depends_on": needs,
                    "after": [], "touches": [], "parameters": {}, "metered": False, "planned_s": 600,
                    "deadline_s": 1200, "attempts": 3, "backoff_s": 1, "tokens": 4000,
                }  # fmt: skip
        criteria = [
            self.criterion("zero-duplicates", "No task duplicated", "run.duplicated_tasks", "==", 0),
            self.criterion("within-30", "All Larrys within 30 minutes", "run.longest_larry_minutes", "<=", 30, "min"),
            self.criterion("tokens", "Tokens below 95 %", "run.tokens_used_percent", "<", 95, "%"),
            self.criterion("log", "The whole log", "run.log_complete", "==", True),
        ]
        for number in range(1, count + 1):
            task = f"first-{number:02d}"
            seen = self.criterion(f"seen-{number:02d}", "Objects seen", f'tasks."{task}".summary.objects', ">=", 10)
            criteria.append({**seen, "scope": f"larry-{number:02d}", "needs": [task]})
        total = 53000 * count + 75000
        return {
            "name": f"{count}-larrys", "title": f"{count}-LARRY", "cluster": "Larry & the Darryls", "window_s": 2400,
            "time_scale": 60.0, "controllers": count, "fail_on": "failed", "cleanup": "on_request", "nodes": nodes,
            "larrys": larrys, "workers": workers, "tasks": tasks,
            "milestones": [{"at_s": 1860, "name": "barrier"}, {"at_s": 2400, "name": "published"}],
            "convergence_s": 1800,
            "budgets": {
                "meta_coordinator": 50000, "emergency": 25000, "total": total,
                "total_without_pools": total - 15000 * count,
            },
            "barrier": {"policy": "fail", "timeout_s": 600, "join_within_s": 60},
            "criteria": criteria, "estate": {"source": "gitops"},
        }  # fmt: skip

    @staticmethod
    def criterion(name, title, measure, op, threshold, unit=None) -> dict:
        return {
            "id": name, "title": title, "scope": "system", "needs": [], "measure": measure, "op": op,
            "threshold": threshold, "unit": unit,
        }  # fmt: skip

    def record(self, count: int = 3, *, plan: dict | None = None, run: str = "20261121-074000-fix") -> dict:
        """All tasks completed, each on a machine of its own; claims half a second after a task could begin."""
        plan = plan or self.plan(count)
        events: list[dict] = []

        def event(seconds: float, name: str, actor: str, **fields) -> None:
            events.append({"at": seconds, "from": actor, "event": name, "run": run, **fields})

        event(0, "run_created", "larry-01", digest="d" * 64, plan=plan["name"], tasks=len(plan["tasks"]))
        tasks, ends = {}, {}
        for larry, spec in plan["larrys"].items():
            event(0.1, "run_joined", larry, controller=f"c-{larry}", host="host", pid=100)
            event(0.2, "phase_started", larry, larry=larry)
            for worker in spec["workers"]:
                event(0.3, "worker_registered", worker, worker=worker, larry=larry, node=spec["node"])
        free = dict.fromkeys(plan["workers"], 0.3)
        for task, spec in plan["tasks"].items():
            ready = max((ends[one] for one in (*spec["depends_on"], *spec["after"])), default=0.0)
            claimed = max(ready, free[spec["worker"]]) + 0.5
            ends[task] = free[spec["worker"]] = settled = claimed + 9.5
            node, actor = plan["workers"][spec["worker"]]["node"], spec["worker"]
            named = {"task_id": task, "larry": spec["larry"]}
            event(ready, "task_ready", "run", **named)
            event(claimed, "task_claimed", actor, **named, worker=actor, node=node, fence="1763700000123456", attempt=1)
            event(settled, "task_completed", actor, **named, worker=actor, fence="1763700000123456", attempt=1)
            tasks[task] = {
                "status": "completed", "cause": None, "attempts": 1, "worker": spec["worker"], "node": node,
                "machine": {"hostname": node, "machine_id": f"machine-of-{node}"},
                "ready_at": at(ready), "claimed_at": at(claimed), "settled_at": at(settled),
                "fence": "1763700000123456",
                "result": {
                    "summary": {"objects": 12, "kinds": 4},
                    "findings": [{
                        "id": f"F-{task}", "severity": "high", "title": "an image without a digest", "asset": "app",
                        "path": "app.yaml",
                    }],
                    "evidence": [{
                        "title": "catalogue", "path": f"evidence/{task}/catalogue.json", "sha256": "a" * 64,
                        "bytes": 1234,
                    }],
                    "changes": [],
                    "public": {},
                },
            }  # fmt: skip
        end = max(ends.values())
        larrys = {}
        for larry in plan["larrys"]:
            own = max(ends[task] for task, spec in plan["tasks"].items() if spec["larry"] == larry)
            event(own + 0.1, "phase_complete", larry, larry=larry, completed=2, failed=0, skipped=0)
            larrys[larry] = {
                "status": "completed", "progress": 100, "started_at": at(0.2), "completed_at": at(own + 0.1),
                "controllers": [{"id": f"c-{larry}", "host": "host", "pid": 100, "joined_at": at(0.1)}],
            }  # fmt: skip
            event(end + 0.2, "barrier_arrived", larry, barrier="convergence", member=larry, generation=1)
        event(end + 0.3, "barrier_open", "run", barrier="convergence", generation=1, members=list(plan["larrys"]))
        record = {
            "run": {
                "id": run, "plan": plan["name"], "cluster": plan["cluster"], "digest": "d" * 64, "state": "finished",
                "collection_version": "0.1.0", "created_at": at(0), "started_at": at(0), "finished_at": at(end + 1),
                "epoch": 1, "log_head": "e" * 64, "log_entries": 0, "server": "valkey 9.1 (embedded)", "prefix": "",
            },
            "plan": plan, "larrys": larrys, "tasks": tasks,
            "tokens": {
                larry: {
                    "limit": 53000, "used": 0, "held": 0, "metered_requests": 0, "reserve_drawn": 0,
                    "accounts": {"scan-worker": {"limit": 8000, "used": 0}},
                }
                for larry in plan["larrys"]
            },
            "metrics": {larry: {"tasks_completed": 2} for larry in plan["larrys"]},
            "events": events,
        }  # fmt: skip
        self.number(record)
        return record

    @staticmethod
    def number(record: dict) -> None:
        """Give the events of a record, sorted by ``at``, their ids and times; call it again after a change."""
        record["events"].sort(key=lambda one: one["at"])
        for number, event in enumerate(record["events"], 1):
            event.update(id=str(number), timestamp=at(event["at"]))
        record["run"]["log_entries"] = len(record["events"])

    def add(self, record: dict, seconds: float, event_name: str, /, **fields) -> None:
        """One more event, in its place."""
        record["events"].append(
            {"at": seconds, "from": "run", "event": event_name, "run": record["run"]["id"], **fields}
        )
        self.number(record)

    @staticmethod
    def finals(record: dict, validation=()) -> list[dict]:
        return [
            report.build_final(copy.deepcopy(record), larry, validation, at(3600)) for larry in record["plan"]["larrys"]
        ]

    def write(self, directory, record: dict, validation=()) -> list[str]:
        return [report.write_final(str(directory), final)["path"] for final in self.finals(record, validation)]

    def measure(self, record: dict, **more) -> tuple[dict, dict]:
        parts = {name: record[name] for name in ("plan", "run", "larrys", "tasks", "tokens", "events")}
        return report.measure_run(**{**parts, **more})


@pytest.fixture
def fixture() -> Fixture:
    """The builder; each test changes what it wants to see."""
    return Fixture()
