# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random histories of three clients against a real server, held against the laws (laws.py) after every step.

MODEL_EXAMPLES is the number of histories for each machine (60), MODEL_STEPS their length (30), MODEL_SEED the seed,
which is printed. Time is the test's: the scripts read it from a key (virtual_time.py), and it stands still in between.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import hypothesis.strategies as st
import laws
import pytest
import redis
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from servers import start_valkey
from virtual_time import Clock, load_scripts, timed_scripts

from ansible_collections.cortex.larry.plugins.module_utils._coordination.connection import disconnect
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import NotJoined
from ansible_collections.cortex.larry.plugins.module_utils._coordination.identity import Controller
from ansible_collections.cortex.larry.plugins.module_utils._coordination.runs import RunService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.session import Session
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "60"))
STEPS = int(os.environ.get("MODEL_STEPS", "30"))
SEED = int(os.environ.get("MODEL_SEED", "20261121"))
PREFIX = "m:"
CLIENTS = ("a", "b", "c")
STRANGER = "stranger"

clients = st.sampled_from(CLIENTS)
ttls = st.sampled_from((1_000, 3_000, 10_000))
pauses = st.sampled_from((1, 500, 999, 1_000, 2_000, 3_000, 10_000))
back = st.sampled_from((0, 0, 0, 1, 1, 2, 3, 5, 8, 12))  # how many calls ago


class Machine(RuleBasedStateMachine):
    """What the machines share: an empty server, the clock, three controllers, the calls made so far."""

    plain: ClassVar[Any]
    settings: ClassVar[Settings]
    steps: ClassVar[dict[str, int]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.plain.flushall()
        self.clock = Clock(self.plain, PREFIX)
        self.calls: list[Callable[[], None]] = []
        self.operations = 0
        self.start()

    def start(self) -> None:
        """Prepares the server and the model."""

    def session(self, client: str, host: str = "h", member: bool = False) -> Session:
        """A controller's session; without a keeper, which the machine plays."""
        return Session(self.settings, Controller(client, os.getpid(), "0", "host"), host, member=member, keep=False)

    def operation(self) -> str:
        """A new operation id."""
        self.operations += 1
        return f"op{self.operations}"

    def made(self, call: Callable[[], None]) -> None:
        """Makes a call and keeps it, so that it can be sent again."""
        self.calls.append(call)
        call()

    @precondition(lambda self: self.calls)
    @rule(ago=back)
    def send_again(self, ago: int) -> None:
        """The very same call arrives once more."""
        self.calls[-1 - ago % len(self.calls)]()

    @rule(milliseconds=pauses)
    def time_passes(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds)
        self.keys.pass_time(self.clock.now_ms)

    keys: laws.PublicKeys

    def compare_keys(self, pattern: str) -> None:
        """The keys to read are those of the model, with their expiries."""
        found = {}
        for key in self.plain.keys(PREFIX + pattern):
            until = self.plain.pexpiretime(key)
            found[key.removeprefix(PREFIX)] = (self.plain.get(key), until if until >= 0 else None)
        assert found == self.keys.content

    def log(self, name: str) -> list[dict[str, Any]]:
        """The log, which has no gaps."""
        entries = [json.loads(fields["m"]) for _id, fields in self.plain.xrange(PREFIX + name)]
        assert [entry["id"] for entry in entries] == [str(number + 1) for number in range(len(entries))]
        return entries


def same(reply: dict[str, Any], expected: dict[str, Any]) -> None:
    """What was answered holds everything that the model expects."""
    got = {name: reply.get(name) for name in expected}
    assert got == expected, (got, expected)


class LockMachine(Machine):
    """Leases: a lock with one slot, one with two, and now and then another number of slots."""

    def start(self) -> None:
        self.keys = laws.PublicKeys(self.clock.now_ms)
        self.locks = {name: laws.Lock(name, self.keys) for name in ("one", "sem")}

    names = st.sampled_from(("one", "sem"))

    @rule(client=clients, name=names, ttl=ttls, odd=st.sampled_from((0, 0, 0, 1)))
    def acquire(self, client: str, name: str, ttl: int, odd: int) -> None:
        operation = self.operation()
        slots = {"one": 1, "sem": 2}[name] + odd
        arguments = {"name": name, "slots": slots, "token": client, "owner": client, "ttl_ms": ttl, "first": True}

        def call() -> None:
            expected = self.locks[name].acquire(client, ttl, slots, operation)
            reply = self.session(client).call("lock_acquire", arguments, operation)
            if expected["status"] == "held":
                expected = expected | {
                    "fence": str(expected["fence"]),
                    "deadline": str(expected["deadline"] * 1000),
                }
            same(reply, expected)

        self.made(call)

    @rule(client=clients, name=names, force=st.booleans())
    def release(self, client: str, name: str, force: bool) -> None:
        operation = self.operation()

        def call() -> None:
            expected = self.locks[name].release(client, force, 1, operation)
            reply = self.session(client).call(
                "lock_release", {"name": name, "slots": 1, "token": client, "force": force or None}, operation
            )
            assert reply["status"] == expected["status"]
            assert [(one["owner"], one["slot"]) for one in reply["released"]] == expected.get("released", [])

        self.made(call)

    @rule(client=clients, name=names, ttl=ttls)
    def extend(self, client: str, name: str, ttl: int) -> None:
        expected = self.locks[name].extend(client, ttl)
        reply = self.session(client).call("lock_extend", {"name": name, "token": client, "ttl_ms": ttl})
        assert reply["status"] == expected["status"]

    @rule(client=clients)
    def renew(self, client: str) -> None:
        kept = sum(lock.renew(client) for lock in self.locks.values())
        reply = self.session(client).call("renew")
        assert [one["state"] for one in reply["answers"]].count("kept") == kept

    @rule(name=names, slot=st.integers(1, 2), lasting=st.sampled_from((500, 5_000, None)))
    def somebody_changes_the_expiry(self, name: str, slot: int, lasting: int | None) -> None:
        public = self.locks[name].public({"one": 1, "sem": 2}[name], slot)
        if public in self.keys.content:
            until = None if lasting is None else self.clock.now_ms + lasting
            self.keys.content[public] = (self.keys.content[public][0], until)
            self.plain.set(PREFIX + public, self.keys.content[public][0], pxat=until)

    @rule(client=clients)
    def controller_ends(self, client: str) -> None:
        for lock in self.locks.values():
            lock.gone(client)
        self.session(client).call("gone", {"cause": "a test"})

    @rule(name=names, slot=st.integers(1, 2))
    def operator_deletes(self, name: str, slot: int) -> None:
        public = self.locks[name].public({"one": 1, "sem": 2}[name], slot)
        self.keys.content.pop(public, None)
        self.plain.delete(PREFIX + public)

    @rule(name=names, slot=st.integers(1, 2), lasting=st.sampled_from((500, 3_000, None)), only_new=st.booleans())
    def somebody_sets(self, name: str, slot: int, lasting: int | None, only_new: bool) -> None:
        public = self.locks[name].public({"one": 1, "sem": 2}[name], slot)
        until = None if lasting is None else self.clock.now_ms + lasting
        if self.plain.set(PREFIX + public, STRANGER, nx=only_new, pxat=until):
            self.keys.content[public] = (STRANGER, until)

    @invariant()
    def keys_are_as_the_model_says(self) -> None:
        self.compare_keys("lock:*")
        for name, lock in self.locks.items():
            assert int(self.plain.hget(f"{PREFIX}larry:lock:{name}", "fence") or 0) == lock.fence

    def teardown(self) -> None:
        entries = self.log("larry:standalone:log")
        for name, lock in self.locks.items():
            fences = [
                int(entry["fence"])
                for entry in entries
                if entry["event"] == "lease_acquired" and entry["resource"] == f"lock:{name}"
            ]
            assert len(fences) == lock.taken
            assert all(one < two for one, two in zip(fences, fences[1:], strict=False))


def plan(emergency: int, limit: int) -> dict[str, Any]:
    """Two Larrys, three workers, seven tasks that depend on each other."""

    def task(index: int, larry: str, capability: str = "cap", depends_on: str = "", after: str = "") -> dict[str, Any]:
        return {
            "id": f"t{index}", "larry": larry, "index": index, "capability": capability, "worker": None,
            "depends_on": depends_on.split(), "after": after.split(), "touches": [], "metered": False,
            "planned_s": 4, "deadline_s": 8, "attempts": 2, "backoff_s": 0.5,
        }  # fmt: skip

    tasks = [
        task(0, "x"), task(1, "x", "other"), task(2, "x", depends_on="t0"), task(3, "y", depends_on="t0", after="t1"),
        task(4, "x", after="t2"), task(5, "y", depends_on="t3"), task(6, "y"),
    ]  # fmt: skip
    workers = {"x1": ("x", ["cap"]), "x2": ("x", ["cap", "other"]), "y1": ("y", ["cap"])}
    return {
        "name": "a-model", "title": "A model", "cluster": "model", "time_scale": 1.0,
        "larrys": {
            larry: {
                "id": larry, "domain": larry, "node": "n", "phase_s": 10_000_000, "checkpoints": [],
                "masters": {f"{larry}m": {"tokens": 1, "pool": 0}}, "tokens": limit,
                "workers": [name for name, (of, _can) in workers.items() if of == larry],
            }
            for larry in ("x", "y")
        },
        "workers": {
            name: {"id": name, "name": name, "larry": larry, "node": "n", "tokens": 1, "capabilities": can}
            for name, (larry, can) in workers.items()
        },
        "tasks": {one["id"]: one for one in tasks},
        "nodes": {"n": {"name": "n", "address": "10.0.0.1", "role": "worker"}},
        "budgets": {"emergency": emergency},
    }  # fmt: skip


class RunMachine(Machine):
    """What the machines of a run share."""

    limit, emergency = 100, 30

    def start(self) -> None:
        self.plan = plan(self.emergency, self.limit)
        for client in CLIENTS[:2]:
            self.join(client)

    def join(self, client: str) -> None:
        """A controller joins the run, or makes it."""
        RunService(self.session(client, member=True)).join(self.plan, "d" * 64)

    def call(self, client: str, script: str, arguments: dict[str, Any], operation: str | None = None) -> Any:
        """A call of a member."""
        try:
            return self.session(client, member=True).call(script, arguments, operation)
        except NotJoined:
            return {"status": "not_joined"}


class BudgetMachine(RunMachine):
    """Token holds of two Larrys on one pool."""

    def start(self) -> None:
        super().start()
        self.keys = laws.PublicKeys(self.clock.now_ms)
        self.pool = [self.emergency]
        self.budgets = {
            "x": laws.Budget(self.limit, {"x1", "x2", "xm"}, self.pool),
            "y": laws.Budget(self.limit, {"y1", "ym"}, self.pool),
        }

    larrys = st.sampled_from(("x", "y"))

    def expire(self) -> None:
        for budget in self.budgets.values():
            budget.expire(self.clock.now_ms)

    @rule(
        client=clients,
        larry=larrys,
        account=st.sampled_from(("x1", "xm", "y1")),
        amount=st.sampled_from((1, 20, 45, 90, 100, 0, -5, 1.5)),
        hold_ms=st.sampled_from((500, 5_000)),
    )
    def reserve(self, client: str, larry: str, account: str, amount: float, hold_ms: int) -> None:
        operation = self.operation()
        arguments = {"larry": larry, "account": account, "amount": amount, "hold_ms": hold_ms}

        def call() -> None:
            expected = {"status": "not_joined"}
            if client != "c":
                until = self.clock.now_ms + hold_ms
                expected = self.budgets[larry].reserve(account, amount, until, operation, self.expire)
            same(self.call(client, "tokens_reserve", arguments, operation), expected)

        self.made(call)

    @rule(larry=larrys, amount=st.sampled_from((1, 20, 45)), hold_ms=st.sampled_from((500, 5_000)))
    def reserve_as_one_may(self, larry: str, amount: int, hold_ms: int) -> None:
        self.reserve("a", larry, larry + "m", amount, hold_ms)

    spents = st.sampled_from((0, 1, 20, 45, 90, -1, 0.5))

    @rule(client=clients, larry=larrys, which=st.integers(0, 5), spent=spents)
    def settle(self, client: str, larry: str, which: int, spent: float) -> None:
        known = [hold for budget in self.budgets.values() for hold in budget.holds] or ["none"]
        hold = known[which % len(known)]
        operation = self.operation()

        def call() -> None:
            expected = {"status": "not_joined"}
            if client != "c":
                expected = self.budgets[larry].settle(hold, spent, operation, self.clock.now_ms, self.expire)
            same(
                self.call(client, "tokens_settle", {"larry": larry, "hold": hold, "spent": spent}, operation), expected
            )

        self.made(call)

    @precondition(lambda self: any(budget.holds for budget in self.budgets.values()))
    @rule(which=st.integers(0, 5), spent=spents)
    def settle_as_one_may(self, which: int, spent: float) -> None:
        known = [(larry, number) for larry, budget in self.budgets.items() for number in range(len(budget.holds))]
        larry, number = known[which % len(known)]
        self.settle("b", larry, number if larry == "x" else number + len(self.budgets["x"].holds), spent)

    @rule()
    def keeper_turns(self) -> None:
        """Whoever renews works off what is due."""
        self.expire()
        self.session("a").call("renew", {"only": ["none"]})

    @invariant()
    def never_above_the_cap(self) -> None:
        for larry, budget in self.budgets.items():
            book = self.plain.hgetall(f"{PREFIX}larry:tokens:{larry}")
            assert int(book.get("used", 0)) == budget.used == int(self.plain.get(f"{PREFIX}tokens:{larry}:used"))
            assert int(book.get("held", 0)) == budget.held
            assert int(book.get("drawn", 0)) == budget.drawn
            assert budget.used + budget.held <= self.limit + budget.drawn
        taken = int(self.plain.get(f"{PREFIX}larry:reserve") or 0)
        assert self.pool[0] == self.emergency - taken >= 0

    def teardown(self) -> None:
        self.log("larry:log")


class TaskMachine(RunMachine):
    """Slots, phases, claims, results, lapses."""

    def start(self) -> None:
        super().start()
        self.run = laws.Run(
            [
                laws.Task(one["id"], one["larry"], one["index"], one["capability"], one["depends_on"], one["after"])
                for one in self.plan["tasks"].values()
            ],
            [laws.Worker(one["id"], one["larry"], set(one["capabilities"])) for one in self.plan["workers"].values()],
            attempts=2,
            backoff=500,
            deadline=8_000,
        )
        self.keys = self.run.keys
        self.keys.pass_time(self.clock.now_ms)
        self.run.joined = set(CLIENTS[:2])
        self.run.tick()
        self.claims: list[tuple[str, str, int]] = []  # who claimed what with which fence
        self.phases: dict[str, str] = {"x": "pending", "y": "pending"}
        # Histories that never get going show little: they start with everybody in place.
        for client, slot in (("a", "x"), ("a", "x1"), ("a", "x2"), ("b", "y"), ("b", "y1")):
            self.take(client, slot, 10_000)
        self.start_phase("a", "x")

    @precondition(lambda self: self.run.phase["y"] == "pending")
    @rule()
    def start_the_other_phase(self) -> None:
        self.start_phase("b", "y")

    slots = st.sampled_from(("x", "y", "x1", "x2", "y1"))
    workers = st.sampled_from(("x1", "x2", "y1"))
    larrys = st.sampled_from(("x", "y"))
    tasks = st.sampled_from(tuple(f"t{number}" for number in range(7)))

    @rule()
    def third_joins(self) -> None:
        self.join("c")
        self.run.joined.add("c")
        self.run.tick()

    @rule(client=clients, slot=slots, ttl=ttls)
    def take(self, client: str, slot: str, ttl: int) -> None:
        expected = self.run.take(client, slot, ttl)
        same(self.call(client, "slot_take", {"slot": slot, "owner": client, "ttl_ms": ttl}), expected)

    @rule(client=clients, slot=slots)
    def leave(self, client: str, slot: str) -> None:
        expected = self.run.leave(client, slot)
        same(self.call(client, "slot_leave", {"slot": slot, "state": "completed"}), expected)

    @rule(client=clients, larry=larrys)
    def start_phase(self, client: str, larry: str) -> None:
        same(self.call(client, "phase_start", {"larry": larry}), self.run.start(client, larry))

    @rule(client=clients, larry=larrys)
    def end_phase(self, client: str, larry: str) -> None:
        expected = self.run.turn(client, larry)
        same(self.call(client, "phase_turn", {"larry": larry, "finish": True, "lead": True}), expected)

    def _claim(self, client: str, worker: str, ttl: int) -> None:
        operation = self.operation()

        def call() -> None:
            expected = self.run.claim(client, worker, ttl, operation)
            reply = self.call(client, "task_claim", {"worker": worker, "ttl_ms": ttl}, operation)
            if expected["status"] == "claimed":
                self.claims.append((client, expected["task"], expected["fence"]))
                expected = expected | {"fence": str(expected["fence"])}
            same(reply, expected)

        self.made(call)

    @rule(client=clients, worker=workers, ttl=ttls)
    def claim(self, client: str, worker: str, ttl: int) -> None:
        self._claim(client, worker, ttl)

    @rule(worker=workers, ttl=ttls)
    def claim_as_one_may(self, worker: str, ttl: int) -> None:
        """By whoever holds the worker's slot, so that histories get somewhere."""
        slot = self.run.slots.get(worker)
        self._claim(slot.owner if slot else "a", worker, ttl)

    @precondition(lambda self: self.claims)
    @rule(ago=back, client=st.sampled_from((None, None, None, *CLIENTS)))
    def checkpoint(self, ago: int, client: str | None) -> None:
        who, task, fence = self.claims[-1 - ago % len(self.claims)]
        client = client or who
        expected = self.run.checkpoint(client, task, fence)
        same(self.call(client, "task_checkpoint", {"task": task, "fence": str(fence)}), expected)

    outcomes = st.sampled_from(("completed", "completed", "completed", "failed", "skipped"))

    @precondition(lambda self: self.claims)
    @rule(
        ago=st.integers(0, 3),
        client=st.sampled_from((None, None, None, None, *CLIENTS)),
        outcome=outcomes,
        retry=st.booleans(),
    )
    def settle(self, ago: int, client: str | None, outcome: str, retry: bool) -> None:
        who, task, fence = self.claims[-1 - ago % len(self.claims)]
        self._settle(client or who, task, fence, outcome, retry)

    def overtaken(self) -> list[tuple[str, str, int]]:
        """Claims whose task the same controller has claimed again since."""
        last = {(who, task): fence for who, task, fence in self.claims}
        return [claim for claim in self.claims if last[claim[:2]] != claim[2]]

    @precondition(lambda self: self.overtaken())
    @rule(ago=st.integers(0, 1), outcome=outcomes)
    def settle_too_late(self, ago: int, outcome: str) -> None:
        """The result of an attempt arrives that had lapsed before its own controller made the next one."""
        late = self.overtaken()
        self._settle(*late[-1 - ago % len(late)], outcome, False)

    def _settle(self, client: str, task: str, fence: int, outcome: str, retry: bool) -> None:
        operation = self.operation()
        arguments = {
            "task": task, "fence": str(fence), "outcome": outcome, "worker": "w", "retry": retry or None,
            "cause": "a test", "result": "{}",
        }  # fmt: skip

        def call() -> None:
            expected = self.run.settle(client, task, fence, outcome, retry, operation)
            same(self.call(client, "task_settle", arguments, operation), expected)

        self.made(call)

    @rule(client=clients)
    def renew(self, client: str) -> None:
        self.run.renew(client)
        self.session(client).call("renew")

    @rule()
    def everybody_renews(self) -> None:
        for client in CLIENTS:
            self.renew(client)

    @rule(client=clients)
    def controller_ends(self, client: str) -> None:
        self.run.gone(client)
        self.session(client).call("gone", {"cause": "a test"})

    @rule(task=tasks)
    def operator_deletes(self, task: str) -> None:
        self.keys.content.pop(f"task:lock:{task}", None)
        self.plain.delete(f"{PREFIX}task:lock:{task}")

    @rule(task=tasks, lasting=st.sampled_from((500, 2_000, 20_000, None)), only_new=st.booleans())
    def somebody_sets(self, task: str, lasting: int | None, only_new: bool) -> None:
        until = None if lasting is None else self.clock.now_ms + lasting
        if self.plain.set(f"{PREFIX}task:lock:{task}", STRANGER, nx=only_new, pxat=until):
            self.keys.content[f"task:lock:{task}"] = (STRANGER, until)

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        self.compare_keys("task:lock:*")
        for task in self.run.tasks.values():
            shown = self.plain.get(f"{PREFIX}task:status:{task.id}")
            assert shown == ("pending" if task.state == "ready" else task.state), task.id
            assert task.completions <= 1
        ranks = {"pending": 0, "in_progress": 1, "completed": 2, "failed": 2}
        for larry, before in self.phases.items():
            shown = self.plain.get(f"{PREFIX}phase:{larry}:status")
            assert shown == self.run.phase[larry]
            assert shown == before or ranks[shown] > ranks[before]  # phases only go on
            self.phases[larry] = shown

    def teardown(self) -> None:
        entries = self.log("larry:log")
        for task in self.run.tasks.values():
            mine = [entry for entry in entries if entry.get("task_id") == task.id]
            done = [entry for entry in mine if entry["event"] == "task_completed"]
            assert len(done) == task.completions
            fences = [int(entry["fence"]) for entry in mine if entry["event"] == "task_claimed"]
            assert all(one < two for one, two in zip(fences, fences[1:], strict=False))
            assert len(fences) == task.attempt


class BarrierMachine(Machine):
    """Generations of a barrier with three members."""

    policy = "fail"

    def start(self) -> None:
        self.keys = laws.PublicKeys(self.clock.now_ms)
        self.barrier = laws.Barrier(list(CLIENTS), self.policy)
        self.attempts: dict[str, dict[str, Any]] = {}

    def meet(self, member: str, controller: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.barrier.now = self.clock.now_ms
        expected = self.barrier.meet(
            member,
            controller,
            arguments["token"],
            arguments["members"],
            arguments["generation"],
            arguments["ttl_ms"],
            bool(arguments["first"]),
        )
        reply = self.session(controller).call("barrier_meet", {"name": "b", "member": member, **arguments})
        same(reply, expected)
        return expected

    @rule(
        member=clients,
        other=st.sampled_from((None, None, None, *CLIENTS)),
        generation=st.sampled_from((None, None, None, 1, 2, 3)),
        fewer=st.sampled_from((False, False, False, True)),
        ttl=ttls,
    )
    def arrive(self, member: str, other: str | None, generation: int | None, fewer: bool, ttl: int) -> None:
        arguments = {
            "token": self.operation(), "members": list(CLIENTS[:2] if fewer else CLIENTS), "generation": generation,
            "policy": self.policy, "ttl_ms": ttl, "first": True, "join_within_us": 0,
        }  # fmt: skip

        def call() -> None:
            expected = self.meet(member, other or member, arguments)
            if expected["status"] == "waiting" and not other:
                self.attempts[member] = {**arguments, "first": None, "generation": expected["generation"]}

        self.made(call)

    @precondition(lambda self: self.attempts)
    @rule(which=st.integers(0, 2))
    def look_again(self, which: int) -> None:
        member = sorted(self.attempts)[which % len(self.attempts)]
        arguments = dict(self.attempts[member])
        self.made(lambda: self.meet(member, member, arguments) and None)

    @rule(member=clients, controller=clients)
    def leave(self, member: str, controller: str) -> None:
        self.barrier.now = self.clock.now_ms
        expected = self.barrier.leave(member, controller)
        reply = self.session(controller).call("barrier_leave", {"name": "b", "member": member})
        same(reply, expected)

    @rule(client=clients)
    def renew(self, client: str) -> None:
        self.barrier.now = self.clock.now_ms
        self.barrier.renew(client)
        self.session(client).call("renew")

    @rule(client=clients)
    def controller_ends(self, client: str) -> None:
        self.barrier.now = self.clock.now_ms
        self.barrier.gone(client)
        self.session(client).call("gone", {"cause": "a test"})

    @invariant()
    def generation_and_arrivals(self) -> None:
        record = self.plain.hgetall(f"{PREFIX}larry:barrier:b")
        assert int(record.get("generation", 0)) == self.barrier.opened
        assert self.plain.hgetall(f"{PREFIX}larry:arrived:b") == self.barrier.tokens

    def teardown(self) -> None:
        opened = [one["generation"] for one in self.log("larry:standalone:log") if one["event"] == "barrier_open"]
        assert opened == list(range(1, self.barrier.opened + 1))


class ShrinkingBarrierMachine(BarrierMachine):
    """The others go on without the dead."""

    policy = "shrink"


class PatientBarrierMachine(BarrierMachine):
    """The others wait for the dead to come back."""

    policy = "wait"


MACHINES = {
    "locks": LockMachine,
    "budgets": BudgetMachine,
    "tasks": TaskMachine,
    "barrier-fail": BarrierMachine,
    "barrier-shrink": ShrinkingBarrierMachine,
    "barrier-wait": PatientBarrierMachine,
}


@pytest.fixture(scope="session")
def server() -> Iterator[Settings]:
    """A Valkey of its own: the machines empty it."""
    directory = Path(tempfile.mkdtemp(prefix="larry-"))
    started = start_valkey(directory)
    Machine.settings = Settings.of(f"unix://{directory / 's'}", prefix=PREFIX)
    Machine.plain = redis.Redis(unix_socket_path=str(directory / "s"), decode_responses=True)
    try:
        yield Machine.settings
    finally:
        disconnect(Machine.settings)
        Machine.plain.close()
        started.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", MACHINES)
def test_histories_keep_the_laws(server: Settings, name: str) -> None:
    print(f"{name}: {EXAMPLES} histories of up to {STEPS} steps, MODEL_SEED={SEED}")
    machine = MACHINES[name]
    seed(SEED)(machine)
    with timed_scripts():
        load_scripts(Machine.plain)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate, Phase.shrink],
                print_blob=False,
            ),
        )
