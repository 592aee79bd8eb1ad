# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run teaches: from its own events, and against earlier runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._text import sentence
from .events import Event, lost_kind, task_of
from .measures import critical_path, settlements, waits
from .times import format_seconds

_MOST_OF_A_KIND = 20
_MOST_WAITS = 5

# Event, what it teaches, and how one occurrence is told. Fields that an event lacks read as "-".
_TOLD = (
    ("task_requeued", "retries", "{task_id} was put back in the queue after attempt {attempt}: {cause}."),
    ("task_failed", "failures", "{task_id} failed in attempt {attempt} on {worker}: {cause}."),
    ("task_conflict", "conflicts", "{task_id} was held by {owner} when it was to be claimed."),
    ("lease_refused", "conflicts", "{resource} was refused to {by}, because {owner} held it."),
    ("lease_lapsed", "lost leases", "{resource} lapsed in the hands of {holder}."),
    ("lease_revoked", "lost leases", "{resource} was revoked by hand."),
    ("completion_fenced", "lost leases", "The completion of {task_id} by {worker} was refused: {cause}."),
    ("slot_taken_over", "failures", "The slot {slot} passed from {previous} to {controller}."),
    ("controller_gone", "failures", "The controller {controller} went away: {cause}."),
    ("worker_failure", "failures", "{failure_note}: {cause}."),
    ("behind_plan", "delays", "{larry} was at {progress} % where the plan expects {expected} %."),
    ("overdue", "delays", "{task_id_or_larry} was past its planned time."),
    ("barrier_failed", "failures", "The barrier {barrier} failed: {cause}."),
    ("paused", "pauses", "{scope} {name} was paused: {reason}."),
    ("tokens_reserve_deployed", "tokens", "{larry} drew {drawn} tokens from the emergency pool; {left} are left."),
    ("rollback_initiated", "failures", "A rollback was initiated by {from}."),
)


_FAILED = {
    "worker": "{worker} failed",
    "larry": "The lead of {worker} was lost",
    "member": "The member {worker} of the barrier {barrier} was lost",
}


class _Fields(dict):  # type: ignore[type-arg]
    def __missing__(self, _name: str) -> str:
        return "-"


def learn(
    plan: Mapping[str, Any],
    tasks: Mapping[str, Mapping[str, Any]],
    events: Sequence[Event],
    measures: Mapping[str, Any],
    earlier: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """The lessons of a run, in order of kind.

    Args:
        plan: The canonical plan.
        tasks: By id, as in a final file.
        events: The merged log.
        measures: The figures of `measures.measure_run`.
        earlier: Models of earlier summaries, oldest first.

    Returns:
        For each lesson ``kind``, ``text`` and ``evidence`` (event ids as text, or what it was computed from).
    """
    found: list[dict[str, Any]] = []
    for name, kind, told in _TOLD:
        matching = [event for event in events if event.get("event") == name]
        for event in matching[:_MOST_OF_A_KIND]:
            fields = _Fields({key: _short(value) for key, value in event.items()})
            fields["task_id_or_larry"] = _short(event.get("task_id") or event.get("larry") or "-")
            fields["failure_note"] = _FAILED[lost_kind(event)].format_map(fields)
            found.append({"kind": kind, "text": sentence(told.format_map(fields)), "evidence": _event_name(event)})
        if len(matching) > _MOST_OF_A_KIND:
            more = len(matching) - _MOST_OF_A_KIND
            found.append({"kind": kind, "text": f"{more} more {name} events are in the log.", "evidence": "event log"})
    found += _waits(plan, tasks, events)
    chain = critical_path(plan, tasks)
    if chain:
        total, wall = sum(one["seconds"] for one in chain), measures.get("wall_seconds")
        share = f", {100 * total / wall:.0f} % of the {format_seconds(wall)} of the run" if wall else ""
        path = " → ".join(f"{one['task']} ({format_seconds(one['seconds'])})" for one in chain)
        settled = settlements(plan, events)
        ids = [_event_name(settled[one["task"]][-1]) for one in chain if settled.get(one["task"])]
        found.append(
            {
                "kind": "critical path",
                "text": f"The longest chain took {format_seconds(total)}{share}: {path}.",
                "evidence": ", ".join(ids) or "claimed_at and settled_at of these tasks",
            }
        )
    for model in earlier:
        found += _against(measures, model)
    return found


def _short(value: object) -> str:
    text = " ".join(("-" if value in (None, "") else str(value)).split())
    return text if len(text) <= 300 else text[:297] + "..."


def _event_name(event: Event) -> str:
    return f"event {event['id']}" if event.get("id") is not None else "an event without a number"


def _waits(
    plan: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]], events: Sequence[Event]
) -> list[dict[str, Any]]:
    """The longest waits between a task being ready with its worker free and its claim."""
    waited = sorted(waits(tasks, events).items(), key=lambda one: -one[1]["waited"])
    claims: dict[str, Event] = {}
    for event in events:
        task = task_of(event, plan)
        if event.get("event") == "task_claimed" and task:
            claims[task] = event
    found = []
    for task, one in waited[:_MOST_WAITS]:
        # Below a tenth of a second a wait is the way from one task to the next, and teaches nothing.
        if one["waited"] >= 0.1:
            text = f"{task} was ready and its worker free for {format_seconds(one['waited'])} before it was claimed."
            evidence = _event_name(claims[task]) if task in claims else f"ready_at and claimed_at of {task}"
            found.append({"kind": "waits", "text": text, "evidence": evidence})
    return found


_COMPARED = (
    ("wall_seconds", "The run took", format_seconds),
    ("critical_path_seconds", "Its critical path took", format_seconds),
    ("coordination_overhead_percent", "Coordination took", lambda value: f"{value:.1f} %"),
    ("completed_tasks", "Completed tasks:", str),
    ("failed_tasks", "Failed tasks:", str),
    ("retries", "Retries:", str),
)


def _against(measures: Mapping[str, Any], model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """This run against an earlier one, figure by figure; only what was measured in both."""
    before, found = model["measures"]["values"], []
    run = model["run"]["id"]
    for name, told, form in _COMPARED:
        now, then = measures.get(name), before.get(name)
        if now is not None and then is not None:
            text = f"{told} {form(now)}, in the run {run} {form(then)}."
            found.append({"kind": "against earlier runs", "text": text, "evidence": f"{name} of both runs"})
    if not found:
        text = f"Nothing was measured in both this run and {run}."
        found.append({"kind": "against earlier runs", "text": text, "evidence": f"final files of {run}"})
    return found
