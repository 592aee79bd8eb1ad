# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks: claim, settle, checkpoint, and why one is not running."""

from __future__ import annotations

import json
import time
import typing as t

from .errors import Fenced
from .identity import machine
from .keeper import ensure_keeper
from .locks import duration
from .session import Session, new_operation
from .settings import DEFAULT_TTL_MS
from .slots import SlotService, refused


class TaskService:
    """The work of one worker host."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def claim(self, worker: str, *, wait_s: float = 0.0, ttl_ms: int = DEFAULT_TTL_MS) -> dict[str, t.Any]:
        """Claims the next ready task that this worker may do.

        Args:
            worker: id of the worker; its slot must be held by this controller.
            wait_s: how long one call may block when nothing is ready.
            ttl_ms: of the task's lease.

        Returns:
            `status` claimed (with `task`, `fence`, `attempt`, `deadline`), done (every task of the Larry is settled) or
            none (with `why` and `next_ms`, the next time at which something can change).
        """
        deadline = time.monotonic() + wait_s
        arguments = {"worker": worker, "ttl_ms": ttl_ms, "machine": json.dumps(machine())}
        while True:
            reply = self.session.call("task_claim", arguments, new_operation())
            if SlotService(self.session).retaken(reply, ttl_ms):
                continue
            if reply.get("refused"):
                raise refused(reply)
            if reply["status"] == "claimed":
                ensure_keeper(self.session)
            left = deadline - time.monotonic()
            if reply["status"] in ("claimed", "done") or left <= 0 or reply.get("why") == "draining":
                return reply
            pause = left if reply.get("next_ms") is None else min(left, reply["next_ms"] / 1000)
            self.session.wait_for({"larry:" + reply["larry"]: reply["bell"]}, max(pause, 0.005))

    def settle(
        self,
        task: str,
        fence: str,
        outcome: str,
        *,
        worker: str,
        result: dict[str, t.Any] | None = None,
        cause: str | None = None,
        retry: bool = True,
        operation: str | None = None,
    ) -> dict[str, t.Any]:
        """Settles a task; accepted only from the holder of its lease with its fence.

        Args:
            outcome: completed, failed or skipped.
            result: what the capability returned; its `public` figures are published in the same step.
            retry: False makes a failure final.

        Raises:
            Fenced: somebody else holds the task now, or it is settled already; nothing was recorded but the refusal.
        """
        public = (result or {}).get("public")
        reply = self.session.call(
            "task_settle",
            {
                "task": task,
                "fence": fence,
                "outcome": outcome,
                "worker": worker,
                "cause": cause,
                "result": json.dumps(result, sort_keys=True) if result is not None else None,
                "public": public,
                "retry": retry or None,
            },
            operation,
        )
        if reply.get("refused"):
            raise refused(reply)
        if reply["status"] == "fenced":
            raise Fenced(
                f"The result of {task} from {worker} was refused: {reply['cause']} (its fence {fence} is no longer "
                "valid). Nothing was recorded twice; what was changed outside may have been done again by the new "
                "holder.",
                **reply,
            )
        return reply

    def checkpoint(
        self, task: str, fence: str, *, percent: float | None = None, text: str | None = None
    ) -> dict[str, t.Any]:
        """Asks whether the caller still holds the task; publishes progress on the way.

        Returns:
            `status` held, paused, cancelled or lost.
        """
        reply = self.session.call("task_checkpoint", {"task": task, "fence": fence, "percent": percent, "text": text})
        if reply.get("refused"):
            raise refused(reply)
        return reply

    def why(self, task: str) -> dict[str, t.Any]:
        """Everything that bears on this task's state, with `because`: sentences, the most important first."""
        reply = self.session.call("task_why", {"task": task})
        if reply.get("refused"):
            raise refused(reply)
        for name in ("waits", "paused", "capable"):
            reply[name] = reply.get(name) or []
        reply["because"] = reasons(reply)
        return reply


def reasons(view: dict[str, t.Any]) -> list[str]:
    """Why a task is where it is, in sentences."""
    task, state, phase, lease = view["task"], view["state"], view["phase"], view["lease"]
    out = []
    if state in ("completed", "failed", "skipped"):
        return [f"{task} is {state}" + (f": {view['cause']}." if view.get("cause") else ".")]
    if state == "in_progress":
        left = duration(lease.get("left_ms"))
        out.append(
            f"{task} runs on {view['worker_now']} (attempt {view['attempt']} of {view['attempts']}, {left} left of its "
            "lease)."
        )
    if phase["phase"] == "pending":
        out.append(f"The phase of {view['larry']} has not started: no controller leads it yet.")
    elif phase["phase"] in ("completed", "failed"):
        out.append(f"The phase of {view['larry']} is {phase['phase']}.")
    if phase["mode"] != "running":
        out.append(
            f"{view['larry']} is {phase['mode']}" + (f": {view['pause_reason']}." if view.get("pause_reason") else ".")
        )
    if view.get("sweep"):
        out.append(f"Nothing new is claimed in {view['larry']} ({view['sweep']}); {task} will be skipped.")
    for wait in view["waits"]:
        rule = "must complete" if wait["kind"] == "depends_on" else "must settle"
        out.append(f"It waits for {wait['task']}, which is {wait['state'].replace('_', ' ')} and {rule} first.")
    for thing in view["paused"]:
        out.append(f"It touches {thing['name']}, which is paused: {thing['reason']}.")
    if lease["state"] == "foreign":
        out.append(
            f"task:lock:{task} was set by another client ({lease['owner']}), {duration(lease.get('left_ms'))} left; "
            "it is honoured."
        )
    if view.get("retry_ms") is not None and state == "pending":
        out.append(
            f"It is tried again in {duration(view['retry_ms'])} (attempt {view['attempt'] + 1} of {view['attempts']})."
        )
    if state in ("pending", "ready"):
        present = [one for one in view["capable"] if one["present"]]
        if not view["capable"]:
            out.append(f"No worker of {view['larry']} has the capability {view['capability']}.")
        elif not present:
            names = ", ".join(sorted(one["worker"] for one in view["capable"]))
            out.append(f"No worker that can do it is there; start a controller with one of {names}.")
        elif state == "ready" and view["worker"] and not view["shared"]:
            bound = [one for one in present if one["worker"] == view["worker"]]
            if bound and bound[0]["task"]:
                out.append(f"Its worker {view['worker']} is busy with {bound[0]['task']}.")
            elif not bound:
                out.append(f"Its worker {view['worker']} is not there yet.")
        elif state == "ready" and all(one["task"] for one in present):
            out.append(
                "Every worker that can do it is busy: "
                + ", ".join(f"{one['worker']} with {one['task']}" for one in present)
                + "."
            )
    return out or [f"{task} is ready; it is claimed as soon as a worker asks."]
