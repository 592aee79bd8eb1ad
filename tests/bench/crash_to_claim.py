# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a holder's SIGKILL to the next claim of its task.

    python tests/bench/crash_to_claim.py [--short] [--write]

A controller (a process) claims a task with a TTL of 2 s; a second one waits for work. The first is killed: alone, so
that its keeper notices; or together with its keeper, so that nobody does and the lease has to lapse. Both ends are the
server's time: asked just before the kill, and the log's timestamp of the next claim.
"""

from __future__ import annotations

import datetime
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from measuring import Server, Spread, Table, options, publish, say, server, verdict
from product import LARRY, PhaseService, RunService, SlotService, TaskService, plan_of, session

TTL_MS = 2000
HOLDER, HEIR = "bench-worker-0", "bench-worker-1"


def hold(url: str, prefix: str) -> None:
    """The victim: joins, claims, says so, and works for ever."""
    made = session(url, prefix)
    RunService(made).join(plan_of(1, 2), "bench")
    SlotService(made).take(HOLDER, ttl_ms=TTL_MS)
    claimed = TaskService(made).claim(HOLDER, wait_s=10, ttl_ms=TTL_MS)
    print(claimed["status"], flush=True)
    while True:
        time.sleep(60)


def keepers_of(pid: int) -> list[int]:
    """The keeper that the process `pid` started, found by its parent and its command line."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1]) if entry.name.isdigit() else -1
            if parent == pid and b"larry-keeper" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def trial(place: Server, number: int, *, with_keeper: bool) -> float:
    """Seconds from the kill to the next claim."""
    prefix = f"crash{number}{'k' if with_keeper else ''}:"
    made = session(place.socket_url, prefix)
    RunService(made).join(plan_of(1, 2), "bench")
    slots = SlotService(made)
    slots.take(LARRY)
    PhaseService(made).start(LARRY)
    slots.take(HEIR)
    made.call("renew", {"only": ["none"]})
    victim = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), "hold", place.socket_url, prefix],
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        if victim.stdout is None or victim.stdout.readline().strip() != "claimed":
            sys.exit("the victim did not claim the task")
        time.sleep(0.3)  # its keeper has started and renewed once
        keepers = keepers_of(victim.pid)
        if len(keepers) != 1:
            sys.exit(f"the victim has {len(keepers)} keepers")
        killed = place.now_us()
        if with_keeper:
            os.kill(keepers[0], signal.SIGKILL)
        victim.kill()
        claimed = TaskService(made).claim(HEIR, wait_s=20, ttl_ms=60_000)
        if claimed["status"] != "claimed":
            sys.exit(f"the heir's claim answered {claimed}")
    finally:
        victim.kill()
        victim.wait()
    log = [json.loads(fields["m"]) for _id, fields in place.plain.xrange(prefix + "larry:log")]
    claims = [event for event in log if event["event"] == "task_claimed"]
    if [claim["worker"] for claim in claims] != [HOLDER, HEIR]:
        sys.exit(f"the log has the claims {claims}")
    moment = datetime.datetime.fromisoformat(claims[-1]["timestamp"].replace("Z", "+00:00"))
    TaskService(made).settle("t0", claimed["fence"], "completed", worker=HEIR, result={"summary": {}})
    return moment.timestamp() - killed / 1e6


def main() -> int:
    """Entry."""
    if sys.argv[1:2] == ["hold"]:
        hold(sys.argv[2], sys.argv[3])
        return 0
    chosen = options(__doc__)
    trials = 3 if chosen.short else 30
    times: dict[bool, list[float]] = {False: [], True: []}
    with server() as place:
        for number in range(trials):
            for with_keeper in (False, True):
                times[with_keeper].append(trial(place, number, with_keeper=with_keeper))
                say(f"trial {number + 1}, keeper killed too: {with_keeper}: {times[with_keeper][-1]:.3f} s")
    table = Table(
        f"TTL {TTL_MS / 1000:g} s, {trials} trials of each: median (lowest to highest).",
        ("killed", "until the next claim", ""),
        [
            (what, Spread(tuple(times[flag])).text("{:.3f} s"),
             verdict(max(times[flag]) <= 3, "each at most 3 s"))
            for what, flag in (("the controller", False), ("the controller and its keeper", True))
        ],
    )  # fmt: skip
    publish("crash", [table], short=chosen.short, write=chosen.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
