# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of a run, from its tasks and its event log.

Each figure is measured or it is ``None`` with a reason; none is estimated. `RUN_MEASURES` of the plan names those
that a criterion can use as ``run.<name>``, and says what they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .._plan.schema import RUN_MEASURES
from .events import (
    Event,
    format_gaps,
    larry_of,
    log_gaps,
    sequence_number,
    sequence_of,
    task_of,
)
from .times import parse_time, seconds_between

SETTLED = ("completed", "failed", "skipped")
EXECUTED = ("completed", "failed")

RESTS_ON: dict[str, str] = {
    "duplicated_tasks": "task_completed events",
    "settled_once": "task_completed, task_failed and task_skipped events",
    "acquisitions": "task_claimed and lease_acquired events",
    "refusals": "lease_refused events",
    "takeovers": "slot_taken_over events, and task_claimed events after lease_lapsed or lease_revoked",
    "fenced_completions": "completion_fenced events",
    "revoked": "lease_revoked events",
    "conflicts": "task_conflict events",
    "retries": "task_claimed events",
    "wall_seconds": "run.started_at and run.finished_at",
    "wall_minutes": "run.started_at and run.finished_at",
    "longest_larry_minutes": "larry.started_at and larry.completed_at",
    "coordination_overhead_percent": "ready_at, claimed_at and settled_at of the tasks, worker_registered events",
    "tokens_used_percent": "tokens of the files, budgets of the plan",
    "workers_off_node": "node and machine of the tasks and of worker_registered events",
    "log_complete": "ids of the events",
    "barrier_clean": "barrier_open and barrier_failed events",
    "catalogue_difference": "validation of the files and of the tasks",
    "critical_path_seconds": "claimed_at and settled_at of the tasks",
}
"""What in the final files a figure is computed from; the others count what their name says."""

Values = dict[str, Any]


def measure_run(
    *,
    plan: Mapping[str, Any],
    run: Mapping[str, Any],
    larrys: Mapping[str, Mapping[str, Any]],
    tasks: Mapping[str, Mapping[str, Any]],
    tokens: Mapping[str, Mapping[str, Any]],
    events: Sequence[Event],
    validation: Sequence[Mapping[str, Any]] = (),
    missing: Sequence[str] = (),
    conflicting: Sequence[int] = (),
) -> tuple[Values, dict[str, str]]:
    """All figures of `RUN_MEASURES`.

    Args:
        plan: The canonical plan.
        run: ``started_at``, ``finished_at``, ``created_at``, ``log_entries``.
        larrys: By id: ``status``, ``progress``, ``started_at``, ``completed_at``.
        tasks: By id, as in a final file.
        tokens: By Larry or shared account: ``used``, ``metered_requests``.
        events: The log, in any order.
        validation: What cross-validation found.
        missing: Larrys of the plan of which nothing is known, because their final file is not there.
        conflicting: Sequence numbers under which the files disagree.

    Returns:
        The figures (``None``: not measured), and for each that is ``None`` one sentence that says why.
    """
    events = sorted(events, key=sequence_of)
    values: Values = dict.fromkeys(RUN_MEASURES)
    reasons: dict[str, str] = {}
    absent = f"The final file of {', '.join(missing)} is not there." if missing else ""

    def put(value: Any, reason: str, *names: str) -> None:
        for name in names:
            values[name] = value if len(names) == 1 else value.get(name) if value else None
            if values[name] is None:
                reasons[name] = reason

    gaps = log_gaps(events, run.get("log_entries") or 0)
    values["log_entries"] = run.get("log_entries") or 0
    if not values["log_entries"]:
        log_reason = "There is no event log."
        put(None, log_reason, "log_complete")
    else:
        values["log_complete"] = not gaps and not conflicting
        log_reason = f"The event log lacks the entries {format_gaps(gaps)}." if gaps else ""
        if conflicting:
            log_reason = f"The files disagree on the log entries {', '.join(map(str, conflicting[:5]))}."
    whole = values["log_complete"] is True

    statuses = Counter(tasks[task]["status"] if task in tasks else None for task in plan["tasks"])
    counts = {f"{status}_tasks": statuses[status] for status in SETTLED}
    counts["unsettled_tasks"] = sum(statuses.values()) - sum(statuses[status] for status in SETTLED)
    put(None if missing else counts, absent, *counts)
    values["total_tasks"], values["total_larrys"] = len(plan["tasks"]), len(plan["larrys"])
    done = sum(1 for larry in plan["larrys"] if (larrys.get(larry) or {}).get("status") == "completed")
    put(None if missing else done, absent, "completed_larrys")

    settles = settlements(plan, events)
    completions = _count(events, plan, "task_completed")
    put(sum(1 for count in completions.values() if count > 1) if whole else None, log_reason, "duplicated_tasks")
    put(sum(1 for found in settles.values() if len(found) == 1) if whole else None, log_reason, "settled_once")
    put(lock_log(plan, events) if whole else None, log_reason, *LOCK_LOG)
    claims = _count(events, plan, "task_claimed")
    put(sum(count - 1 for count in claims.values()) if whole else None, log_reason, "retries")

    wall = wall_seconds(run, events)
    put(wall, "The run has no times of start and end.", "wall_seconds")
    put(
        None if wall is None else planned_minutes(plan, wall),
        "The run has no times of start and end.",
        "wall_minutes",
    )
    durations = larry_durations(plan, larrys)
    values["larrys"] = durations
    open_phases = [larry for larry, one in durations.items() if one["minutes"] is None]
    put(
        max((one["minutes"] for one in durations.values()), default=None) if not open_phases else None,
        absent or f"The phase of {', '.join(open_phases) or 'every Larry'} is not over.",
        "longest_larry_minutes",
    )
    put(*((None, absent) if absent else _overhead(tasks, events)), "coordination_overhead_percent")
    put(*_tokens_used(plan, tokens, absent), "tokens_used_percent")
    put(*_off_node(plan, tasks, events, absent), "workers_off_node")
    put(*_barrier_clean(plan, events), "barrier_clean")
    put(*_catalogue_difference(tasks, validation, missing), "catalogue_difference")
    chain = critical_path(plan, tasks)
    put(
        round(sum(one["seconds"] for one in chain), 6) if chain and not missing else None,
        absent or "No task was executed.",
        "critical_path_seconds",
    )
    return values, reasons


def _count(events: Sequence[Event], plan: Mapping[str, Any], kind: str) -> Counter[str]:
    """How often each task of the plan has an event of this kind."""
    tasks = (task_of(event, plan) for event in events if event.get("event") == kind)
    return Counter(task for task in tasks if task is not None)


LOCK_LOG = ("acquisitions", "refusals", "takeovers", "fenced_completions", "revoked", "conflicts")


_PLAIN_LOCK_EVENTS = {
    "task_claimed": "acquisitions",
    "lease_acquired": "acquisitions",
    "lease_refused": "refusals",
    "slot_taken_over": "takeovers",
    "completion_fenced": "fenced_completions",
    "lease_revoked": "revoked",
    "task_conflict": "conflicts",
}


def lock_log_events(
    plan: Mapping[str, Any], events: Sequence[Event], larry: str | None = None
) -> dict[str, list[Event]]:
    """The events that the counts of `lock_log` count, for the whole run or for one Larry."""
    found: dict[str, list[Event]] = {name: [] for name in LOCK_LOG}
    lost: set[str] = set()
    for event in sorted(events, key=sequence_of):
        kind, task = event.get("event"), task_of(event, plan)
        mine = larry is None or larry_of(event, plan) == larry
        if mine and kind in _PLAIN_LOCK_EVENTS:
            found[_PLAIN_LOCK_EVENTS[kind]].append(event)
        if kind in ("lease_lapsed", "lease_revoked") and task:
            lost.add(task)
        elif kind == "task_claimed" and task in lost:
            lost.discard(task)
            if mine:
                found["takeovers"].append(event)
        elif kind in ("task_completed", "task_failed", "task_skipped") and task:
            lost.discard(task)
    return found


def lock_log(plan: Mapping[str, Any], events: Sequence[Event], larry: str | None = None) -> dict[str, int]:
    """What the log says of leases, for the whole run or for one Larry: the counts of `LOCK_LOG`."""
    return {name: len(found) for name, found in lock_log_events(plan, events, larry).items()}


def settlements(plan: Mapping[str, Any], events: Sequence[Event]) -> dict[str, list[Event]]:
    """For each task of the plan the events that settled it, in order."""
    found: dict[str, list[Event]] = {task: [] for task in plan["tasks"]}
    for event in events:
        kind = event.get("event")
        if kind in ("task_completed", "task_skipped") or (kind == "task_failed" and event.get("final", True)):
            task = task_of(event, plan)
            if task is not None:
                found[task].append(event)
    return found


def wall_seconds(run: Mapping[str, Any], events: Sequence[Event]) -> float | None:
    """Real seconds of the run; to its last log entry when it is not finished."""
    end = run.get("finished_at")
    if not end:
        times = [event.get("timestamp") for event in events if sequence_number(event) is not None]
        end = max(times, key=lambda text: parse_time(text) or 0.0, default=None)
    return seconds_between(run.get("started_at") or run.get("created_at"), end)


def planned_minutes(plan: Mapping[str, Any], seconds: float) -> float:
    """Real seconds as planned minutes, rounded so that a threshold of whole minutes is not missed by binary digits."""
    return round(seconds * plan["time_scale"] / 60, 6)


def larry_durations(plan: Mapping[str, Any], larrys: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each Larry of the plan: status, progress, real seconds, planned minutes taken and planned minutes given."""
    found = {}
    for larry, spec in plan["larrys"].items():
        state = larrys.get(larry) or {}
        seconds = seconds_between(state.get("started_at"), state.get("completed_at"))
        found[larry] = {
            "status": state.get("status"),
            "progress": state.get("progress"),
            "seconds": seconds,
            "minutes": None if seconds is None else planned_minutes(plan, seconds),
            "planned_minutes": spec["phase_s"] / 60,
        }
    return found


def waits(tasks: Mapping[str, Mapping[str, Any]], events: Sequence[Event]) -> dict[str, dict[str, Any]]:
    """For each executed task how long it waited, and how long its accepted attempt took.

    Returns:
        By task: ``since`` (epoch seconds; when it was ready and its worker free), ``waited`` and ``executed`` in real
        seconds. Tasks without both times are left out. A pause of the run counts as waiting.
    """
    free: dict[str, list[float]] = {}
    for event in events:
        if event.get("event") in ("worker_registered", "task_completed", "task_failed", "task_skipped"):
            moment = parse_time(event.get("timestamp"))
            if moment is not None and isinstance(event.get("worker"), str):
                free.setdefault(event["worker"], []).append(moment)
    for state in tasks.values():
        moment = parse_time(state.get("settled_at"))
        if moment is not None and state.get("worker") and state.get("claimed_at"):
            free.setdefault(state["worker"], []).append(moment)
    found = {}
    for task, state in tasks.items():
        claimed, settled = parse_time(state.get("claimed_at")), parse_time(state.get("settled_at"))
        if state["status"] not in EXECUTED or claimed is None or settled is None:
            continue
        candidates = [moment for moment in free.get(state.get("worker") or "", []) if moment <= claimed]
        ready = parse_time(state.get("ready_at"))
        if ready is not None and ready <= claimed:
            candidates.append(ready)
        since = max(candidates, default=claimed)
        found[task] = {
            "since": since,
            "waited": round(claimed - since, 6),
            "executed": round(max(0.0, settled - claimed), 6),
        }
    return found


def _overhead(tasks: Mapping[str, Mapping[str, Any]], events: Sequence[Event]) -> tuple[float | None, str]:
    found = waits(tasks, events).values()
    waited, executed = sum(one["waited"] for one in found), sum(one["executed"] for one in found)
    if not found:
        return None, "No task was executed."
    if waited + executed <= 0:
        return None, "The executed tasks took no measurable time."
    return round(100 * waited / (waited + executed), 6), ""


def _tokens_used(
    plan: Mapping[str, Any], tokens: Mapping[str, Mapping[str, Any]], absent: str
) -> tuple[float | None, str]:
    if absent:
        return None, absent
    if not sum(one.get("metered_requests") or 0 for one in tokens.values()):
        return None, "No metered request was made."
    budget = (plan.get("budgets") or {}).get("total")
    if not budget:
        return None, "The plan has no token budget."
    return round(100 * sum(one.get("used") or 0 for one in tokens.values()) / budget, 6), ""


def _off_node(
    plan: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]], events: Sequence[Event], absent: str
) -> tuple[int | None, str]:
    if absent:
        return None, absent
    executed = {task: state for task, state in tasks.items() if state["status"] in EXECUTED}
    if not executed:
        return None, "No task was executed."
    off = 0
    for task, state in executed.items():
        machine, node = state.get("machine") or {}, state.get("node")
        if not node or not machine.get("machine_id") or not machine.get("hostname"):
            return None, f"The task {task} has no evidence of the machine it ran on."
        spec = plan["nodes"].get(node) or {}
        names = {str(machine["hostname"]).lower(), str(machine["hostname"]).split(".", maxsplit=1)[0].lower()}
        addresses = machine.get("addresses") or []
        off += not (node.lower() in names or (isinstance(addresses, list) and spec.get("address") in addresses))
    # All that is known of machines counts here, not the executed tasks alone: where any two nodes are one machine,
    # the nodes of this run are names, and a match or a mismatch of one of them says nothing.
    seen = [state for state in tasks.values() if state.get("node")]
    seen += [event for event in events if event.get("event") == "worker_registered"]
    nodes_of: dict[str, set[str]] = {}
    for one in seen:
        machine = one.get("machine")
        if isinstance(machine, Mapping) and machine.get("machine_id") and isinstance(one.get("node"), str):
            nodes_of.setdefault(str(machine["machine_id"]), set()).add(one["node"])
    for nodes in nodes_of.values():
        if len(nodes) > 1:
            return None, f"The nodes {', '.join(sorted(nodes))} are one machine here, so nothing tells them apart."
    return off, ""


def _barrier_clean(plan: Mapping[str, Any], events: Sequence[Event]) -> tuple[bool | None, str]:
    if any(event.get("event") == "barrier_failed" for event in events):
        return False, ""
    opened = [event for event in events if event.get("event") == "barrier_open"]
    if not opened:
        return None, "No barrier has opened in the log."
    wanted = set(plan["larrys"])
    for event in opened:
        members = event.get("members")
        if isinstance(members, list):
            named = {str(one) for one in members}
            # Members of a plan's barrier are its Larrys; one that counts by other names is compared by number.
            if wanted <= named or (not wanted & named and len(named) >= len(wanted)):
                return True, ""
        elif isinstance(members, int) and members >= len(wanted):
            return True, ""
    return False, ""


def _catalogue_difference(
    tasks: Mapping[str, Mapping[str, Any]], validation: Sequence[Mapping[str, Any]], missing: Sequence[str]
) -> tuple[float | None, str]:
    """The sum over what was measured: by cross-validation, else by the tasks' own ``validation``."""
    sources = [one.get("measures") for one in validation]
    found = _differences(sources)
    if not found:
        results = [state.get("result") or {} for state in tasks.values()]
        found = _differences([one.get("validation") for one in results])
    if not found:
        lacking = f" (the final file of {', '.join(missing)} is not there)" if missing else ""
        return None, f"Nothing compared a catalogue with the estate{lacking}."
    return sum(found), ""


def _differences(sources: Sequence[Any]) -> list[float]:
    found = [one.get("catalogue_difference") for one in sources if isinstance(one, Mapping)]
    return [one for one in found if isinstance(one, (int, float)) and not isinstance(one, bool)]


def topological(plan: Mapping[str, Any]) -> list[str]:
    """Tasks with what they depend on before them, else in plan order; what hangs in a cycle is left out."""
    needed = {task: set(spec["depends_on"]) | set(spec["after"]) for task, spec in plan["tasks"].items()}
    after: dict[str, list[str]] = {task: [] for task in needed}
    for task, needs in needed.items():
        for one in needs:
            after[one].append(task)
    left = {task: len(needs) for task, needs in needed.items()}
    by_index = sorted(plan["tasks"], key=lambda task: plan["tasks"][task]["index"])
    ready, order = [task for task in by_index if not left[task]], []
    while ready:
        following = []
        for task in ready:
            order.append(task)
            for one in after[task]:
                left[one] -= 1
                if not left[one]:
                    following.append(one)
        ready = sorted(following, key=lambda task: plan["tasks"][task]["index"])
    return order


def planned_schedule(plan: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """When each task would run if all took their planned time: start and end in planned seconds.

    Each task starts as soon as what it depends on is settled and its worker is free; a worker does one task at a time.
    """
    ends: dict[str, tuple[float, float]] = {}
    free: dict[str, float] = {}
    for task in topological(plan):
        spec = plan["tasks"][task]
        start = max((ends[one][1] for one in (*spec["depends_on"], *spec["after"])), default=0.0)
        worker = spec.get("worker")
        if worker:
            start = max(start, free.get(worker, 0.0))
            free[worker] = start + spec["planned_s"]
        ends[task] = (start, start + spec["planned_s"])
    return ends


def critical_path(plan: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The chain of dependent tasks (``depends_on`` and ``after``) whose accepted attempts took longest together.

    Returns:
        In order of execution: ``task``, ``seconds`` (real), ``claimed_at``, ``settled_at``; empty if none was executed.
    """
    best: dict[str, tuple[float, str | None]] = {}
    for task in topological(plan):
        state, spec = tasks.get(task) or {}, plan["tasks"][task]
        seconds = 0.0
        if state.get("status") in EXECUTED:
            seconds = max(0.0, seconds_between(state.get("claimed_at"), state.get("settled_at")) or 0.0)
        before = max((*spec["depends_on"], *spec["after"]), key=lambda one: best.get(one, (0.0, None))[0], default=None)
        best[task] = (seconds + (best.get(before, (0.0, None))[0] if before else 0.0), before)
    last: str | None = max(best, key=lambda task: best[task][0], default=None)
    if last is None or best[last][0] <= 0:
        return []
    chain: list[dict[str, Any]] = []
    while last is not None:
        state, before = tasks.get(last) or {}, best[last][1]
        seconds = best[last][0] - (best[before][0] if before else 0.0)
        if seconds > 0:
            chain.append(
                {
                    "task": last,
                    "seconds": round(seconds, 6),
                    "claimed_at": state.get("claimed_at"),
                    "settled_at": state.get("settled_at"),
                }
            )
        last = before
    return chain[::-1]
