# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans drawn from a generator: Larrys, workers, and tasks whose dependencies cross Larrys; what a run reads of one."""

from __future__ import annotations

import random
from typing import Any

CAPABILITIES = ("dig", "saw", "weld")
# Long enough that no deadline of a phase or an attempt passes by itself while a fault is under way.
_PHASE_S = 7200
_ATTEMPT_S = 60


def draw_plan(rng: random.Random, tasks: int, larrys: int = 2, workers: int = 3) -> dict[str, Any]:
    """A canonical plan with `tasks` tasks; dependencies point backwards, so there is no cycle."""
    names = [f"larry-{number + 1:02d}" for number in range(larrys)]
    plan: dict[str, Any] = {
        "name": "chaos",
        "title": "Chaos",
        "cluster": "chaos",
        "time_scale": 1.0,
        "nodes": {"n": {"name": "n", "address": "10.0.0.1", "role": "worker"}},
        "larrys": {},
        "workers": {},
        "tasks": {},
        "budgets": {"emergency": tasks},
    }
    for larry in names:
        hands = [f"{larry}-w{number + 1}" for number in range(workers)]
        plan["larrys"][larry] = {
            "id": larry,
            "domain": "d-" + larry,
            "node": "n",
            "phase_s": _PHASE_S,
            "checkpoints": [{"at_s": 2, "progress": 40}],
            "masters": {},
            # Less than what the tasks ask for, so that the cap and the emergency pool are met.
            "tokens": max(200, tasks // larrys * 7),
            "workers": hands,
        }
        for place, worker in enumerate(hands):
            # Each capability has two workers at least, so that nobody is the only one.
            able = [CAPABILITIES[(place + step) % len(CAPABILITIES)] for step in range(2)]
            plan["workers"][worker] = {
                "id": worker,
                "name": worker,
                "larry": larry,
                "node": "n",
                "tokens": 10_000_000,
                "capabilities": able,
            }
    before: list[str] = []
    for index in range(tasks):
        larry = rng.choice(names)
        capability = rng.choice(CAPABILITIES)
        able = [w for w in plan["larrys"][larry]["workers"] if capability in plan["workers"][w]["capabilities"]]
        recent = before[-60:]
        hard = rng.sample(recent, min(len(recent), rng.choice((0, 0, 0, 1, 1, 2))))
        soft = [one for one in rng.sample(recent, min(len(recent), rng.choice((0, 0, 0, 1)))) if one not in hard]
        name = f"t-{index:06d}"
        plan["tasks"][name] = {
            "id": name,
            "larry": larry,
            "index": index,
            "capability": capability,
            "worker": rng.choice(able) if rng.random() < 0.3 else None,
            "depends_on": sorted(hard),
            "after": sorted(soft),
            "touches": ["bridge"] if rng.random() < 0.02 else [],
            "metered": rng.random() < 0.3,
            "planned_s": rng.choice((1, 2, 5)),
            "deadline_s": _ATTEMPT_S,
            "attempts": 4,
            "backoff_s": 0.02,
        }
        before.append(name)
    return plan
