# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A controller without Ansible: a process that leads one Larry, with a fork for each worker and the real keeper.

It does what the roles do (take slots, start the phase, claim, checkpoint, settle, meet at the barrier, finish), uses
locks, a semaphore, a barrier and token budgets on the way, and writes every call down (`call_records`). Like a play
under the strategy `free` it waits for a fork that was killed for ever: ending it then is the keeper's duty.

Its configuration is one line of JSON on standard input. Exit codes: 0 the run is finished, others: start it again.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import redis
from call_records import Recorder

from ansible_collections.cortex.larry.plugins.module_utils._coordination.barriers import BarrierService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.budgets import BudgetService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.connection import disconnect
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import (
    BarrierFailed,
    BudgetExceeded,
    Busy,
    CoordinationError,
    Fenced,
    NotJoined,
    Refused,
    RunConflict,
    ServerUnavailable,
)
from ansible_collections.cortex.larry.plugins.module_utils._coordination.events import EventService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller
from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import LockService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.phases import PhaseService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.processes import watch_forks
from ansible_collections.cortex.larry.plugins.module_utils._coordination.runs import RunService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import Session, new_operation
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings
from ansible_collections.cortex.larry.plugins.module_utils._coordination.slots import SlotService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.tasks import TaskService

_PAUSE_S = 0.05  # between two tries after an error
_AGAIN = 200  # how often a call is repeated while the server is away; the harness ends whoever hangs


class Finished(Exception):
    """The run is finished; nothing is to be done any more."""


class Caller:
    """Makes calls for one host and writes them down."""

    def __init__(self, config: dict[str, Any], controller: Controller, host: str) -> None:
        self.config = config
        self.settings = Settings(**config["settings"])
        self.session = Session(self.settings, controller, host, member=True)
        self.alone = Session(self.settings, controller, host)
        self.record = Recorder(Path(config["records"]), f"{config['name']}-{host}", controller.id)
        self.rng = random.Random(f"{config['seed']}/{host}/{config['incarnation']}")

    def call(self, what: str, asked: dict[str, Any], act: Any, show: Any = None) -> Any:
        """One recorded call; an error is recorded by its class and raised."""
        number = self.record.invoke(what, **asked)
        try:
            answer = act()
        except (CoordinationError, redis.exceptions.RedisError) as error:
            name = type(error).__name__
            facts = getattr(error, "facts", {})
            self.record.reply(number, error=name, status=facts.get("status"), text=str(error)[:200])
            raise
        self.record.reply(number, **(show(answer) if show else {}))
        return answer

    def insist(self, what: str, asked: dict[str, Any], act: Any, show: Any = None) -> Any:
        """The same, repeated while the server does not answer. `act` carries one operation id for all tries."""
        for _number in range(_AGAIN):
            try:
                return self.call(what, asked, act, show)
            except (ServerUnavailable, redis.exceptions.RedisError):
                time.sleep(_PAUSE_S)
        raise SystemExit(5)


class Worker(Caller):
    """One fork: a worker of the Larry."""

    def __init__(self, config: dict[str, Any], controller: Controller, worker: str) -> None:
        super().__init__(config, controller, worker)
        self.worker = worker
        self.larry = config["larry"]
        self.tasks = TaskService(self.session)
        self.slots = SlotService(self.session)
        self.budget = BudgetService(self.session, self.larry)
        self.cancelled = False
        self.metered = {name for name, task in config["plan"]["tasks"].items() if task["metered"]}

    def run(self) -> None:
        """Works until every task of the Larry is settled."""
        held = False
        while True:
            try:
                if not held:
                    held = self.take()
                    continue
                reply = self.claim()
                if reply["status"] == "done":
                    self.insist("slot_leave", {"slot": self.worker}, lambda: self.slots.leave(self.worker))
                    return
                if reply["status"] == "claimed":
                    self.carry_out(reply["task"], reply["fence"])
            except (ServerUnavailable, redis.exceptions.RedisError):
                time.sleep(_PAUSE_S)
            except Refused:
                held = False
                time.sleep(_PAUSE_S)

    def take(self) -> bool:
        reply = self.call(
            "slot_take",
            {"slot": self.worker},
            lambda: self.slots.take(self.worker, wait_s=1.0, ttl_ms=self.config["ttl_ms"]),
            lambda answer: {"status": answer["status"], "fence": answer.get("fence"), "changed": answer.get("changed")},
        )
        if reply["status"] != "held" and reply.get("run") != "running":
            raise Finished
        return reply["status"] == "held"

    def claim(self) -> dict[str, Any]:
        return self.call(
            "claim",
            {"worker": self.worker},
            lambda: self.tasks.claim(self.worker, wait_s=1.0, ttl_ms=self.config["ttl_ms"]),
            lambda answer: {
                "status": answer["status"],
                "task": answer.get("task"),
                "fence": answer.get("fence"),
                "resumed": bool(answer.get("resumed")),
            },
        )

    def carry_out(self, task: str, fence: str) -> None:
        """Everything between claim and settle, by chance; the outcome too."""
        chance = self.rng.random
        if chance() < 0.5 and not self.still_ours(task, fence, self.rng.randint(1, 99)):
            return self.drop(task, fence)
        if chance() < 0.15:
            self.with_lock()
        if task in self.metered:
            self.spend()
        if chance() < 0.15 and self.worker in self.config["gate"]:
            self.gate()
        if chance() < 0.1:
            # One publishing for each name, so that one that is there twice is seen.
            name = new_operation()
            events = EventService(self.session)
            self.call("publish", {"name": name}, lambda: events.publish("chaos_note", {"name": name}))
        if chance() < 0.3:
            # So that faults fall between the calls of one task as well.
            time.sleep(chance() * 0.01)
        if chance() < self.config["slow_share"]:
            time.sleep((0.5 + chance()) * self.config["ttl_ms"] / 1000)  # long enough to be hit in its middle
        if not self.still_ours(task, fence, None):
            return self.drop(task, fence)
        # The outside effect would be here: what a stale holder does from here on must be refused.
        luck = chance()
        outcome = "failed" if luck < 0.03 else "skipped" if luck < 0.035 else "completed"
        self.settle(task, fence, outcome, {"summary": {"done": 1}, "public": {"metrics": {"chaos_done": 1}}})

    def drop(self, task: str, fence: str) -> None:
        """Like a role whose checkpoint says cancelled or lost: the attempt fails; if it was lost, that is refused."""
        if self.rng.random() < 0.7 or self.cancelled:
            self.settle(task, fence, "failed", None)

    def settle(self, task: str, fence: str, outcome: str, result: dict[str, Any] | None) -> None:
        operation = new_operation()
        try:
            self.insist(
                "settle",
                {"task": task, "fence": fence, "outcome": outcome, "operation": operation},
                lambda: self.tasks.settle(
                    task, fence, outcome, worker=self.worker, operation=operation, result=result, cause="by chance"
                ),
                lambda answer: {"status": answer["status"], "state": answer.get("state")},
            )
        except Fenced:
            pass

    def still_ours(self, task: str, fence: str, percent: int | None) -> bool:
        while True:
            reply = self.insist(
                "checkpoint",
                {"task": task, "fence": fence},
                lambda: self.tasks.checkpoint(task, fence, percent=percent),
                lambda answer: {"status": answer["status"]},
            )
            if reply["status"] != "paused":
                self.cancelled = reply["status"] == "cancelled"
                return reply["status"] == "held"
            time.sleep(_PAUSE_S)

    def with_lock(self) -> None:
        """Takes a lock or a slot of a semaphore, of the run or outside of it, and gives it up."""
        name, slots, session = self.rng.choice(
            [("m-lock", 1, self.session), ("s-lock", 1, self.alone), ("m-pool", 2, self.session)]
        )
        service = LockService(session)
        asked = {"lock": name, "slots": slots}
        try:
            held = self.call(
                "lock",
                asked,
                lambda: service.acquire(name, slots=slots, wait_s=0.3, ttl_ms=self.config["ttl_ms"]),
                lambda answer: {"fence": answer.fence, "already": answer.already, "slot": answer.slot},
            )
        except (Busy, Fenced):
            return
        if self.rng.random() < 0.5:
            time.sleep(self.rng.random() * 0.005)
        if self.rng.random() < 0.3:
            try:
                self.call("extend", asked | {"fence": held.fence}, lambda: service.extend(name, self.config["ttl_ms"]))
            except Fenced:
                return
        self.insist(
            "unlock",
            asked | {"fence": held.fence},
            lambda: service.release(name, slots=slots),
            lambda answer: {"status": answer["status"]},
        )

    def spend(self) -> None:
        amount = self.rng.randint(1, 150)
        operation = new_operation()
        book = ("used", "held", "limit", "drawn", "reserve_left")
        try:
            reply = self.insist(
                "reserve",
                {"larry": self.larry, "amount": amount, "operation": operation},
                lambda: self.budget.reserve(self.worker, amount, hold_s=3.0, operation=operation),
                lambda answer: {name: answer[name] for name in (*book, "hold")},
            )
        except BudgetExceeded:
            return
        if self.rng.random() < 0.05:
            return  # as if the request had failed in mid-air: the hold expires and is charged in full
        spent = self.rng.randint(0, amount)
        try:
            self.insist(
                "spend",
                {"larry": self.larry, "hold": reply["hold"], "spent": spent},
                lambda: self.budget.settle(reply["hold"], spent),
                lambda answer: {name: answer.get(name) for name in book[:4]},
            )
        except Refused:
            pass  # it expired

    def gate(self) -> None:
        """A barrier outside of the run, of the first worker of each Larry; who is alone gives up soon."""
        meet(self, BarrierService(self.alone), "gate", self.worker, self.config["gate"], timeout_s=0.4)


def meet(
    caller: Caller,
    service: BarrierService,
    name: str,
    member: str,
    members: list[str],
    generation: int | None = None,
    policy: str = "wait",
    timeout_s: float = 600.0,
) -> bool:
    """Arrives once and waits; True when it opened."""
    token = new_operation()
    try:
        caller.call(
            "meet",
            {"barrier": name, "member": member, "members": members, "generation": generation, "token": token},
            lambda: service.meet(
                name,
                member=member,
                members=members,
                policy=policy,
                timeout_s=timeout_s,
                generation=generation,
                ttl_ms=caller.config["ttl_ms"],
                token=token,
            ),
            lambda answer: {
                "status": answer["status"],
                "generation": answer["generation"],
                "members": answer["members"],
            },
        )
        return True
    except (BarrierFailed, Refused):
        return False


class Leader(Caller):
    """The controller itself: leads its Larry."""

    def __init__(self, config: dict[str, Any], controller: Controller) -> None:
        super().__init__(config, controller, f"coordinator-{config['larry']}")
        self.larry = config["larry"]
        self.runs = RunService(self.session)
        self.slots = SlotService(self.session)
        self.phases = PhaseService(self.session)
        self.controller = controller
        self.forks: list[Any] = []

    def run(self) -> None:
        """From joining to the end of the run."""
        self.join()
        self.lead()
        self.begin_work()
        self.look_after_phase()
        for fork in self.forks:
            # A fork that was killed is waited for ever, as the strategy `free` does; the keeper ends us then.
            while fork.exitcode != 0:
                fork.join(0.2)
                self.keep_slot()
        for generation in (1, 2):
            while not self.again(functools.partial(self.converge, generation)):
                time.sleep(_PAUSE_S)
        self.insist("finish", {}, lambda: self.runs.finish("completed", "", ""))

    def converge(self, generation: int) -> bool:
        members = sorted(self.config["plan"]["larrys"])
        barrier = BarrierService(self.session)
        return meet(self, barrier, "converge", self.larry, members, generation, self.config["policy"])

    def again(self, act: Any) -> Any:
        """Repeats while the server is away or somebody else still holds our place."""
        while True:
            try:
                return act()
            except (ServerUnavailable, redis.exceptions.RedisError, Refused, RunConflict):
                self.leave_if_finished()
                time.sleep(_PAUSE_S)

    def leave_if_finished(self) -> None:
        try:
            record = self.runs.look()
        except (CoordinationError, redis.exceptions.RedisError):
            return
        if record.get("state") == "finished":
            raise Finished

    def join(self) -> None:
        def archive(_record: dict[str, str]) -> None:
            raise Finished  # otherwise a controller that comes too late would start the run anew

        self.leave_if_finished()
        self.again(
            lambda: self.call(
                "join",
                {},
                lambda: self.runs.join(
                    self.config["plan"], self.config["digest"], run=self.config["run"], archive=archive
                ),
                lambda answer: {"run": answer.run, "how": answer.how},
            )
        )

    def lead(self) -> None:
        while not self.again(self.take):
            self.leave_if_finished()
        self.again(lambda: self.call("phase_start", {"larry": self.larry}, lambda: self.phases.start(self.larry)))

    def take(self) -> bool:
        reply = self.call(
            "slot_take",
            {"slot": self.larry},
            lambda: self.slots.take(self.larry, wait_s=1.0, ttl_ms=self.config["ttl_ms"]),
            lambda answer: {"status": answer["status"], "fence": answer.get("fence"), "changed": answer.get("changed")},
        )
        return reply["status"] == "held"

    def keep_slot(self) -> None:
        """Takes the slot again if it was lost, which also starts a keeper where there is none."""
        try:
            self.take()
        except (ServerUnavailable, redis.exceptions.RedisError, Refused):
            self.leave_if_finished()

    def begin_work(self) -> None:
        disconnect(self.settings)  # a socket is never shared across a fork
        context = multiprocessing.get_context("fork")
        for worker in self.config["plan"]["larrys"][self.larry]["workers"]:
            fork = context.Process(target=work, args=(self.config, self.controller, worker), name=worker)
            fork.start()
            self.forks.append(fork)

    def look_after_phase(self) -> None:
        while True:
            try:
                reply = self.call(
                    "phase_turn",
                    {"larry": self.larry},
                    lambda: self.phases.turn(self.larry, wait_s=1.0, finish=True),
                    lambda answer: {"phase": answer["phase"], "settled": answer["settled"]},
                )
            except Refused:
                self.keep_slot()
                continue
            except (ServerUnavailable, redis.exceptions.RedisError):
                time.sleep(_PAUSE_S)
                continue
            if reply["phase"] in ("completed", "failed"):
                return


def work(config: dict[str, Any], controller: Controller, worker: str) -> None:
    """Entry of a fork."""
    try:
        Worker(config, controller, worker).run()
    except Finished:
        pass


def main() -> None:
    """Entry of the controller."""
    config = json.loads(sys.stdin.readline())
    config["plan"] = json.loads(Path(config["plan"]).read_text())
    watch_forks()
    controller = Controller.of_process(os.getpid())
    print(controller.id, flush=True)
    leader = Leader(config, controller)
    try:
        leader.run()
    except Finished:
        pass
    except NotJoined as error:
        print(error.sentence, flush=True)
        raise SystemExit(3) from error
    finally:
        for fork in leader.forks:
            if fork.is_alive():
                fork.terminate()
                fork.join()


if __name__ == "__main__":
    main()
