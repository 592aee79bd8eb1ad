# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts of the protocol, put together from their parts: name -> Lua text."""

from __future__ import annotations

from . import barrier, history, lease, phase, run, task, tokens
from .core import CORE, DISPATCH
from .graph import GRAPH

_LOCKS = CORE + lease.LEASE + lease.LOCK
_RUNS = CORE + lease.LEASE + lease.LOCK + GRAPH + tokens.TOKENS + history.HISTORY

SCRIPTS: dict[str, str] = {
    "lock_acquire": _LOCKS + lease.LOCK_ACQUIRE,
    "lock_release": _LOCKS + lease.LOCK_RELEASE,
    "lock_extend": _LOCKS + lease.LOCK_EXTEND,
    "lock_check": _LOCKS + lease.LOCK_CHECK,
    "run_join": _RUNS + run.RUN_JOIN,
    "run_begin": _RUNS + run.RUN_BEGIN,
    "run_load": _RUNS + run.RUN_LOAD,
    "run_open": _RUNS + run.RUN_OPEN,
    "run_reopen": _RUNS + run.RUN_REOPEN,
    "run_finish": _RUNS + run.RUN_FINISH,
    "run_recover": _RUNS + history.RUN_RECOVER,
    "run_delete": _RUNS + run.RUN_DELETE,
    "slot_take": _RUNS + run.SLOT_TAKE,
    "slot_leave": _RUNS + run.SLOT_LEAVE,
    "renew": _RUNS + run.RENEW,
    "gone": _RUNS + run.GONE,
    "task_claim": _RUNS + task.TASK_CLAIM,
    "task_settle": _RUNS + task.TASK_SETTLE,
    "task_checkpoint": _RUNS + task.TASK_CHECKPOINT,
    "task_why": _RUNS + task.TASK_WHY,
    "phase_start": _RUNS + phase.PHASE_START,
    "phase_turn": _RUNS + phase.PHASE_TURN,
    "control": _RUNS + phase.CONTROL,
    "barrier_meet": _RUNS + barrier.BARRIER + barrier.BARRIER_MEET,
    "barrier_leave": _RUNS + barrier.BARRIER + barrier.BARRIER_LEAVE,
    "barrier_look": _RUNS + barrier.BARRIER + barrier.BARRIER_LOOK,
    "tokens_reserve": _RUNS + tokens.TOKENS_RESERVE,
    "tokens_settle": _RUNS + tokens.TOKENS_SETTLE,
    "event_publish": _RUNS + tokens.EVENT_PUBLISH,
    "journal_deliver": _RUNS + history.JOURNAL_DELIVER,
}

for _name in SCRIPTS:
    SCRIPTS[_name] += DISPATCH
