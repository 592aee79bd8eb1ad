# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Acquire + release beside the locks for Python, on the same server.

    python tests/bench/peers/lock_cost.py [--short] [--write]

Alone: one client takes and gives up a free lock, again and again. In a queue: eight processes want one lock, each holds
it for 2 ms; counted are the turns of all together and the longest wait of any. Leases of 15 s everywhere.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pottery
import redis
import redis_lock
from measuring import Server, Spread, Table, interleaved, options, per_second, publish, ratio_of, server, verdict
from product import LockService, session
from tooz import coordination

TTL_S = 15
# A holder's work: without any, whoever released would take the lock again before the others have woken up.
HELD_S = 0.002

Maker = Callable[[str, str], AbstractContextManager[Callable[[], AbstractContextManager[object]]]]


@contextlib.contextmanager
def _redis_py(url: str, name: str):  # type: ignore[no-untyped-def]
    client = redis.Redis.from_url(url)
    yield lambda: client.lock(name, timeout=TTL_S)
    client.close()


@contextlib.contextmanager
def _python_redis_lock(url: str, name: str, renewal: bool = False):  # type: ignore[no-untyped-def]
    client = redis.Redis.from_url(url)
    yield lambda: redis_lock.Lock(client, name, expire=TTL_S, auto_renewal=renewal)
    client.close()


@contextlib.contextmanager
def _pottery(url: str, name: str):  # type: ignore[no-untyped-def]
    client = redis.Redis.from_url(url)
    yield lambda: pottery.Redlock(key=name, masters={client}, auto_release_time=TTL_S)
    client.close()


@contextlib.contextmanager
def _tooz(url: str, name: str):  # type: ignore[no-untyped-def]
    # tooz renews when its user calls heartbeat(), or in a thread that its user starts.
    coordinator = coordination.get_coordinator(f"{url}?lock_timeout={TTL_S}", f"member-{os.getpid()}".encode())
    coordinator.start()
    yield lambda: coordinator.get_lock(name.encode())
    coordinator.stop()


@contextlib.contextmanager
def _ours(url: str, name: str, keep: bool = False):  # type: ignore[no-untyped-def]
    service = LockService(session(url, "bench:", member=False, keep=keep, host=f"h{os.getpid()}"))

    @contextlib.contextmanager
    def turn():  # type: ignore[no-untyped-def]
        service.acquire(name, wait_s=60, ttl_ms=TTL_S * 1000, keep=keep)
        yield
        service.release(name)

    yield turn


OURS = "cortex.larry"
OURS_KEPT = "cortex.larry, kept"
# name -> (maker, who renews, what a late holder does)
LOCKS: dict[str, tuple[Maker, str]] = {
    OURS: (_ours, "nobody, as the three below"),
    "redis-py Lock": (_redis_py, "nobody"),
    "pottery Redlock": (_pottery, "nobody"),
    "tooz": (_tooz, "nobody"),
    OURS_KEPT: (lambda url, name: _ours(url, name, True), "the keeper"),
    "python-redis-lock": (_python_redis_lock, "nobody"),
    "python-redis-lock, renewed": (lambda url, name: _python_redis_lock(url, name, True), "a thread for each lock"),
}
# Like is compared with like: renewed with renewed.
AGAINST = {name: OURS_KEPT if name.endswith("renewed") else OURS for name in LOCKS if not name.startswith(OURS)}


def _contender(url: str, kind: str, turns: int, start, answers) -> None:  # type: ignore[no-untyped-def]
    with LOCKS[kind][0](url, "queue") as lock:
        start.wait()
        longest = 0.0
        for _turn in range(turns):
            asked = time.monotonic()
            with lock():
                longest = max(longest, time.monotonic() - asked)
                time.sleep(HELD_S)
        answers.put((time.monotonic(), longest))
        # A keeper or a renewing thread belongs to this process and ends with it.


def in_a_queue(place: Server, kind: str, turns: int) -> tuple[float, float]:
    """Turns a second of eight processes together, and the longest wait in seconds."""
    place.plain.flushall()
    count = 8
    fork = multiprocessing.get_context("fork")
    start, answers = fork.Barrier(count + 1), fork.Queue()
    processes = [
        fork.Process(target=_contender, args=(place.url, kind, turns, start, answers)) for _number in range(count)
    ]
    for process in processes:
        process.start()
    start.wait(timeout=60)
    began = time.monotonic()
    found = [answers.get(timeout=180) for _number in range(count)]
    for process in processes:
        process.join(timeout=30)
    return count * turns / (max(ended for ended, _wait in found) - began), max(longest for _ended, longest in found)


def main() -> int:
    """Entry."""
    chosen = options(__doc__)
    rounds, calls, turns = (2, 200, 10) if chosen.short else (7, 2000, 50)
    with server() as place, contextlib.ExitStack() as stack:
        made = {
            name: stack.enter_context(maker(place.url, f"alone-{name}")) for name, (maker, _renews) in LOCKS.items()
        }

        def alone(name: str) -> Callable[[], float]:
            def turn() -> None:
                with made[name]():
                    pass

            turn()  # connections, scripts and the keeper are there before anything is timed
            return lambda: per_second(calls, turn)

        rates = interleaved(rounds, {name: alone(name) for name in LOCKS})
        shared = interleaved_pairs(rounds if chosen.short else 3, place, turns)
    tables = [
        Table(
            "**Alone.** Acquire + release of a free lock per second, one client: median (lowest to highest).",
            ("lock", "renewed by", "per second", "ours / theirs", ""),
            [
                (name, renewed, rates[name].text(), *_against(rates, name)) for name, (_maker, renewed) in LOCKS.items()
            ],
        ),
        Table(
            f"**In a queue.** Eight processes want one lock and hold it for {HELD_S * 1000:g} ms each; at most "
            f"{1 / HELD_S:.0f} turns a second are possible.",
            ("lock", "turns per second", "ours / theirs", "longest wait of any", ""),
            [
                (name, shared[name][0].text(), _against({n: s for n, (s, _w) in shared.items()}, name)[0],
                 f"{max(shared[name][1].rounds):.2f} s",
                 _against({n: s for n, (s, _w) in shared.items()}, name)[1])
                for name in LOCKS
            ],
        ),
    ]  # fmt: skip
    publish("locks", tables, short=chosen.short, write=chosen.write)
    return 0


def interleaved_pairs(rounds: int, place: Server, turns: int) -> dict[str, tuple[Spread, Spread]]:
    """`in_a_queue` of each lock in each round: turns a second, and longest waits."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in LOCKS}
    for _round in range(rounds):
        for name in LOCKS:
            taken[name].append(in_a_queue(place, name, turns))
    return {
        name: (Spread(tuple(one[0] for one in of)), Spread(tuple(one[1] for one in of))) for name, of in taken.items()
    }


def _against(rates: dict[str, Spread], name: str) -> tuple[str, str]:
    if name not in AGAINST:
        return "1.00", ""
    part = ratio_of(rates[AGAINST[name]], rates[name])
    return part.text("{:.2f}"), verdict(part.median > 1, "aim > 1")


if __name__ == "__main__":
    sys.exit(main())
