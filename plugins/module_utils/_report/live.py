# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view of a run, from its events: plain lines and a small table. Text only, hostile strings escaped."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from .._text import escape_terminal
from .events import Event, larry_of, lost_kind, sequence_number
from .times import clock_time, format_seconds, parse_time

_ALERTS = (
    "worker_failure",
    "task_conflict",
    "critical_cve",
    "rollback_initiated",
    "barrier_failed",
    "phase_failed",
    "controller_gone",
    "lease_revoked",
    "lease_lapsed",
    "completion_fenced",
    "behind_plan",
    "overdue",
    "tokens_reserve_deployed",
)
_SETTLED_BY = {"task_completed": "completed", "task_skipped": "skipped"}
_ALERTS_KEPT = 20
_SEEN_KEPT = 100_000

# What each event says. A field that the event lacks reads as "-"; events that are not here show their fields as such.
_LINES = {
    "run_created": "run created: plan {plan}, {tasks} tasks",
    "run_joined": "controller {controller} joined from {host} (pid {pid})",
    "run_complete": "run {state}",
    "phase_started": "phase started",
    "phase_complete": "phase completed: {completed} completed, {failed} failed, {skipped} skipped",
    "phase_failed": "PHASE FAILED: {cause}",
    "behind_plan": "behind plan: {progress} % where {expected} % is expected",
    "overdue": "overdue: {task_id_or_larry}",
    "worker_registered": "{worker} registered for {node}",
    "task_claimed": "{task_id} claimed by {worker}{attempt_note}",
    "task_completed": "{task_id} completed{duration_note}",
    "task_failed": "{task_id} FAILED{attempt_note}: {cause}",
    "task_skipped": "{task_id} skipped: {cause}",
    "task_reopened": "{task_id} is open again",
    "task_requeued": "{task_id} is queued again: {cause}",
    "lease_revoked": "lease revoked: {resource}",
    "lease_lapsed": "lease lapsed: {resource}, held by {holder}",
    "lease_acquired": "{resource} taken by {holder}",
    "lease_released": "{resource} given up by {holder}",
    "cross_validated": "validated {of}",
    "lease_refused": "lease refused: {resource} to {by}, held by {owner}",
    "completion_fenced": "completion refused: {task_id} by {worker}: {cause}",
    "task_conflict": "CONFLICT: {task_id} is held by {owner}",
    "worker_failure": "{failure_note}: {worker}: {cause}",
    "slot_taken_over": "slot {slot} taken over from {previous}",
    "tokens_reserve_deployed": "emergency pool: {drawn} tokens drawn, {left} left",
    "critical_cve": "CRITICAL: {cve_id} in {affected_service}",
    "paused": "paused: {scope} {name}: {reason}",
    "resumed": "resumed: {scope} {name}",
    "rollback_initiated": "ROLLBACK initiated",
    "barrier_arrived": "arrived at the barrier {barrier}: {member}",
    "barrier_open": "barrier {barrier} is open",
    "barrier_failed": "BARRIER FAILED: {barrier}: {cause}",
    "controller_gone": "controller {controller} is gone: {cause}",
}
_FAILED = {"worker": "WORKER FAILED", "larry": "LARRY LOST", "member": "MEMBER LOST"}
# Told by what follows it (the claim), or only of use to a machine.
_SILENT = ("task_ready",)
_QUIET = ("id", "from", "event", "timestamp", "run")


class _Fields(dict):  # type: ignore[type-arg]
    def __missing__(self, _name: str) -> str:
        return "-"


def _show(value: object, limit: int = 160) -> str:
    return "-" if value is None or value == "" else escape_terminal(value, limit)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _figure(value: object) -> float | None:
    """A number, also where a server gave it as text."""
    try:
        return float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None
    except ValueError:
        return None


class LiveView:
    """What is known of a run from the events seen so far.

    Events may come late, twice, and out of order with the public progress; those with an id count once. Nothing here
    blocks or reads a clock.

    Args:
        plan: The canonical plan, for totals and expected progress; ``None`` when only events are known.
        unicode: Whether bars may use block characters; the default is ASCII.
    """

    def __init__(self, plan: Mapping[str, Any] | None = None, *, unicode: bool = False) -> None:
        self.plan = plan
        self.unicode = unicode
        self.state = "waiting"
        self.run: str | None = None
        self.alerts: deque[str] = deque(maxlen=_ALERTS_KEPT)
        self.started: float | None = None
        self.last: float | None = None
        self._seen: set[int] = set()
        self._order: deque[int] = deque()
        self._larrys: dict[str, dict[str, Any]] = {}
        self._tasks: dict[str, dict[str, Any]] = {}
        self._told: dict[str, int] = {}
        for larry in plan["larrys"] if plan else ():
            self._larry(larry)

    # --- events in ---

    def apply(self, event: Event) -> bool:
        """Take one event in; ``False`` if it was there already or is no event."""
        name = event.get("event")
        if not isinstance(name, str):
            return False
        number = sequence_number(event)
        if number is not None:
            if number in self._seen:
                return False
            self._remember(number)
        moment = parse_time(event.get("timestamp"))
        if moment is not None:
            self.last = moment if self.last is None else max(self.last, moment)
            self.started = moment if self.started is None else min(self.started, moment)
        self.run = _text(event.get("run")) or self.run
        if name == "run_complete":
            self.state = _show(event.get("state"), 20)
        elif self.state == "waiting":
            self.state = "running"
        larry = self._larry_of(event)
        if larry is not None:
            self._apply_to_larry(name, self._larry(larry), event, moment)
        self._apply_to_task(name, event, larry, moment)
        if name in _ALERTS or (name == "task_failed" and event.get("final", True)):
            self.alerts.extend(self.lines_for(event))
        return True

    def _remember(self, number: int) -> None:
        # A long run must not grow without bound: what is older than the last hundred thousand is not sent again.
        self._seen.add(number)
        self._order.append(number)
        if len(self._order) > _SEEN_KEPT:
            self._seen.discard(self._order.popleft())

    def _larry(self, larry: str) -> dict[str, Any]:
        return self._larrys.setdefault(
            larry, {"status": "pending", "progress": None, "started": None, "ended": None, "running": {}}
        )

    def _larry_of(self, event: Event) -> str | None:
        if self.plan:
            return larry_of(event, self.plan)
        larry = _text(event.get("larry"))
        if larry is None:
            larry = self._tasks.get(_text(event.get("task_id")) or "", {}).get("larry")
        return None if str(event.get("event")).startswith(("run_", "barrier_")) else larry

    def _apply_to_larry(self, name: str, state: dict[str, Any], event: Event, moment: float | None) -> None:
        if name == "phase_started":
            state.update(status="in_progress", started=state["started"] or moment, ended=None)
        elif name in ("phase_complete", "phase_failed"):
            state.update(status="completed" if name == "phase_complete" else "failed", ended=moment, running={})
        elif name == "progress_update":
            progress = _figure(event.get("progress"))
            if progress is not None:
                state["progress"] = min(100.0, max(0.0, progress))

    def _apply_to_task(self, name: str, event: Event, larry: str | None, moment: float | None) -> None:
        task = _text(event.get("task_id"))
        if task is None or (self.plan and task not in self.plan["tasks"]):
            return
        state = self._tasks.setdefault(task, {"larry": larry, "status": "pending", "claimed": None})
        state["larry"] = larry or state["larry"]
        running = self._larrys[state["larry"]]["running"] if state["larry"] in self._larrys else {}
        if name == "task_claimed":
            state.update(status="in_progress", claimed=moment)
            running[task] = _show(event.get("worker"), 60)
        elif name in _SETTLED_BY:
            state["status"] = _SETTLED_BY[name]
            running.pop(task, None)
        elif name == "task_failed":
            state["status"] = "failed" if event.get("final", True) else "pending"
            running.pop(task, None)
        elif name == "task_requeued":
            state["status"] = "pending"
            running.pop(task, None)
        if name in ("task_completed", "task_failed") and moment is not None and state["claimed"] is not None:
            state["took"] = moment - state["claimed"]

    # --- lines out ---

    def lines_for(self, event: Event) -> list[str]:
        """One event as plain lines, ``HH:MM:SS  larry-01  what happened``; none for what is not worth a line
        (`task_ready`).

        Call it after `apply`, so that a completed task can say how long it took. Progress has a line only where it
        passed a quarter.
        """
        name = event.get("event")
        if not isinstance(name, str) or name in _SILENT:
            return []
        larry = self._larry_of(event)
        who = _show(larry if larry is not None else "run", 24)
        if name == "progress_update":
            what = self._progress_line(larry, event)
            if what is None:
                return []
        elif name in _LINES:
            what = _LINES[name].format_map(self._fields(event))
        else:
            fields = [f"{key}={_show(value, 60)}" for key, value in event.items() if key not in _QUIET]
            what = escape_terminal(f"{name} {' '.join(fields)}", 300).strip()
        return [f"{clock_time(event.get('timestamp'))}  {who:<12}  {what}"]

    def _fields(self, event: Event) -> _Fields:
        data = event.get("data")
        known = {**(data if isinstance(data, Mapping) else {}), **event}
        fields = _Fields({str(key): _show(value) for key, value in known.items()})
        fields["task_id_or_larry"] = _show(event.get("task_id") or event.get("larry"))
        fields["failure_note"] = _FAILED[lost_kind(event)]
        attempt = _figure(event.get("attempt"))
        fields["attempt_note"] = f" (attempt {attempt:g})" if attempt is not None and attempt > 1 else ""
        took = self._tasks.get(_text(event.get("task_id")) or "", {}).get("took")
        fields["duration_note"] = "" if took is None else f" in {format_seconds(took)}"
        return fields

    def _progress_line(self, larry: str | None, event: Event) -> str | None:
        progress = _figure(event.get("progress"))
        if larry is None or progress is None:
            return None
        quarter = int(min(100.0, max(0.0, progress)) // 25)
        if quarter <= self._told.get(larry, 0):
            return None
        self._told[larry] = quarter
        return f"progress {progress:.0f} %"

    # --- the table out ---

    def progress(self, larry: str) -> float:
        """Percent of a Larry: as last told, or by the planned time of its settled tasks if that is more."""
        state = self._larrys.get(larry) or {}
        told = state.get("progress") or 0.0
        if state.get("status") == "completed":
            return 100.0
        if not self.plan:
            return told
        own = {task: spec for task, spec in self.plan["tasks"].items() if spec["larry"] == larry}
        total = sum(spec["planned_s"] for spec in own.values())
        done = sum(spec["planned_s"] for task, spec in own.items() if self._is_settled(task))
        return max(told, 100.0 * done / total if total else 0.0)

    def expected(self, larry: str, now: float) -> float | None:
        """Percent that the plan expects of a Larry at `now`: straight lines between its checkpoints."""
        state = self._larrys.get(larry) or {}
        if not self.plan or state.get("started") is None:
            return None
        spec = self.plan["larrys"][larry]
        elapsed = max(0.0, (state["ended"] or now) - state["started"]) * self.plan["time_scale"]
        points = [(0.0, 0.0)]
        points += [(one["at_s"], one["progress"]) for one in spec.get("checkpoints") or []]
        points.append((spec["phase_s"], 100.0))
        points.sort()
        for (before, low), (after, high) in zip(points, points[1:], strict=False):
            if elapsed <= after:
                return low + (high - low) * (elapsed - before) / (after - before) if after > before else high
        return 100.0

    def table(self, width: int = 80, now: datetime | str | float | None = None, *, height: int = 24) -> str:
        """A compact table: a row for each Larry, then the last alerts.

        Args:
            width: Columns of the terminal; no line is longer, from 40 on.
            now: The moment it is for (epoch seconds, ISO 8601 or an aware datetime); default: the last event's.
            height: Most lines of the whole table, at least 4.
        """
        width, height = max(40, width), max(4, height)
        moment = now.timestamp() if isinstance(now, datetime) else parse_time(now) if isinstance(now, str) else now
        moment = moment if moment is not None else self.last or 0.0
        elapsed = format_seconds(max(0.0, moment - self.started)) if self.started is not None else "-"
        title = escape_terminal(self.plan["title"] if self.plan else "run", 40)
        lines = [self._fit(f"{title}  {_show(self.run, 24)}  {self.state}  {elapsed}", width)]
        bar_width = 20 if width >= 100 else 10 if width >= 64 else 0
        column = bar_width + 7 if bar_width else 8
        head = f"{'Larry':<12} {'Status':<11} {'Progress':<{column}} {'Plan':>5} {'Tasks':>7}  Running"
        lines.append(self._fit(head, width))
        larrys = list(self._larrys)
        room = height - 2
        alerts = min(len(self.alerts), 4, max(0, room - min(len(larrys), room - 1)))
        # Those at work are what a reader looks for when not all fit.
        shown = larrys
        if len(larrys) > room - alerts:
            active = sorted(larrys, key=lambda larry: self._larrys[larry]["status"] != "in_progress")
            shown = active[: max(0, room - alerts - 1)]
        for larry in shown:
            row, running = self._row(larry, bar_width, moment), self._running(larry)
            # What runs goes below its row where the row has no place for it and the height allows it.
            below = running != "-" and len(row) + len(running) > width and 2 * len(shown) + alerts <= room
            lines.append(self._fit(row if below else row + running, width))
            if below:
                lines.append(self._fit(f"{'':<13}{running}", width))
        if len(shown) < len(larrys):
            lines.append(self._fit(f"... and {len(larrys) - len(shown)} more Larrys", width))
        lines += [self._fit(f"! {line}", width) for line in list(self.alerts)[-alerts:] if alerts]
        return "\n".join(lines[:height])

    def _row(self, larry: str, bar_width: int, now: float) -> str:
        state = self._larrys[larry]
        progress, expected = self.progress(larry), self.expected(larry, now)
        own = self._own_tasks(larry)
        settled = sum(1 for task in own if self._is_settled(task))
        total = str(len(own)) if self.plan else "?"
        plan = "-" if expected is None else f"{expected:.0f} %"
        shown = f"{self._bar(progress, expected, bar_width)} {progress:3.0f} %" if bar_width else f"{progress:6.0f} %"
        name = escape_terminal(larry, 60)
        name = name if len(name) <= 12 else name[:11] + "~"
        return f"{name:<12} {state['status']:<11} {shown} {plan:>5} {f'{settled}/{total}':>7}  "

    def _running(self, larry: str) -> str:
        running = self._larrys[larry]["running"].items()
        told = ", ".join(f"{self._short_worker(larry, worker)}:{task}" for task, worker in running)
        return escape_terminal(told or "-", 400)

    def _own_tasks(self, larry: str) -> Sequence[str]:
        if self.plan:
            return [task for task, spec in self.plan["tasks"].items() if spec["larry"] == larry]
        return [task for task, state in self._tasks.items() if state["larry"] == larry]

    def _is_settled(self, task: str) -> bool:
        return self._tasks.get(task, {}).get("status") in ("completed", "failed", "skipped")

    @staticmethod
    def _short_worker(larry: str, worker: str) -> str:
        # In its Larry's row a worker needs no larry- before its name.
        return worker.removeprefix(f"{larry}-")

    def _bar(self, progress: float, expected: float | None, width: int) -> str:
        full, empty, mark = ("█", "░", "│") if self.unicode else ("#", "-", "|")
        filled = round(width * progress / 100)
        cells = [full] * filled + [empty] * (width - filled)
        if expected is not None:
            at = min(width - 1, int(width * expected / 100))
            if at >= filled:
                cells[at] = mark
        return "".join(cells)

    @staticmethod
    def _fit(line: str, width: int) -> str:
        line = line.rstrip()
        return line if len(line) <= width else line[: width - 1] + "~"
