# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Histories of the lock, recorded from real processes under faults, are linearizable; and a broken lock is found out.

LARRY_LINEARIZABILITY_SECONDS makes the recording longer, LARRY_LINEARIZABILITY_SEED takes another seed; the program
tests/linearizability/recorder.py has all options.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from recorder import Plan, run
from worker import SABOTAGES

# Read here: the fixtures hide the variables of the caller.
SECONDS = float(os.environ.get("LARRY_LINEARIZABILITY_SECONDS", "18"))
SEED = int(os.environ.get("LARRY_LINEARIZABILITY_SEED", "20261121"))


@pytest.mark.timeout(120 + 4 * SECONDS)
def test_recorded_histories_are_linearizable(valkey: Any) -> None:
    plan = Plan(seed=SEED, seconds=SECONDS)
    right, text, recording = run(plan, valkey.socket_url)
    print(text)
    assert right, text
    # It was worth it: there was contention, there were faults, and answers were missing.
    answers = [(one.kind, (one.result or {"status": "lost"}).get("status")) for one in recording.operations]
    for wanted in (("acquire", "held"), ("acquire", "busy"), ("acquire", "lost"), ("force", "released")):
        assert wanted in answers, text
    assert recording.faults.get("cut") and recording.faults.get("stop", 0) + recording.faults.get("kill", 0), text
    assert len(answers) > 20 * SECONDS, text


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_broken_lock_is_found_out(valkey: Any, sabotage: str) -> None:
    """Each on its own: the guard is taken out of the script in the processes, and the search finds it."""
    text = ""
    for seed in range(1, 6):
        plan = Plan(seed=seed, seconds=3, processes=2, locks=1, fault_s=1.0, sabotage=sabotage)
        right, text, _recording = run(plan, valkey.socket_url)
        if not right:
            break
        with valkey.client() as client:
            client.flushall()
    assert "NOT LINEARIZABLE" in text, text
