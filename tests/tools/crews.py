# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Controllers of the library alone, for tests of the protocol: a prefix on a server, plans, and a plain client beside.

State is verified through `Place.plain`, a redis-py client that reads the documented public keys; never through the
answers of what is under test.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller
from ansible_collections.cortex.larry.plugins.module_utils._coordination.phases import PhaseService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.runs import RunService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import Session
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings
from ansible_collections.cortex.larry.plugins.module_utils._coordination.slots import SlotService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.tasks import TaskService

DIGEST = "d" * 64


def fake_controller(name: str = "") -> Controller:
    """A controller that is no process: for tests of the protocol alone."""
    return Controller(name or str(uuid.uuid4()), os.getpid(), "0", "host-of-a-test")


def until(condition: Callable[[], Any], timeout_s: float = 5.0) -> Any:
    """The first true value of `condition`, looked at every 5 ms, or a failure after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not reached within {timeout_s} s"
        time.sleep(0.005)


@dataclass
class Place:
    """A prefix on the server: sessions of what is under test, and a plain client as the second route."""

    settings: Settings
    plain: Any

    def session(self, controller: Controller | None = None, host: str = "host", *, member: bool = False) -> Session:
        """A session of a controller; a new fake one by default."""
        return Session(self.settings, controller or fake_controller(), host, member=member)

    def get(self, name: str) -> str | None:
        """GET of a public key."""
        return self.plain.get(self.settings.prefix + name)

    def key(self, name: str) -> str:
        """A name with the prefix before it."""
        return self.settings.prefix + name

    def every_key(self) -> set[str]:
        """Every key on the server, whatever its prefix."""
        return set(self.plain.scan_iter(count=1000))

    def own_keys(self) -> set[str]:
        """Every key under the prefix."""
        return {name for name in self.every_key() if name.startswith(self.settings.prefix)}

    def log(self, event: str | None = None) -> list[dict[str, Any]]:
        """The run's log, read as a plain stream."""
        entries = [json.loads(fields["m"]) for _id, fields in self.plain.xrange(self.key("larry:log"))]
        return [entry for entry in entries if event in (None, entry["event"])]

    def names(self) -> list[str]:
        """The names of the events of the run's log."""
        return [entry["event"] for entry in self.log()]

    def now_us(self) -> int:
        """The server's clock."""
        seconds, micro = self.plain.time()
        return seconds * 1_000_000 + micro


def build_plan(
    larrys: dict[str, dict[str, list[str]]],
    work: list[dict[str, Any]],
    *,
    time_scale: float = 1000.0,
    phase_s: float = 60_000.0,
    checkpoints: list[dict[str, Any]] | None = None,
    emergency: int = 1000,
    limit: int = 10_000,
) -> dict[str, Any]:
    """A canonical plan, as far as the coordination reads one. With the default scale 1000 planned seconds are 1 s.

    Args:
        larrys: Larry -> worker -> its capabilities.
        work: tasks; everything but `id` has a default.
    """
    first = next(iter(larrys))
    plan: dict[str, Any] = {
        "name": "a-test", "title": "A test", "cluster": "test", "time_scale": time_scale, "larrys": {}, "workers": {},
        "tasks": {}, "nodes": {"n": {"name": "n", "address": "10.0.0.1", "role": "worker"}},
        "budgets": {"emergency": emergency},
    }  # fmt: skip
    for larry, workers in larrys.items():
        plan["larrys"][larry] = {
            "id": larry, "domain": "d-" + larry, "node": "n", "phase_s": phase_s, "checkpoints": checkpoints or [],
            "masters": {larry + "-master": {"tokens": 100, "pool": 50}}, "tokens": limit, "workers": list(workers),
        }  # fmt: skip
        for worker, named in workers.items():
            plan["workers"][worker] = {
                "id": worker, "name": worker, "larry": larry, "node": "n", "tokens": 500, "capabilities": named,
            }  # fmt: skip
    for index, given in enumerate(work):
        task: dict[str, Any] = {
            "larry": first, "index": index, "capability": "cap", "worker": None, "depends_on": [], "after": [],
            "touches": [], "metered": False, "planned_s": 10_000, "deadline_s": 20_000, "attempts": 3,
            "backoff_s": 0.05, **given,
        }  # fmt: skip
        plan["tasks"][task["id"]] = task
    return plan


class Crew:
    """One controller within a run: its slots, claims and completions."""

    def __init__(self, place: Place, plan: dict[str, Any], controller: Controller | None = None) -> None:
        self.place = place
        self.plan = plan
        self.controller = controller or fake_controller()
        self.session = place.session(self.controller, "coordinator", member=True)
        self.runs = RunService(self.session)
        self.slots = SlotService(self.session)
        self.phases = PhaseService(self.session)

    def join(self, digest: str = DIGEST, **options: Any) -> Any:
        """Joins or creates the run of the plan."""
        return self.runs.join(self.plan, digest, **options)

    def lead(self, *larrys: str, workers: bool = True, ttl_ms: int = 600_000) -> Crew:
        """Takes the slots of these Larrys (all by default) and their workers, and starts the phases."""
        for larry in larrys or tuple(self.plan["larrys"]):
            assert self.slots.take(larry, ttl_ms=ttl_ms)["status"] == "held"
            self.phases.start(larry)
            for worker in self.plan["larrys"][larry]["workers"] if workers else []:
                assert self.slots.take(worker, ttl_ms=ttl_ms)["status"] == "held"
        return self

    def tasks(self, worker: str) -> TaskService:
        """The tasks as a worker's host sees them."""
        return TaskService(self.place.session(self.controller, worker, member=True))

    def claim(self, worker: str, **options: Any) -> dict[str, Any]:
        """What a claim answers."""
        return self.tasks(worker).claim(worker, **options)

    def claimed(self, worker: str, **options: Any) -> tuple[str, str]:
        """Task and fence of a claim that must succeed."""
        reply = self.claim(worker, **options)
        assert reply["status"] == "claimed", reply
        return reply["task"], reply["fence"]

    def settle(self, worker: str, task: str, fence: str, outcome: str = "completed", **options: Any) -> dict[str, Any]:
        """Settles a task of a worker."""
        return self.tasks(worker).settle(task, fence, outcome, worker=worker, **options)

    def do(self, worker: str, outcome: str = "completed", **options: Any) -> str:
        """Claims and settles one task; returns its id."""
        task, fence = self.claimed(worker)
        self.settle(worker, task, fence, outcome, **options)
        return task

    def tick(self) -> None:
        """Lets the server work off what is due, as any keeper does."""
        self.session.call("renew", {"only": ["none"]})
