# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs coordination under faults and checks every history. See docs/chaos.md.

python tests/chaos/run.py [--seed S] [--minutes M] [--tasks N] [--faults KINDS] [--forms library,controllers]
"""

from __future__ import annotations

import argparse
import itertools
import os
import secrets
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "playbooks" / "collections")]

from chaos_round import Outcome, Round, remove  # noqa: E402
from controllers_round import ControllersRound  # noqa: E402
from fault_schedule import GROUPS, wanted_kinds  # noqa: E402

FORMS = {"library": Round, "controllers": ControllersRound}
_ROUND_TASKS = 1000
_TASKS_OF_CONTROLLERS = 12


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", default=None, help="draws everything; a new one by default")
    parser.add_argument("--minutes", type=float, default=5.0, help="the runs are cancelled in time to end by then (5)")
    parser.add_argument("--tasks", type=int, default=0, help="end after so many tasks; 0: when the time is over (0)")
    parser.add_argument("--round-tasks", type=int, default=_ROUND_TASKS, help=f"tasks of a round ({_ROUND_TASKS})")
    parser.add_argument("--density", type=float, default=1.0, help="how many times the usual number of faults (1)")
    parser.add_argument("--faults", default="all", help="kinds and groups, separated by commas; -NAME leaves one out")
    parser.add_argument("--forms", default="library", help="library, controllers or both, separated by a comma")
    parser.add_argument("--first-round", type=int, default=1, help="begin with the round of this number")
    parser.add_argument("--go-on", action="store_true", help="go on after a round with violations")
    parser.add_argument("--keep", action="store_true", help="keep the artefacts of rounds without violations too")
    return parser.parse_args()


def main() -> int:
    wanted = arguments()
    seed = wanted.seed or secrets.token_hex(4)
    kinds = wanted_kinds(wanted.faults)
    forms = [FORMS[name] for name in wanted.forms.split(",")]
    print(f"seed {seed}")
    again = ["python", "tests/chaos/run.py", "--seed", seed, "--minutes", f"{wanted.minutes:g}"]
    again += ["--tasks", str(wanted.tasks), "--round-tasks", str(wanted.round_tasks), "--faults", wanted.faults]
    again += ["--density", f"{wanted.density:g}", "--forms", wanted.forms]
    print(f"again: {shlex.join(again)}", flush=True)
    base = Path(tempfile.mkdtemp(prefix="larry-chaos-"))
    # What the operator of the rounds remembers of them is not for other runs of this user.
    (base / "o").mkdir(mode=0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(base / "o")
    began = time.monotonic()
    end = began + wanted.minutes * 60
    outcomes: list[Outcome] = []
    try:
        for number, form, tasks in rounds(forms, wanted):
            left = end - time.monotonic()
            if left < min(one.room_s + one.least_s for one in forms):
                break
            if number < wanted.first_round:
                continue
            if left < form.room_s + form.least_s:
                print(f"round {number} ({form.form}): left out, {left:.0f} s are too short for it", flush=True)
                continue
            outcome = form(seed, number, tasks, kinds, base, end - form.room_s, wanted.density).run()
            outcomes.append(outcome)
            print(
                f"round {number} ({outcome.form}): {outcome.tasks} tasks, {outcome.calls} calls, "
                f"{sum(outcome.fired.values())} faults, {outcome.restarts} restarts, {outcome.log_entries} entries, "
                f"{outcome.seconds:.1f} s, {len(outcome.violations)} violations"
                + (" (not ended in time)" if outcome.no_end else " (cut short)" if outcome.cut_short else ""),
                flush=True,
            )
            if outcome.violations and not wanted.go_on:
                break
            if not (outcome.violations or wanted.keep):
                remove(outcome.directory)
    except KeyboardInterrupt:
        print("interrupted")
    table(outcomes, seed, time.monotonic() - began)
    for outcome in outcomes:
        if outcome.violations:
            print(f"\nArtefacts: {outcome.directory} (history.json, schedule.json, story.json, records/)")
            print(f"From this round on: {shlex.join([*again, '--first-round', str(outcome.number)])}")
            for violation in outcome.violations[:5]:
                print(violation)
    if any(outcome.violations for outcome in outcomes):
        return 1
    if not wanted.keep:
        remove(base)
    if not outcomes:
        print("No round fitted into the time, so nothing was shown: give it more minutes.")
        return 1
    return 0


def rounds(forms: list[type[Round]], wanted: argparse.Namespace) -> Iterator[tuple[int, type[Round], int]]:
    """Number, form and tasks of each round; the same for the same arguments, whichever one is begun with."""
    done = 0
    for number in itertools.count(1):
        form = forms[(number - 1) % len(forms)]
        tasks = _TASKS_OF_CONTROLLERS if form is ControllersRound else wanted.round_tasks
        if wanted.tasks:
            tasks = min(tasks, wanted.tasks - done)
        if tasks <= 0:
            return
        yield number, form, tasks
        done += tasks


def table(outcomes: list[Outcome], seed: str, seconds: float) -> None:
    """Faults by kind, tasks, duration, violations."""
    fired: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    away: set[str] = set()
    for outcome in outcomes:
        fired.update(outcome.fired)
        missed.update(outcome.missed)
        away |= outcome.unavailable
    print(f"\n{'fault':<20}{'fired':>8}{'not come up':>14}")
    for kinds in GROUPS.values():
        for kind in kinds:
            if fired[kind] or missed[kind] or kind in away:
                note = "   not available here" if kind in away else ""
                print(f"{kind:<20}{fired[kind]:>8}{missed[kind]:>14}{note}")
    tasks = sum(outcome.tasks for outcome in outcomes)
    print(
        f"\nseed {seed}: {len(outcomes)} rounds, {tasks} tasks, {sum(one.calls for one in outcomes)} calls, "
        f"{sum(fired.values())} faults, {sum(one.restarts for one in outcomes)} restarts of controllers, "
        f"{sum(one.log_entries for one in outcomes)} log entries, {seconds:.0f} s, "
        f"{sum(len(one.violations) for one in outcomes)} violations"
    )


if __name__ == "__main__":
    sys.exit(main())
