# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The laws of docs/protocol.md as a small model in plain Python: no server, no Lua, no code of the collection.

Times are whole milliseconds. Each method that stands for a call takes an operation id and returns what the caller must
be answered; the attributes are what anybody may then read on the server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Reply = dict[str, Any]


class Memory:
    """The last operations of a resource with their answers (law 3)."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: list[tuple[str, Reply]] = []

    def recall(self, operation: str) -> Reply | None:
        """The first answer to an operation, if it had an effect and is among the last ones."""
        return next((reply for one, reply in self.kept if one == operation), None)

    def remember(self, operation: str, reply: Reply) -> Reply:
        """Keeps an answer."""
        self.kept = [(operation, reply), *self.kept][: self.size]
        return reply


@dataclass
class PublicKeys:
    """Strings with an expiry, as a client sees them."""

    now: int = 0
    content: dict[str, tuple[str, int | None]] = field(default_factory=dict)

    def pass_time(self, now: int) -> None:
        """The server deletes what expired before this millisecond."""
        self.now = now
        self.content = {
            name: (value, until) for name, (value, until) in self.content.items() if until is None or until >= now
        }


@dataclass
class Lease:
    """Who holds something, by which number, until when."""

    owner: str
    fence: int
    until: int
    ttl: int
    public: str
    value: str
    hard: int | None = None


class Leases:
    """What makes a lease valid: its deadline and its public key, both as they were written."""

    def __init__(self, keys: PublicKeys) -> None:
        self.keys = keys

    def held(self, lease: Lease | None) -> bool:
        """Held is: before the deadline, and the key to read is as we wrote it."""
        if lease is None or self.keys.now >= lease.until:
            return False
        return not lease.public or self.keys.content.get(lease.public) == (lease.value, lease.until)

    def write(self, lease: Lease) -> None:
        """The key to read follows the lease."""
        if lease.public:
            self.keys.content[lease.public] = (lease.value, lease.until)

    def clear(self, lease: Lease) -> None:
        """A key is only deleted if it is ours."""
        if self.keys.content.get(lease.public) == (lease.value, lease.until):
            del self.keys.content[lease.public]

    def extend(self, lease: Lease, ttl: int) -> None:
        """A new deadline, never past the hard one."""
        lease.ttl = ttl
        lease.until = self.keys.now + ttl
        if lease.hard is not None:
            lease.until = min(lease.until, lease.hard)
        self.write(lease)


class Lock:
    """One lock of some slots."""

    def __init__(self, name: str, keys: PublicKeys) -> None:
        self.name = name
        self.keys = keys
        self.leases = Leases(keys)
        self.slots = 0
        self.fence = 0
        self.taken = 0
        self.memory = Memory(16)
        self.slot: dict[int, Lease] = {}

    def public(self, slots: int, slot: int) -> str:
        """The key to read of a slot."""
        return f"lock:{self.name}" if slots == 1 else f"lock:{self.name}:{slot}"

    def _tidy(self, slot: int) -> Lease | None:
        lease = self.slot.get(slot)
        if lease is None or self.leases.held(lease):
            return lease
        self.leases.clear(lease)
        del self.slot[slot]
        return None

    def acquire(self, who: str, ttl: int, slots: int, operation: str) -> Reply:
        """The lowest free slot, unless the caller has one already."""
        before = self.memory.recall(operation)
        if before:
            lease = self.slot.get(before["slot"])
            # The first answer, as long as it is true.
            if self.leases.held(lease) and lease and (lease.owner, lease.fence) == (who, before["fence"]):
                return before
            return {"status": "over"}
        if self.slots not in (0, slots):
            if any(self.leases.held(self.slot.get(one)) for one in range(1, self.slots + 1)):
                return {"status": "other_slots"}
        free = None
        for slot in range(1, slots + 1):
            lease = self._tidy(slot)
            if lease and lease.owner == who:
                return {"status": "held", "fence": lease.fence, "slot": slot, "deadline": lease.until, "already": True}
            if lease is None and self.public(slots, slot) not in self.keys.content:
                free = free or slot
        if free is None:
            return {"status": "busy"}
        self.fence = max(self.fence + 1, self.keys.now * 1000)
        self.slots = slots
        lease = Lease(who, self.fence, self.keys.now + ttl, ttl, self.public(slots, free), who)
        self.slot[free] = lease
        self.leases.write(lease)
        self.taken += 1
        return self.memory.remember(
            operation, {"status": "held", "fence": self.fence, "slot": free, "deadline": lease.until}
        )

    def release(self, who: str, force: bool, slots: int, operation: str) -> Reply:
        """One's own slots; with force everybody's."""
        before = self.memory.recall(operation)
        if before:
            return before
        released = []
        slots = self.slots or slots
        for slot in range(1, slots + 1):
            lease = self._tidy(slot)
            if lease and (force or lease.owner == who):
                self.leases.clear(lease)
                del self.slot[slot]
                released.append((lease.owner, slot))
            elif lease is None and force and self.public(slots, slot) in self.keys.content:
                released.append((self.keys.content.pop(self.public(slots, slot))[0], slot))
        if not released:
            return {"status": "not_held"}
        return self.memory.remember(operation, {"status": "released", "released": released})

    def extend(self, who: str, ttl: int) -> Reply:
        """Only the holder."""
        for slot in range(1, (self.slots or 1) + 1):
            lease = self._tidy(slot)
            if lease and lease.owner == who:
                self.leases.extend(lease, ttl)
                return {"status": "held", "fence": lease.fence}
        return {"status": "not_held"}

    def renew(self, who: str) -> int:
        """The keeper's turn; how many leases are kept."""
        kept = 0
        for slot, lease in list(self.slot.items()):
            if lease.owner == who and self._tidy(slot):
                self.leases.extend(lease, lease.ttl)
                kept += 1
        return kept

    def gone(self, who: str) -> None:
        """The controller ended."""
        for slot, lease in list(self.slot.items()):
            if lease.owner == who and self.leases.held(lease):
                self.leases.clear(lease)
                del self.slot[slot]


@dataclass
class Hold:
    """Tokens that are held until a time; each remembers its own calls."""

    amount: int
    until: int
    made: Reply
    over: bool = False
    settled_by: str = ""
    settled: Reply = field(default_factory=dict)

    def end(self, now: int) -> None:
        """It is over, and remembered for ten minutes."""
        self.over, self.until = True, now + 600_000


class Budget:
    """One Larry's tokens (law 8); the pool is shared, as a list of one number left."""

    def __init__(self, limit: int, accounts: set[str], pool: list[int]) -> None:
        self.limit = limit
        self.accounts = accounts
        self.pool = pool
        self.used = self.drawn = 0
        self.known: dict[str, Hold] = {}  # each under the operation that made it

    @property
    def holds(self) -> dict[str, Hold]:
        """The holds that are not over."""
        return {name: hold for name, hold in self.known.items() if not hold.over}

    @property
    def held(self) -> int:
        """Tokens that are held now."""
        return sum(hold.amount for hold in self.holds.values())

    def expire(self, now: int) -> None:
        """A hold that nobody settled is charged in full; one that is over is forgotten after ten minutes."""
        for name, hold in list(self.known.items()):
            if hold.until <= now and hold.over:
                del self.known[name]
            elif hold.until <= now:
                hold.end(now)
                self.used += hold.amount

    def reserve(self, account: str, amount: float, until: int, operation: str, tick: Callable[[], None]) -> Reply:
        """Never more than the limit and what was drawn from the pool. `tick` lets every Larry's holds expire."""
        if amount < 1 or amount != int(amount):
            return {"status": "bad_amount"}
        if operation in self.known:
            return self.known[operation].made
        tick()
        if account not in self.accounts:
            return {"status": "no_account"}
        wanted = self.used + self.held + int(amount)
        above = wanted - self.limit * 9 // 10 - self.drawn
        draw = max(0, min(above, self.pool[0]))
        if wanted > self.limit + self.drawn + draw:
            return {"status": "over_budget"}
        self.drawn += draw
        self.pool[0] -= draw
        made = {"status": "reserved", "hold": operation, "drawn": self.drawn}
        self.known[operation] = Hold(int(amount), until, made)
        return made

    def settle(self, name: str, spent: float, operation: str, now: int, tick: Callable[[], None]) -> Reply:
        """Charges what was used, at most what was held, while it is held."""
        if spent < 0 or spent != int(spent):
            return {"status": "bad_amount"}
        tick()
        hold = self.known.get(name)
        if hold is None:
            return {"status": "no_hold"}
        if hold.over:
            return hold.settled if hold.settled_by == operation else {"status": "no_hold"}
        if spent > hold.amount:
            return {"status": "over_hold"}
        hold.end(now)
        self.used += int(spent)
        hold.settled_by, hold.settled = operation, {"status": "settled", "used": self.used}
        return hold.settled


@dataclass
class Attempt:
    """A meeting of a barrier that ended."""

    generation: int
    state: str
    tokens: dict[str, str]


class Barrier:
    """A barrier outside a run with named members."""

    def __init__(self, members: list[str], policy: str) -> None:
        self.members = members
        self.policy = policy
        self.now = 0
        self.opened = 0
        self.bound: tuple[str, ...] = ()
        self.arrived: dict[str, tuple[str, str, int, int]] = {}  # member -> token, controller, until, ttl
        self.tokens: dict[str, str] = {}
        self.outcomes: list[Attempt] = []

    def _live(self, member: str) -> bool:
        return member in self.arrived and self.now < self.arrived[member][2]

    def _end(self, generation: int, state: str) -> None:
        self.outcomes = [Attempt(generation, state, dict(self.tokens)), *self.outcomes][:16]
        if state == "open":
            self.opened = generation
        self.arrived, self.tokens = {}, {}

    def meet(
        self,
        member: str,
        controller: str,
        token: str,
        members: list[str],
        generation: int | None,
        ttl: int,
        first: bool,
    ) -> Reply:
        """Arrives, or looks again; nobody passes before everybody who counts is in (law 7)."""
        for one in self.outcomes:
            if one.tokens.get(member) == token and generation in (None, one.generation):
                return {"status": one.state, "generation": one.generation}
        if generation is not None and generation <= self.opened:
            return {"status": "open", "generation": generation}
        generation = generation or self.opened + 1
        if generation > self.opened + 1:
            return {"status": "early_generation"}
        if member not in members:
            return {"status": "no_member"}
        if self.tokens and first and not any(self._live(one) for one in self.tokens):
            self._end(generation, "failed")
        if not self.tokens:
            self.bound = tuple(members)
        if tuple(members) != self.bound:
            return {"status": "other_members"}
        if self._live(member):
            old = self.arrived[member]
            if old[0] != token:
                if old[1] != controller:
                    return {"status": "member_taken"}
                self.arrived[member] = (token, controller, old[2], old[3])
                self.tokens[member] = token
        elif member in self.arrived and not first:
            return {"status": "failed", "generation": generation}
        else:
            self.arrived[member] = (token, controller, self.now + ttl, ttl)
            self.tokens[member] = token
        dead = [one for one in self.tokens if not self._live(one)]
        if dead and self.policy == "fail":
            self._end(generation, "failed")
            return {"status": "failed", "generation": generation}
        missing = [one for one in self.bound if one not in self.tokens]
        if not missing and (not dead or self.policy == "shrink"):
            self._end(generation, "open")
            return {"status": "open", "generation": generation}
        return {"status": "waiting", "generation": generation}

    def leave(self, member: str, controller: str) -> Reply:
        """Only one's own arrival, and only while it lives."""
        if not self._live(member) or self.arrived[member][1] != controller:
            return {"status": "not_arrived"}
        del self.arrived[member], self.tokens[member]
        return {"status": "left"}

    def renew(self, controller: str) -> None:
        """The keeper's turn; what has lapsed stays lapsed."""
        for member, (token, owner, _until, ttl) in list(self.arrived.items()):
            if owner == controller and self._live(member):
                self.arrived[member] = (token, owner, self.now + ttl, ttl)

    def gone(self, controller: str) -> None:
        """Its arrivals end now."""
        for member, (token, owner, _until, ttl) in list(self.arrived.items()):
            if owner == controller and self._live(member):
                self.arrived[member] = (token, owner, self.now, ttl)


@dataclass
class Task:
    """A task and what became of it."""

    id: str
    larry: str
    index: int
    capability: str
    depends_on: list[str]
    after: list[str]
    state: str = "pending"
    attempt: int = 0
    failures: int = 0
    lapses: int = 0
    fence: int = 0
    worker: str = ""
    controller: str = ""
    not_before: int | None = None
    lease: Lease | None = None
    renewed: bool = False  # by the keeper of its controller
    completions: int = 0
    memory: Memory = field(default_factory=lambda: Memory(4))
    told: set[str] = field(default_factory=set)  # settled parents that it has heard of

    @property
    def settled(self) -> bool:
        """Completed, failed for good or skipped."""
        return self.state in ("completed", "failed", "skipped")


@dataclass
class Worker:
    """A worker's place."""

    id: str
    larry: str
    capabilities: set[str]
    task: str = ""
    memory: Memory = field(default_factory=lambda: Memory(1))


class Run:
    """Slots, phases, claims and results of one run; every task may be done by any capable worker of its Larry."""

    def __init__(self, tasks: list[Task], workers: list[Worker], attempts: int, backoff: int, deadline: int) -> None:
        self.tasks = {task.id: task for task in tasks}
        self.workers = {worker.id: worker for worker in workers}
        self.attempts, self.backoff, self.deadline = attempts, backoff, deadline
        self.keys = PublicKeys()
        self.leases = Leases(self.keys)
        self.slots: dict[str, Lease | None] = {}
        self.phase = {task.larry: "pending" for task in tasks}
        self.joined: set[str] = set()
        self.opened = False

    # What the server works off when its time has come.

    def tick(self) -> None:
        """Everything that is due."""
        if not self.opened:
            self.opened = True
            for task in self.tasks.values():
                if task.state == "pending" and not task.depends_on and not task.after:
                    self._ready(task)
        for name, slot in self.slots.items():
            if slot and slot.until <= self.keys.now:
                self.slots[name] = None
        for task in self.tasks.values():
            if task.lease and task.lease.until <= self.keys.now:
                self._observe(task)
        for task in self.tasks.values():
            if task.state == "pending" and task.not_before is not None and task.not_before <= self.keys.now:
                self._ready(task)

    def _ready(self, task: Task) -> None:
        task.state, task.not_before = "ready", None

    def _observe(self, task: Task) -> bool:
        """True if the task is held; a lease that is over is put away with its attempt."""
        if task.lease is None:
            return False
        if self.leases.held(task.lease):
            return True
        lease, task.lease = task.lease, None
        self.leases.clear(lease)
        self._lost(task, late=lease.hard is not None and self.keys.now >= lease.hard)
        return False

    def _lost(self, task: Task, late: bool) -> None:
        """An attempt without a result: past its deadline it is the task's fault, otherwise its controller's."""
        self._leave(task)
        if late:
            task.failures += 1
        else:
            task.lapses += 1
        if task.failures >= self.attempts and late or task.lapses >= 10 and not late:
            self._settle(task, "failed")
        else:
            self._ready(task)

    def _leave(self, task: Task) -> None:
        if self.workers[task.worker].task == task.id:
            self.workers[task.worker].task = ""

    def _settle(self, task: Task, state: str) -> None:
        task.state = state
        if state == "completed":
            task.completions += 1
        for child in self.tasks.values():
            if task.id not in child.depends_on + child.after or child.state != "pending":
                continue
            if task.id in child.depends_on and state != "completed":
                self._settle(child, "skipped")
                continue
            child.told.add(task.id)
            if child.told == set(child.depends_on + child.after):
                self._ready(child)

    # Calls.

    def _refusal(self, controller: str, slot: str | None = None) -> Reply | None:
        if controller not in self.joined:
            return {"status": "not_joined"}
        if slot is not None:
            lease = self.slots.get(slot)
            if not self.leases.held(lease):
                return {"status": "slot_lost"}
            if lease and lease.owner != controller:
                return {"status": "slot_of_other"}
        return None

    def take(self, controller: str, slot: str, ttl: int) -> Reply:
        """A slot has one holder; the next one is its standby."""
        if controller not in self.joined:
            return {"status": "not_joined"}
        self.tick()
        lease = self.slots.get(slot)
        if lease and self.leases.held(lease):
            return {"status": "held" if lease.owner == controller else "standby"}
        self.slots[slot] = Lease(controller, 0, self.keys.now + ttl, ttl, "", "")
        return {"status": "held"}

    def leave(self, controller: str, slot: str) -> Reply:
        """Gives a slot up, and what the worker was at."""
        if controller not in self.joined:
            return {"status": "not_joined"}
        lease = self.slots.get(slot)
        if not self.leases.held(lease) or (lease and lease.owner != controller):
            return {"status": "not_held"}
        self.slots[slot] = None
        worker = self.workers.get(slot)
        if worker and worker.task:
            task = self.tasks[worker.task]
            if self._observe(task) and task.lease and task.controller == controller:
                self.leases.clear(task.lease)
                task.lease = None
                self._lost(task, late=False)
        return {"status": "left"}

    def start(self, controller: str, larry: str) -> Reply:
        """A phase starts once."""
        if controller not in self.joined:
            return {"status": "not_joined"}
        self.tick()
        refusal = self._refusal(controller, larry)
        if refusal:
            return refusal
        changed = self.phase[larry] == "pending"
        if changed:
            self.phase[larry] = "in_progress"
        return {"status": "seen", "phase": self.phase[larry], "changed": changed}

    def turn(self, controller: str, larry: str) -> Reply:
        """A phase ends once everything is settled."""
        if controller not in self.joined:
            return {"status": "not_joined"}
        self.tick()
        refusal = self._refusal(controller, larry)
        if refusal:
            return refusal
        mine = [task for task in self.tasks.values() if task.larry == larry]
        changed = self.phase[larry] == "in_progress" and all(task.settled for task in mine)
        if changed:
            self.phase[larry] = "failed" if any(task.state == "failed" for task in mine) else "completed"
        return {"status": "seen", "phase": self.phase[larry], "changed": changed}

    def claim(self, controller: str, name: str, ttl: int, operation: str) -> Reply:
        """The first ready task, in the order of the plan, that this worker can do."""
        if controller not in self.joined:
            return {"status": "not_joined"}
        worker = self.workers[name]
        before = worker.memory.recall(operation)
        if before:
            return before
        self.tick()
        refusal = self._refusal(controller, name)
        if refusal:
            return refusal
        if worker.task:
            task = self.tasks[worker.task]
            if self._observe(task):
                if task.controller == controller:
                    return {"status": "claimed", "task": task.id, "fence": task.fence, "attempt": task.attempt}
                return {"status": "waiting"}
        mine = [task for task in self.tasks.values() if task.larry == worker.larry]
        if all(task.settled for task in mine):
            return {"status": "done"}
        if self.phase[worker.larry] != "in_progress" or not self.leases.held(self.slots.get(worker.larry)):
            return {"status": "none"}
        for task in sorted(mine, key=lambda one: one.index):
            if task.state != "ready" or task.capability not in worker.capabilities:
                continue
            public = f"task:lock:{task.id}"
            if public in self.keys.content:
                # Somebody else set it: honoured, and looked at again after at most three seconds.
                until = self.keys.content[public][1]
                left = 3000 if until is None else until - self.keys.now
                task.state = "pending"
                task.not_before = self.keys.now + (min(left + 1, 3000) if left > 0 else 3000)
                continue
            task.attempt += 1
            task.state, task.worker, task.controller, worker.task = "in_progress", name, controller, task.id
            task.fence = max(task.fence + 1, self.keys.now * 1000)
            hard = self.keys.now + self.deadline
            task.lease = Lease(controller, task.fence, min(self.keys.now + ttl, hard), ttl, public, worker.larry, hard)
            self.leases.write(task.lease)
            task.renewed = True
            return worker.memory.remember(
                operation, {"status": "claimed", "task": task.id, "fence": task.fence, "attempt": task.attempt}
            )
        return {"status": "none"}

    def checkpoint(self, controller: str, task_id: str, fence: int) -> Reply:
        """Am I still the holder?"""
        if controller not in self.joined:
            return {"status": "not_joined"}
        task = self.tasks[task_id]
        held = self._observe(task) and task.fence == fence and task.controller == controller
        return {"status": "held" if held else "lost"}

    def settle(self, controller: str, task_id: str, fence: int, outcome: str, retry: bool, operation: str) -> Reply:
        """Accepted from the holder of the lease alone (law 1)."""
        if controller not in self.joined:
            return {"status": "not_joined"}
        task = self.tasks[task_id]
        before = task.memory.recall(operation)
        if before:
            return before
        if not self._observe(task) or task.fence != fence or task.controller != controller:
            self.tick()
            return task.memory.remember(operation, {"status": "fenced"})
        assert task.lease is not None
        self.leases.clear(task.lease)
        task.lease = None
        self._leave(task)
        state = outcome
        if outcome == "failed":
            task.failures += 1
            if retry and task.failures < self.attempts:
                state = "requeued"
                task.state, task.not_before = "pending", self.keys.now + self.backoff * 2 ** (task.failures - 1)
        if state != "requeued":
            self._settle(task, outcome)
        return task.memory.remember(operation, {"status": "settled", "state": state})

    def renew(self, controller: str) -> None:
        """The keeper's turn: all leases of a controller, then whatever is due."""
        for name, slot in self.slots.items():
            if slot and slot.owner == controller:
                if self.leases.held(slot):
                    self.leases.extend(slot, slot.ttl)
                else:
                    self.slots[name] = None
        for task in self.tasks.values():
            if task.lease and task.renewed and task.controller == controller and self._observe(task):
                self.leases.extend(task.lease, task.lease.ttl)
        self.tick()

    def gone(self, controller: str) -> None:
        """A controller ended: everything that it held is given up at once; what was revoked ends by itself."""
        for name, slot in self.slots.items():
            if slot and slot.owner == controller and self.leases.held(slot):
                self.slots[name] = None
        for task in self.tasks.values():
            if task.controller == controller:
                task.renewed = False
            if task.lease and task.controller == controller and self.leases.held(task.lease):
                self.leases.clear(task.lease)
                task.lease = None
                self._lost(task, late=False)
