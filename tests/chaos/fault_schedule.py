# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The faults by name and group, and a schedule of them drawn from one generator.

A fault is due at a number of calls, not at a time, so that a schedule falls on the same stretch of work on a fast and
on a slow machine. Which process it hits is drawn as a fraction and picked among those that are there at that moment.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Any

from faulty_proxy import CALL_FAULTS

GROUPS: dict[str, list[str]] = {
    "calls": CALL_FAULTS,
    "network": ["cut"],
    "processes": [
        "kill_fork",
        "stop_fork",
        "kill_controller",
        "stop_controller",
        "kill_keeper",
        "stop_keeper",
        "kill_both",
        "reuse_pid",
    ],
    "server": ["kill_server", "pause_server", "script_flush"],
    "clock": ["clock_forward", "clock_back"],
    "operators": ["delete_task_lock", "set_task_lock", "delete_lock", "pause_and_resume"],
    # What loses history on the server: the clients must notice it, and an operator opens a new epoch.
    "history": ["truncate", "older_snapshot", "flushall"],
}

# Faults for each 1,000 tasks, by group. A fault of a process or the server costs a TTL or more, one of a call little.
PER_1000 = {"calls": 66, "network": 2, "processes": 12, "server": 4, "clock": 2, "operators": 16, "history": 3}
CALLS_FOR_A_TASK = 4
_SCRIPTS = {
    "task_claim": 4,
    "task_settle": 5,
    "task_checkpoint": 2,
    "lock_acquire": 3,
    "lock_release": 3,
    "tokens_reserve": 3,
    "tokens_settle": 2,
    "slot_take": 1,
    "renew": 2,
    "barrier_meet": 1,
    "event_publish": 2,
    "*": 4,
}
# How often a script is called for each task, about, so that a rule for it comes up within the round.
_SHARE = {
    "task_claim": 1.2,
    "task_settle": 1.0,
    "task_checkpoint": 1.5,
    "lock_acquire": 0.12,
    "lock_release": 0.1,
    "tokens_reserve": 0.25,
    "tokens_settle": 0.2,
    "slot_take": 0.01,
    "renew": 0.05,
    "barrier_meet": 0.02,
    "event_publish": 0.08,
    "*": 5.0,
}


@dataclass
class Fault:
    """One fault of a schedule: due at the call `at`, `seconds` long, `pick` in [0, 1) chooses what it hits."""

    number: int
    kind: str
    group: str
    at: int
    seconds: float
    pick: float
    script: str = "*"

    def as_rule(self) -> dict[str, Any]:
        """For the proxy."""
        return {"id": self.number, "script": self.script, "nth": self.at, "fault": self.kind, "seconds": self.seconds}

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def wanted_kinds(text: str) -> list[str]:
    """Kinds of a comma-separated list of kinds and groups; `all` is every one; `-name` takes away."""
    chosen: list[str] = []
    for word in [one.strip() for one in text.split(",") if one.strip()]:
        take = not word.startswith("-")
        name = word.lstrip("-")
        if name in ("all", "none"):
            found = [kind for kinds in GROUPS.values() for kind in kinds] if name == "all" else []
        elif name in GROUPS:
            found = GROUPS[name]
        elif any(name in kinds for kinds in GROUPS.values()):
            found = [name]
        else:
            known = ", ".join([*GROUPS, *(kind for kinds in GROUPS.values() for kind in kinds)])
            raise SystemExit(f"There is no fault {name}; there are: all, none, {known}.")
        if not chosen and not take:
            chosen = [kind for kinds in GROUPS.values() for kind in kinds]
        chosen = [kind for kind in chosen if kind not in found] + (found if take else [])
    return chosen


def draw_schedule(rng: random.Random, kinds: list[str], tasks: int, ttl_s: float, density: float = 1.0) -> list[Fault]:
    """The faults of one round, in the order of their calls; `density` times as many as PER_1000 says."""
    drawn: list[Fault] = []
    calls = tasks * CALLS_FOR_A_TASK
    for group, members in GROUPS.items():
        able = [kind for kind in members if kind in kinds]
        if not able:
            continue
        number = max(1, round(PER_1000[group] * density * tasks / 1000))
        # Every kind comes up before one comes up again; where there is room for fewer, chance decides.
        deck: list[str] = []
        for _number in range(number):
            if not deck:
                deck = rng.sample(able, len(able))
            kind = deck.pop()
            script = rng.choices(list(_SCRIPTS), list(_SCRIPTS.values()))[0] if group == "calls" else "*"
            about = tasks * _SHARE[script] if group == "calls" else calls
            at = int(rng.uniform(0.02, 0.8) * about) + 1
            drawn.append(Fault(0, kind, group, at, _length(rng, kind, ttl_s), rng.random(), script))
    drawn.sort(key=lambda fault: fault.at)
    for number, fault in enumerate(drawn):
        fault.number = number
    return drawn


def draw_lengths(
    rng: random.Random, kinds: list[str], number: int, calls: tuple[int, int], ttl_s: float
) -> list[Fault]:
    """A number of faults between two calls, every group as likely as another; for a round with few tasks."""
    drawn = []
    groups = {group: [kind for kind in members if kind in kinds] for group, members in GROUPS.items()}
    able = [group for group, members in groups.items() if members]
    for _number in range(number if able else 0):
        group = rng.choice(able)
        kind = rng.choice(groups[group])
        drawn.append(Fault(0, kind, group, rng.randint(*calls), _length(rng, kind, ttl_s), rng.random()))
    drawn.sort(key=lambda fault: fault.at)
    for place, fault in enumerate(drawn):
        fault.number = place
    return drawn


def _length(rng: random.Random, kind: str, ttl_s: float) -> float:
    """Seconds that a fault lasts, or that the clock jumps."""
    if kind in ("delay_request", "delay_reply", "late_duplicate"):
        # Sometimes longer than a client waits for an answer, which then asks again while the first call is on its way.
        return round(rng.choice((rng.uniform(0.005, 0.2), rng.uniform(0.2, 1.0), rng.uniform(3.2, 4.0))), 3)
    if kind.startswith("stop_") or kind in ("cut", "reuse_pid"):
        return round(ttl_s * rng.uniform(1.1, 2.0), 3)
    if kind == "pause_server":
        return round(rng.choice((0.3, ttl_s * 1.5)), 3)
    if kind == "clock_forward":
        return round(rng.choice((0.5, ttl_s * 0.9, ttl_s * 3, 30.0)), 3)
    if kind == "clock_back":
        return round(rng.choice((0.5, ttl_s, ttl_s * 2)), 3)
    if kind == "set_task_lock":
        return float(rng.choice((1, 2, 3)))
    return round(rng.uniform(0.05, 0.6), 3)
