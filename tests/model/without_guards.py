# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows that the model can fail: guards are taken out of the scripts, and the histories must find it.

    python tests/model/without_guards.py [--examples 600] [--only TEXT]

Prints each guard, the machine, and after how many histories the laws were broken. Ends with 1 if one was not found.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
for _path in ("playbooks/collections", "tests/tools", "tests/guards", "tests/model"):
    sys.path.insert(0, str(ROOT / _path))

import test_model  # noqa: E402
from guard_finder import find  # noqa: E402
from hypothesis import HealthCheck, Phase, seed, settings  # noqa: E402
from hypothesis.stateful import run_state_machine_as_test  # noqa: E402
from virtual_time import load_scripts, timed_scripts  # noqa: E402

from ansible_collections.cortex.larry.plugins.module_utils._coordination.lua.scripts import SCRIPTS  # noqa: E402

# Beginning of a guard's id -> the machine that should find it.
GUARDS = {
    "lease_look: NOW < tonumber(rec.deadline)": "locks",
    "lease_fence: math.max(last + 1, NOW) -> (NOW)": "locks",
    "projection_is_ours: value ~= rec.value": "locks",
    "projection_is_ours: F(redis.call('PEXPIRETIME'": "locks",
    "lease_clear: projection_is_ours(rec)": "locks",
    "lock_acquire: before": "locks",
    "lock_acquire: known > 0": "locks",
    "lock_release: recall(key)": "locks",
    "lock_release: (rec.token == args.token or args.force)": "locks",
    "lock_extend: state == 'held'": "locks",
    "renew: state == 'held'": "locks",
    "tokens_reserve: wanted > limit": "budgets",
    "tokens_reserve: kept": "budgets",
    "tokens_settle: tick()": "budgets",
    "tokens_settle: hold.larry ~= args.larry": "budgets",
    "tokens_settle: args.spent > hold.amount": "budgets",
    "task_settle: not held": "tasks",
    "task_settle: rec.fence ~= args.fence": "tasks",
    "task_settle: rec.controller ~= ctx.controller": "tasks",
    "task_settle: recall(key)": "tasks",
    "task_checkpoint: not held": "tasks",
    "task_claim: recall(wkey)": "tasks",
    "task_claim: lease_look('slot/' .. larry) ~= 'held'": "tasks",
    "task_claim: fields.status ~= 'in_progress'": "tasks",
    "release_dependent: kind == 'h' and parent_state ~= 'completed'": "tasks",
    "require_slot: rec.controller ~= ctx.controller": "tasks",
    "phase_start: fields.status ~= 'pending'": "tasks",
    "phase_turn: view.done": "tasks",
    "barrier_meet: #arrived >= needed and #missing == 0": "barrier-fail",
    "barrier_meet: outcome": "barrier-fail",
    "barrier_meet: generation > opened + 1": "barrier-fail",
    "barrier_meet: rec.controller ~= ctx.controller": "barrier-fail",
    "barrier_meet: #dead > 0 and policy == 'fail'": "barrier-fail",
    "barrier_meet: not same": "barrier-fail",
    "barrier_leave: rec.controller ~= ctx.controller": "barrier-wait",
}


def histories_until_found(machine: type, examples: int) -> int | None:
    """How many histories were made until the laws were broken, or None."""
    made = 0

    class Counted(machine):  # type: ignore[valid-type, misc]
        def __init__(self) -> None:
            nonlocal made
            made += 1
            super().__init__()

    seed(test_model.SEED)(Counted)
    try:
        run_state_machine_as_test(
            Counted,
            settings=settings(
                max_examples=examples, stateful_step_count=test_model.STEPS, deadline=None, database=None,
                suppress_health_check=list(HealthCheck), phases=[Phase.generate], print_blob=False,
            ),
        )  # fmt: skip
    except Exception:
        return made
    return None


def main() -> int:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=600)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    original = dict(SCRIPTS)
    guards = find(original)
    missed = 0
    server = test_model.server.__wrapped__() if hasattr(test_model.server, "__wrapped__") else None
    if server is None:
        server = test_model.server._get_wrapped_function()()
    next(server)
    try:
        for text, name in GUARDS.items():
            if options.only not in text:
                continue
            found = [guard for guard in guards if guard.id.startswith(text)]
            if not found:
                print(f"NOT THERE | {text}")
                missed += 1
                continue
            began = time.monotonic()
            SCRIPTS.update(original | found[0].without(original))
            with timed_scripts():
                load_scripts(test_model.Machine.plain)
                number = histories_until_found(test_model.MACHINES[name], options.examples)
            SCRIPTS.update(original)
            missed += number is None
            result = f"history {number}" if number else f"NOT FOUND in {options.examples}"
            print(f"{result} | {name} | {found[0].id} | {time.monotonic() - began:.1f} s", flush=True)
    finally:
        next(server, None)
    print(f"{missed} not found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
