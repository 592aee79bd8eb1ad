# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether size matters: the cost of a claim in large runs, the bytes of a task, and the renewal of a thousand leases.

    python tests/bench/scale.py [--short] [--write]

Runs of 1,000, 10,000 and 100,000 tasks, and one with 1,000 workers, lie side by side on one server; each round claims
and completes in each of them. The time is the server's own, within the scripts (commandstats).
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import redis
from measuring import Server, Spread, Table, options, publish, ratio_of, say, server, verdict
from product import LockService, TaskService, enter_run, plan_of, session

AIM_GROWTH, AIM_BYTES = 1.3, 2000


@dataclass
class Run:
    """One run on the server, and what was measured in it."""

    place: Server
    name: str
    tasks: int
    workers: int
    claim_us: list[float] = field(default_factory=list)
    settle_us: list[float] = field(default_factory=list)
    around_us: list[float] = field(default_factory=list)
    bytes_loaded: float = 0.0
    turn: int = 0

    def create(self) -> None:
        """Loads the run and takes its slots; what it needs on the server is what `used_memory` grew by."""
        self.prefix = f"run-{self.tasks}-{self.workers}:"
        self.session = session(self.place.socket_url, self.prefix, keep=False)
        plan = plan_of(self.tasks, self.workers)
        before = self.place.plain.info("memory")["used_memory"]
        began = time.monotonic()
        enter_run(self.session, plan)
        self.bytes_loaded = (self.place.plain.info("memory")["used_memory"] - before) / self.tasks
        self.names = list(plan["workers"])
        self.service = TaskService(self.session)
        say(f"{self.name}: loaded and ready after {time.monotonic() - began:.1f} s")

    def round(self, pairs: int) -> None:
        """So many claims, each by the next worker, and their completions."""
        held = []
        began = time.perf_counter()
        for _pair in range(pairs):
            worker = self.names[self.turn % len(self.names)]
            self.turn += 1
            held.append((worker, *self._timed(self.claim_us, lambda worker=worker: self.service.claim(worker))))
            worker, claimed = held.pop()
            if claimed["status"] != "claimed":
                sys.exit(f"{self.name}: a claim answered {claimed}")
            self._timed(
                self.settle_us,
                lambda claimed=claimed, worker=worker: self.service.settle(
                    claimed["task"], claimed["fence"], "completed", worker=worker, result={"summary": {"checked": 12}}
                ),
            )
        self.around_us.append((time.perf_counter() - began) / pairs * 1e6)

    def _timed(self, into: list[float], call: Callable[[], Any]) -> tuple[Any]:
        calls, used = self.place.script_time()
        answer = call()
        after, later = self.place.script_time()
        if after - calls != 1:
            sys.exit(f"{self.name}: one call made {after - calls} scripts; somebody else uses the server")
        into.append(later - used)
        return (answer,)


def medians(figures: list[float], rounds: int) -> Spread:
    """The medians of the rounds."""
    size = len(figures) // rounds
    return Spread(tuple(Spread(tuple(figures[start : start + size])).median for start in range(0, size * rounds, size)))


def claims(place: Server, short: bool) -> Table:
    """The cost of a claim by the number of tasks and workers."""
    sizes = [("1,000 tasks", 1000, 1), ("10,000 tasks", 10_000, 1), ("100,000 tasks", 100_000, 1)]
    sizes.append(("10,000 tasks, 1,000 workers", 10_000, 1000))
    if short:
        sizes = [("200 tasks", 200, 1), ("2,000 tasks", 2000, 1), ("2,000 tasks, 100 workers", 2000, 100)]
    rounds, pairs = (3, 30) if short else (15, 60)
    runs = [Run(place, name, tasks, workers) for name, tasks, workers in sizes]
    for run in runs:
        run.create()
    for _round in range(rounds):
        for run in runs:
            run.round(pairs)
    table = Table(
        "Time within the script on the server, by the size of the run: median (lowest to highest) of the rounds.",
        ("run", "claim", "against the smallest", "complete", "against the smallest", "bytes of a task when loaded", ""),
    )
    first = runs[0]
    for run in runs:
        claim, settle = medians(run.claim_us, rounds), medians(run.settle_us, rounds)
        growth = ratio_of(claim, medians(first.claim_us, rounds))
        further = ratio_of(settle, medians(first.settle_us, rounds))
        table.rows.append(
            (run.name, claim.text("{:.0f} µs"), growth.text("{:.2f}"), settle.text("{:.0f} µs"), further.text("{:.2f}"),
             f"{run.bytes_loaded:,.0f}",
             verdict(max(growth.median, further.median) <= AIM_GROWTH, f"aim <= {AIM_GROWTH}")
             if run is not first else "")
        )  # fmt: skip
    return table


def _sampled(client: redis.Redis, prefix: str, patterns: tuple[str, ...], ids: list[str]) -> float:
    """The second route: MEMORY USAGE of the keys of some tasks, per task."""
    total = 0
    for one in ids:
        for pattern in patterns:
            total += client.memory_usage(prefix + pattern.format(one)) or 0
    return total / len(ids)


TASK_KEYS = ("larry:task:{}", "task:status:{}", "task:lock:{}", "larry:lease:task/{}", "task:result:{}")
RESULT = {"summary": {"checked": 12}, "findings": [], "evidence": [], "changes": []}


def memory(place: Server, short: bool) -> Table:
    """Bytes of a task: loaded and ready; in progress; completed, with its result and its entries in the log."""
    count, workers = (1000, 50) if short else (10_000, 100)

    def used() -> int:
        return place.plain.info("memory")["used_memory"]

    def complete(service: TaskService, worker: str) -> None:
        claimed = service.claim(worker)
        service.settle(claimed["task"], claimed["fence"], "completed", worker=worker, result=RESULT)

    # A small run first: the scripts are in the server's cache and the buffers of the connection are there.
    small = session(place.socket_url, "small:", keep=False)
    enter_run(small, plan_of(10, 1))
    complete(TaskService(small), "bench-worker-0")
    made = session(place.socket_url, "m:", keep=False)
    service = TaskService(made)
    plan = plan_of(count, workers)
    empty = used()
    enter_run(made, plan)
    sample = random.Random(1).sample(list(plan["tasks"]), 100)
    rows = []

    def note(state: str, grown: float, ids: list[str]) -> None:
        log = (place.plain.memory_usage("m:larry:log", samples=0) or 0) / count
        rows.append((state, grown, _sampled(place.plain, "m:", TASK_KEYS, ids), log))

    ready = used()
    note("ready", (ready - empty) / count, sample)
    claimed = [(worker, service.claim(worker)) for worker in plan["workers"]]
    # Only as many as there are workers can be in progress: their growth comes on top of what a ready task needs.
    note("in progress", (ready - empty) / count + (used() - ready) / workers, [one["task"] for _worker, one in claimed])
    for worker, one in claimed:
        service.settle(one["task"], one["fence"], "completed", worker=worker, result=RESULT)
    for _task in range(count - workers):
        complete(service, "bench-worker-0")
    note("completed", (used() - empty) / count, sample)
    return Table(
        f"Bytes on the server for a task, of {count:,} tasks with {workers} workers: what `used_memory` grew by, "
        "and MEMORY USAGE of the keys of a hundred tasks (without the log, indices and lists that they share).",
        ("state", "used_memory", "MEMORY USAGE of its own keys", "log", ""),
        [
            (state, f"{grown:,.0f}", f"{own:,.0f}", "" if state == "in progress" else f"{log:,.0f}",
             verdict(grown <= AIM_BYTES, f"aim <= {AIM_BYTES:,}"))
            for state, grown, own, log in rows
        ],
    )  # fmt: skip


def renewals(place: Server, short: bool) -> Table:
    """What a keeper's renewal of a thousand leases costs the server, beside redis-py's locks renewed one by one."""
    count, rounds = (100, 3) if short else (1000, 9)
    place.plain.flushall()
    made = session(place.socket_url, "r:", member=False, keep=False)
    service = LockService(made)
    for number in range(count):
        service.acquire(f"l{number}", ttl_ms=60_000, keep=False)
    locks = [place.plain.lock(f"p{number}", timeout=60) for number in range(count)]
    for lock in locks:
        lock.acquire()
    figures: dict[str, list[tuple[float, float, float]]] = {"ours": [], "theirs": []}

    def timed(name: str, call: Callable[[], object]) -> None:
        before, (calls, used) = place.cpu_s(), place.script_time()
        began = time.perf_counter()
        call()
        wall = time.perf_counter() - began
        after, later = place.script_time()
        figures[name].append((place.cpu_s() - before, (later - used) / max(1, after - calls) / 1e6, wall))

    def ours() -> None:
        answers = made.call("renew")["answers"]
        if sum(answer["state"] == "kept" for answer in answers) != count:
            sys.exit("not every lease was renewed")

    for _round in range(rounds):
        timed("ours", ours)
        timed("theirs", lambda: [lock.reacquire() for lock in locks])
    every_s = 5.0  # a third of the default TTL
    table = Table(
        f"Renewing {count:,} leases once, and what that is at a third of the default TTL of 15 s (every 5 s): median "
        "(lowest to highest).",
        ("renewed by", "server CPU of a round", "share of one core", "longest script", "scripts a second", "client"),
    )
    for name, shown, scripts in (("ours", "the keeper, in one script", 1), ("theirs", "redis-py, lock by lock", count)):
        cpu, longest, wall = (Spread(tuple(column)) for column in zip(*figures[name], strict=True))
        table.rows.append(
            (shown, cpu.text("{:.1f} ms", 1000), f"{cpu.median / every_s * 100:.2f} %", longest.text("{:.2f} ms", 1000),
             f"{scripts / every_s:g}", wall.text("{:.1f} ms", 1000))
        )  # fmt: skip
    return table


def main() -> int:
    """Entry."""
    chosen = options(__doc__, lambda parser: parser.add_argument("--only", nargs="+", default=[]))
    parts = {"claims": claims, "memory": memory, "renewals": renewals}
    tables = []
    for name, part in parts.items():
        if not chosen.only or name in chosen.only:
            with server() as place:
                say(name)
                tables.append(part(place, chosen.short))
    publish("scale", tables, short=chosen.short, write=chosen.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
