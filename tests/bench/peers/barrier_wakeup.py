# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How soon the waiters of a barrier go on, beside waiters that look every five seconds.

    python tests/bench/peers/barrier_wakeup.py [--short] [--write] [--members 32 128 512]

Each member is a process. Measured is the time from just before the last one arrives until each of the others goes on.
The pollers count themselves with INCR and look with GET every five seconds, from the moment they arrived.
"""

from __future__ import annotations

import gc
import multiprocessing
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import redis
from measuring import Server, Spread, Table, options, publish, say, server, verdict
from product import BarrierService, session

POLL_S = 5.0
_fork = multiprocessing.get_context("fork")


def _by_barrier(url: str, number: int, count: int) -> None:
    service = BarrierService(session(url, "bench:", member=False, keep=False, host=f"m{number}"))
    service.meet("bench", count=count, keep=False, ttl_ms=600_000, timeout_s=600)


def _by_polling(url: str, number: int, count: int) -> None:
    with redis.Redis.from_url(url) as client:
        if client.incr("arrived") >= count:
            return
        while int(client.get("arrived")) < count:
            time.sleep(POLL_S)


def _member(wait: Callable[..., None], url: str, number: int, count: int, pause: float, answers: Any) -> None:
    time.sleep(pause)
    wait(url, number, count)
    answers.put(time.monotonic())


def meet(place: Server, wait: Callable[..., None], arrived: Callable[[], int], count: int) -> list[float]:
    """Seconds from the last arrival until each member went on, in order."""
    place.plain.flushall()
    answers = _fork.Queue()
    # Members arrive over one interval of the pollers, so that those do not look all at once.
    over = POLL_S if wait is _by_polling else 0.0
    members = [
        _fork.Process(target=_member, args=(wait, place.url, number, count, random.uniform(0, over), answers))
        for number in range(count - 1)
    ]
    # Forks share the parent's pages as long as nobody's collector touches them.
    gc.freeze()
    for member in members:
        member.start()
    deadline = time.monotonic() + 300
    while arrived() < count - 1:
        if time.monotonic() > deadline:
            sys.exit(f"{arrived()} of {count - 1} members arrived at the barrier within 300 s")
        time.sleep(0.05)
    time.sleep(1.0)  # the last ones to arrive are asleep by then
    last = time.monotonic()
    wait(place.url, count - 1, count)
    times = sorted(answers.get(timeout=120) - last for _number in range(count - 1))
    for member in members:
        member.join(timeout=30)
    return times


def main() -> int:
    """Entry."""
    chosen = options(__doc__, lambda parser: parser.add_argument("--members", type=int, nargs="+"))
    sizes = chosen.members or ([32] if chosen.short else [32, 128, 512])
    rounds = 1 if chosen.short else 3
    table = Table(
        "From the last arrival until the others go on: median (lowest to highest) of the rounds.",
        ("members", "by the barrier: half of them", "the last of them", "polling every 5 s: half of them",
         "the last of them", "barrier / polling, half", "the last", "server time of one arrival", ""),
    )  # fmt: skip
    with server() as place:
        for count in sizes:
            ours, theirs, cost = [], [], []
            for number in range(rounds):
                place.plain.config_resetstat()
                ours.append(meet(place, _by_barrier, lambda: place.plain.hlen("bench:larry:arrived:bench"), count))
                calls, used = place.script_time()
                cost.append(used / max(1, calls))
                theirs.append(meet(place, _by_polling, lambda: int(place.plain.get("arrived") or 0), count))
                say(
                    f"{count} members, round {number + 1}: the last after {ours[-1][-1] * 1000:.0f} ms, "
                    f"by polling {theirs[-1][-1] * 1000:.0f} ms"
                )
            half = [Spread(tuple(times[len(times) // 2] for times in taken)) for taken in (ours, theirs)]
            last = [Spread(tuple(times[-1] for times in taken)) for taken in (ours, theirs)]
            table.rows.append(
                (str(count), half[0].text("{:.0f} ms", 1000), last[0].text("{:.0f} ms", 1000),
                 half[1].text("{:.0f} ms", 1000), last[1].text("{:.0f} ms", 1000),
                 f"{half[0].median / half[1].median:.3f}", f"{last[0].median / last[1].median:.3f}",
                 Spread(tuple(cost)).text("{:.0f} µs"), verdict(last[0].median < half[1].median, "last before half"))
            )  # fmt: skip
    publish("barrier", [table], short=chosen.short, write=chosen.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
