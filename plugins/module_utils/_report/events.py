# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the event log: order, whose an event is, merging, gaps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Event = Mapping[str, Any]

_RUN_WIDE = ("run_", "barrier_", "controller_gone")
_NO_SEQUENCE = 1 << 62


def sequence_number(event: Event) -> int | None:
    """The place of an event in the log; ``None`` for what is no log entry (progress ticks)."""
    number = event.get("id")
    if isinstance(number, bool) or number is None:
        return None
    text = str(number)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def sequence_of(event: Event) -> tuple[int, str]:
    """A sort key: by sequence, and by time for what has none."""
    number = sequence_number(event)
    return (_NO_SEQUENCE if number is None else number, str(event.get("timestamp", "")))


def event_ids(events: Iterable[Event]) -> list[str]:
    """The ids of those events that are log entries, as text."""
    return [str(event["id"]) for event in events if sequence_number(event) is not None]


def task_of(event: Event, plan: Mapping[str, Any]) -> str | None:
    """The task of the plan that an event is about: named outright, or as the resource of a lease."""
    task = event.get("task_id")
    if isinstance(task, str):
        return task if task in plan["tasks"] else None
    resource = event.get("resource")
    if isinstance(resource, str):
        return task_of_resource(resource, plan)
    return None


def task_of_resource(resource: str, plan: Mapping[str, Any]) -> str | None:
    """``task:catalog``, ``task:lock:catalog`` and ``catalog`` are the task ``catalog``; a lock of that name is not."""
    kind, _colon, _rest = resource.rpartition(":")
    task = resource[len(kind) + 1 :] if kind else resource
    if task in plan["tasks"] and (not kind or "task" in kind.split(":")):
        return task
    return None


def larry_of(event: Event, plan: Mapping[str, Any]) -> str | None:
    """The Larry that an event belongs to; ``None`` for what concerns the whole run or cannot be told."""
    if str(event.get("event", "")).startswith(_RUN_WIDE):
        return None
    if _known(event.get("larry"), plan["larrys"]):
        return event["larry"]
    task = task_of(event, plan)
    if task is not None:
        return plan["tasks"][task]["larry"]
    for field in ("worker", "slot", "name", "resource", "from"):
        name = event.get(field)
        if isinstance(name, str) and name.rpartition(":")[2] in plan["larrys"]:
            return name.rpartition(":")[2]
        if isinstance(name, str) and name.rpartition(":")[2] in plan["workers"]:
            return plan["workers"][name.rpartition(":")[2]]["larry"]
    return None


def lost_kind(event: Event) -> str:
    """What the event `worker_failure` is about: ``worker``, ``larry`` or ``member`` (of a barrier).

    It says so itself in ``kind``; a log without that has a Larry's id as worker where the lead of a Larry was lost.
    """
    kind = event.get("kind")
    if kind in ("worker", "larry", "member"):
        return str(kind)
    return "larry" if event.get("worker") == event.get("larry") else "worker"


def _known(name: object, among: Mapping[str, Any]) -> bool:
    return isinstance(name, str) and name in among


def belongs_to(event: Event, plan: Mapping[str, Any], larry_id: str) -> bool:
    """Whether the final file of `larry_id` carries this event: its own ones and those of the whole run."""
    return larry_of(event, plan) in (larry_id, None)


def merge_events(logs: Iterable[Sequence[Event]]) -> tuple[list[dict[str, Any]], list[int]]:
    """One log from several: each entry once, in order.

    Returns:
        The events, and the sequence numbers under which two logs hold different entries.
    """
    entries: dict[int, dict[str, Any]] = {}
    others: dict[str, dict[str, Any]] = {}
    conflicts: set[int] = set()
    for log in logs:
        for event in log:
            number = sequence_number(event)
            if number is None:
                others.setdefault(json.dumps(event, sort_keys=True), dict(event))
            elif entries.setdefault(number, dict(event)) != event:
                conflicts.add(number)
    return sorted([*entries.values(), *others.values()], key=sequence_of), sorted(conflicts)


def log_gaps(events: Sequence[Event], log_entries: int) -> list[tuple[int, int]]:
    """The ranges (first, last) of 1 to `log_entries` that no event covers, in order."""
    gaps, expected = [], 1
    for number in sorted({one for one in map(sequence_number, events) if one is not None}):
        if number > log_entries:
            break
        if number > expected:
            gaps.append((expected, number - 1))
        expected = max(expected, number + 1)
    if expected <= log_entries:
        gaps.append((expected, log_entries))
    return gaps


def format_gaps(gaps: Sequence[tuple[int, int]], most: int = 5) -> str:
    """``3, 7 to 9 and 2 more ranges``."""
    named = [str(first) if first == last else f"{first} to {last}" for first, last in gaps[:most]]
    more = len(gaps) - most
    return ", ".join(named) + (f" and {more} more ranges" if more > 0 else "")
