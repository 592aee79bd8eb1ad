# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary of a run as one plain model, merged from any of its final files."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from .._text import sentence
from .criteria import evaluate
from .document import measured, target_of
from .events import event_ids, format_gaps, log_gaps, merge_events, task_of
from .final_file import SEVERITIES, ReportError, read_final
from .lessons import learn
from .measures import (
    LOCK_LOG,
    critical_path,
    larry_durations,
    lock_log,
    lock_log_events,
    measure_run,
    settlements,
    waits,
)

FORMAT = "cortex.larry.summary/1"
NOT_MEASURED = "not measured"
INFRASTRUCTURE, SECURITY, DEVELOPMENT = "infrastructure", "security", "development"

Model = dict[str, Any]


def read_summary(paths: Sequence[str], earlier: Sequence[Sequence[str]] = (), directory: str | None = None) -> Model:
    """The model of the summary of the final files at `paths`.

    Args:
        paths: Final files of one run, of any of its Larrys.
        earlier: For each earlier run to compare with, its final files.
        directory: Where the summary goes; its commands name the files as seen from there.

    Raises:
        ReportError: a file cannot be used, or the files are not of one run; all problems, one sentence each.
    """
    before = [read_summary(one) for one in earlier]
    finals, sources, problems = [], [], []
    for path in paths:
        try:
            final, source = read_final(path)
        except ReportError as error:
            problems += error.problems
        else:
            if directory is not None:
                source = {**source, "path": os.path.relpath(path, directory)}
            finals.append(final)
            sources.append(source)
    if problems:
        raise ReportError(problems)
    return build_summary(finals, sources, before)


def build_summary(
    finals: Sequence[Mapping[str, Any]],
    sources: Sequence[Mapping[str, Any]] | None = None,
    earlier: Sequence[Model] = (),
) -> Model:
    """Merge validated final files of one run, measure, evaluate and compare.

    Args:
        finals: What `final_file.read_final` or `build_final` returned.
        sources: For each its ``path``, ``sha256`` and ``bytes``; without them their names stand alone.
        earlier: Models of earlier runs, oldest first.

    Raises:
        ReportError: no file, files of different runs or plans, two files of one Larry.
    """
    if sources is None:
        sources = [{"path": f"{final['larry']['id']}-final.json", "sha256": None, "bytes": None} for final in finals]
    _one_run(finals, sources)
    newest = max(finals, key=lambda final: (final["run"]["log_entries"], final["written_at"]))
    plan, run = newest["plan"], newest["run"]
    by_larry = {final["larry"]["id"]: final for final in finals}
    source_of = {final["larry"]["id"]: dict(source) for final, source in zip(finals, sources, strict=True)}
    order = [larry for larry in plan["larrys"] if larry in by_larry]
    missing = [larry for larry in plan["larrys"] if larry not in by_larry]
    tasks = {
        task: by_larry[spec["larry"]]["tasks"][task] for task, spec in _in_order(plan) if spec["larry"] in by_larry
    }
    larrys = {larry: by_larry[larry]["larry"] for larry in order}
    tokens = {larry: by_larry[larry]["tokens"] for larry in order}
    shared = newest.get("shared_tokens") or {}
    events, conflicting = merge_events([by_larry[larry]["events"] for larry in order])
    validation = [{"larry": larry, **one} for larry in order for one in by_larry[larry]["validation"]]
    values, reasons = measure_run(
        plan=plan,
        run=run,
        larrys=larrys,
        tasks=tasks,
        tokens={**shared, **tokens},
        events=events,
        validation=validation,
        missing=missing,
        conflicting=conflicting,
    )
    criteria = evaluate(plan["criteria"], plan=plan, tasks=tasks, measures=(values, reasons), missing=missing)
    model: Model = {
        "format": FORMAT,
        "title": plan["title"],
        "run": run,
        "plan": plan,
        "sources": {larry: source_of[larry] for larry in order},
        "written_at": max(final["written_at"] for final in finals),
        "missing": missing,
        "larrys": larrys,
        "durations": larry_durations(plan, larrys),
        "tasks": tasks,
        "tokens": tokens,
        "shared_tokens": shared,
        "metrics": {larry: by_larry[larry]["metrics"] for larry in order},
        "events": events,
        "log": {
            "entries": run["log_entries"],
            "gaps": [list(gap) for gap in log_gaps(events, run["log_entries"])],
            "conflicting": conflicting,
            "head": run.get("log_head"),
        },
        "lock_log": lock_log(plan, events),
        "lock_log_events": {name: event_ids(found) for name, found in lock_log_events(plan, events).items()},
        "measures": {"values": values, "reasons": reasons},
        "waits": waits(tasks, events),
        "critical_path": critical_path(plan, tasks),
        "criteria": criteria,
        "validation": validation,
        "findings": _findings(tasks),
        "cross_dependencies": _cross_dependencies(plan, tasks, events),
        "lessons": learn(plan, tasks, events, values, earlier),
        "earlier": [{"run": one["run"]["id"], "sources": one["sources"]} for one in earlier],
    }
    model["check"] = _check(model)
    model["next_steps"] = _next_steps(model)
    return model


def summary_file_stem(title: str) -> str:
    """``3-LARRY-EXECUTION-SUMMARY`` for ``3-LARRY``: the name of the summary without its extension."""
    return f"{file_name_part(title)}-EXECUTION-SUMMARY"


def file_name_part(text: str) -> str:
    """What of a text may stand in a file name anywhere: letters, digits, dots within, dashes; never empty."""
    kept = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "-" for char in text[:80])
    return kept.strip(".-") or "RUN"


def _in_order(plan: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return sorted(plan["tasks"].items(), key=lambda one: one[1]["index"])


def _one_run(finals: Sequence[Mapping[str, Any]], sources: Sequence[Mapping[str, Any]]) -> None:
    if not finals:
        raise ReportError(["There is no final JSON file: name at least one."])
    problems = []
    first, first_path = finals[0], sources[0]["path"]
    seen: dict[str, str] = {}
    for final, source in zip(finals, sources, strict=True):
        path, larry = source["path"], final["larry"]["id"]
        if final["run"]["id"] != first["run"]["id"]:
            problems.append(
                f"{path}: it belongs to the run {final['run']['id']} and {first_path} to {first['run']['id']};"
                " give the files of one run."
            )
        elif final["run"]["digest"] != first["run"]["digest"] or final["plan"] != first["plan"]:
            problems.append(f"{path}: its plan is another one than that of {first_path}; give the files of one plan.")
        if larry in seen:
            problems.append(f"{path}: it is a file of {larry}, as {seen[larry]} is; give one file of each Larry.")
        seen[larry] = path
    if problems:
        raise ReportError(problems)


def _findings(tasks: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All findings, the gravest first, each with the task that found it."""
    found = [
        {**finding, "task": task}
        for task, state in tasks.items()
        for finding in (state.get("result") or {}).get("findings") or []
    ]
    return sorted(found, key=lambda one: SEVERITIES.index(one["severity"]))


def _cross_dependencies(
    plan: Mapping[str, Any], tasks: Mapping[str, Mapping[str, Any]], events: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Dependencies between tasks of different Larrys: how each was resolved, and by which events."""
    settled = settlements(plan, events)
    ready = {task_of(event, plan): event for event in events if event.get("event") == "task_ready"}
    found = []
    for task, spec in _in_order(plan):
        for kind in ("depends_on", "after"):
            for needed in spec[kind]:
                giver = plan["tasks"][needed]["larry"]
                if giver == spec["larry"]:
                    continue
                status = (tasks.get(needed) or {}).get("status")
                resolved = status == "completed" or (kind == "after" and status in ("failed", "skipped"))
                state = "resolved" if resolved else "blocked" if status in ("failed", "skipped") else "open"
                told = [event for event in (*settled[needed][-1:], ready.get(task)) if event]
                found.append(
                    {
                        "task": task,
                        "larry": spec["larry"],
                        "needs": needed,
                        "of": giver,
                        "kind": kind,
                        "state": NOT_MEASURED if status is None else state,
                        "settled_at": (tasks.get(needed) or {}).get("settled_at"),
                        "claimed_at": (tasks.get(task) or {}).get("claimed_at"),
                        "events": event_ids(told),
                    }
                )
    return found


# --- the check of the whole run --------------------------------------------------------------------------------------


def _check(model: Model) -> list[dict[str, Any]]:
    """Rows with title, target, measured, state, reason, command and evidence."""
    plan, run, values = model["plan"], model["run"], model["measures"]["values"]
    reasons = model["measures"]["reasons"]
    files = " ".join(shlex.quote(source["path"]) for source in model["sources"].values())
    larrys = list(plan["larrys"])
    prefix = run.get("prefix") or ""
    keys = " ".join(shlex.quote(f"{prefix}phase:{larry}:status") for larry in larrys)
    states = {larry: (model["larrys"].get(larry) or {}).get("status") for larry in larrys}
    completed = sum(1 for status in states.values() if status == "completed")
    log_path = f"{len(model['events'])} events in the files"
    locks = model["lock_log"]
    told = ", ".join(f"{locks[name]} {name.replace('_', ' ')}" for name in LOCK_LOG)
    over = all(status in ("completed", "failed") for status in states.values())

    def figure(name: str, target: Any) -> tuple[str, str | None]:
        value = values[name]
        if value is None:
            return NOT_MEASURED, reasons.get(name)
        return ("met" if value == target else "unmet"), None

    rows = []

    def row(title: str, target: str, measured: str, state: tuple[str, str | None], command: str, evidence: str) -> None:
        rows.append(
            {
                "title": title,
                "target": target,
                "measured": measured,
                "state": state[0],
                "reason": state[1],
                "command": command,
                "evidence": evidence,
            }
        )

    if completed == len(larrys):
        verdict: tuple[str, str | None] = ("met", None)
    elif model["missing"] and not any(status == "failed" for status in states.values()):
        verdict = (NOT_MEASURED, f"The final file of {', '.join(model['missing'])} is not there.")
    else:
        odd = [f"{larry} is {status}" for larry, status in states.items() if status not in ("completed", None)]
        verdict = ("unmet", f"{'; '.join(odd)}." if odd else None)
    row(
        "All Larrys complete",
        f"{len(larrys)} of {len(larrys)} completed",
        f"{completed} of {len(larrys)} completed",
        verdict,
        f"redis-cli MGET {keys}",
        "larry.status of the files" if over else "larry.status of the files (not all phases are over)",
    )
    row(
        "No task duplicated",
        "0 tasks with more than one accepted completion",
        f"{_or_dash(values['duplicated_tasks'])} duplicated; lock log: {told}",
        figure("duplicated_tasks", 0),
        'jq -s \'[.[].events[]] | unique_by(.id) | map(select(.event == "task_completed")) | group_by(.task_id)'
        f" | map(select(length > 1)) | length' {files}",
        log_path,
    )
    row(
        "Workers on their nodes",
        "0 executed tasks off their node",
        _or_dash(values["workers_off_node"]),
        figure("workers_off_node", 0),
        f"jq '.tasks | map_values({{node, machine}})' {files}",
        "tasks.*.machine of the files",
    )
    row("Infrastructure SLA", *_domain_criteria(model, INFRASTRUCTURE))
    row("Security scan complete", *_scans(model))
    row(
        "Inventory accurate",
        "0 objects differ from the estate",
        _or_dash(values["catalogue_difference"]),
        figure("catalogue_difference", 0),
        f"jq '{{validation, tasks: (.tasks | map_values(.result.validation?))}}' {files}",
        "validation of the files",
    )
    for domain in domains(model):
        if domain not in (INFRASTRUCTURE, SECURITY, DEVELOPMENT):
            row(f"{domain.capitalize()} criteria", *_domain_criteria(model, domain))
    row(
        "Final report",
        f"{len(larrys)} of {len(larrys)} final files, log entries 1 to {run['log_entries']} without a gap",
        f"{len(model['sources'])} of {len(larrys)} final files, {_log_told(model)}",
        _report_state(model),
        f"jq -s '[.[].events[].id] | unique | length' {files}",
        "sha256 of the files below",
    )
    return rows


def domains(model: Model) -> list[str]:
    """The domains of the plan, in its order."""
    return list(dict.fromkeys(spec["domain"] for spec in model["plan"]["larrys"].values()))


def larrys_of(model: Model, domain: str) -> list[str]:
    """The Larrys of a domain, in the order of the plan."""
    return [larry for larry, spec in model["plan"]["larrys"].items() if spec["domain"] == domain]


def _or_dash(value: Any) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _files_of(model: Model, larrys: Sequence[str]) -> str:
    return " ".join(shlex.quote(model["sources"][larry]["path"]) for larry in larrys if larry in model["sources"])


_CheckCells = tuple[str, str, tuple[str, "str | None"], str, str]


def _domain_criteria(model: Model, domain: str) -> _CheckCells:
    """Target, measured, state, command and evidence of all criteria of the Larrys of one domain."""
    larrys = larrys_of(model, domain)
    criteria = [one for one in model["criteria"] if one["scope"] in larrys]
    command = f"jq '.larry.id as $id | .criteria[] | select(.scope == $id)' {_files_of(model, larrys)}".rstrip()
    evidence = "criteria below"
    if not larrys:
        return "–", "–", (NOT_MEASURED, f"The plan has no Larry of the domain {domain}."), "", ""
    if not criteria:
        return "–", "–", (NOT_MEASURED, f"The plan has no criteria for {', '.join(larrys)}."), command, evidence
    met = [one for one in criteria if one["state"] == "met"]
    unmet = [one for one in criteria if one["state"] == "unmet"]
    unknown = [one for one in criteria if one["state"] == NOT_MEASURED]
    if unmet:
        state: tuple[str, str | None] = ("unmet", sentence(_titles(unmet)))
    elif unknown:
        state = (NOT_MEASURED, sentence(_titles(unknown)))
    else:
        state = ("met", None)
    total = len(criteria)
    counts = f"{len(met)} of {total} met, {len(unmet)} unmet, {len(unknown)} not measured"
    return f"{total} of {total} criteria met", counts, state, command, evidence


def _titles(criteria: Sequence[Mapping[str, Any]], most: int = 2) -> str:
    more = f"; and {len(criteria) - most} more" if len(criteria) > most else ""
    return "; ".join(one["title"] for one in criteria[:most]) + more


def _scans(model: Model) -> _CheckCells:
    """The scans are the tasks of the security Larrys whose capability speaks of a scan; all of them if none does."""
    larrys = larrys_of(model, SECURITY)
    if not larrys:
        return "–", "–", (NOT_MEASURED, f"The plan has no Larry of the domain {SECURITY}."), "", ""
    own = [task for task, spec in _in_order(model["plan"]) if spec["larry"] in larrys]
    scans = [task for task in own if "scan" in model["plan"]["tasks"][task]["capability"]] or own
    states = {task: model["tasks"].get(task) for task in scans}
    done = [task for task, state in states.items() if state and state["status"] == "completed"]
    failed = [task for task, state in states.items() if state and state["status"] == "failed"]
    other = [task for task in scans if task not in done and task not in failed]
    command = f"jq '.tasks | map_values(.status)' {_files_of(model, larrys)}".rstrip()
    if failed:
        verdict: tuple[str, str | None] = ("unmet", f"Failed: {', '.join(failed)}.")
    elif other or not scans:
        verdict = (NOT_MEASURED, f"Not completed: {', '.join(other) or 'there is no task'}.")
    else:
        verdict = ("met", None)
    target, counts = f"{len(scans)} of {len(scans)} scans completed", f"{len(done)} of {len(scans)} scans completed"
    return target, counts, verdict, command, "tasks.*.status of the files"


def _log_told(model: Model) -> str:
    log = model["log"]
    if not log["entries"]:
        return "no event log"
    if log["conflicting"]:
        return f"the files disagree on {len(log['conflicting'])} entries"
    if log["gaps"]:
        return f"entries {format_gaps([tuple(gap) for gap in log['gaps']])} of {log['entries']} are lacking"
    return f"all {log['entries']} log entries"


def _report_state(model: Model) -> tuple[str, str | None]:
    if model["missing"]:
        return "unmet", f"The final file of {', '.join(model['missing'])} is not there."
    if model["measures"]["values"]["log_complete"] is None:
        return NOT_MEASURED, model["measures"]["reasons"]["log_complete"]
    if not model["measures"]["values"]["log_complete"]:
        return "unmet", f"{_log_told(model)}.".capitalize()
    return "met", None


# --- next steps ------------------------------------------------------------------------------------------------------

_MOST_FINDINGS = 10


def _next_steps(model: Model) -> list[dict[str, Any]]:
    """What to do next: ``kind``, ``text`` and ``evidence`` each."""
    steps: list[dict[str, Any]] = []

    def step(kind: str, text: str, evidence: str) -> None:
        steps.append({"kind": kind, "text": text, "evidence": evidence})

    for larry in model["missing"]:
        step("report", f"Get the final file of {larry} and make this summary again.", "sources of this summary")
    for one in model["criteria"]:
        if one["state"] == "unmet":
            wanted = f"has to be {target_of(one)}" if one.get("op") else "has to hold"
            text = f"{one['title']} ({one['scope']}): it is {measured(one['value'], one)} and {wanted}."
            step("unmet criterion", text, f"criterion {one['id']}")
    lacking: dict[str, list[str]] = {}
    for task, state in model["tasks"].items():
        skipped = (state.get("result") or {}).get("skipped") or {}
        if state["status"] == "failed":
            text = sentence(f"{task} failed: {state.get('cause') or 'no cause was given'}")
            step("failed task", text, f"task {task}")
        elif state["status"] == "skipped" and skipped:
            told = f"{sentence(skipped['missing'])} {sentence(skipped.get('provide'))}".strip()
            lacking.setdefault(told, []).append(task)
        elif state["status"] in ("pending", "in_progress"):
            step("open task", f"{task} is not settled ({state['status']}).", f"task {task}")
    for told, tasks in lacking.items():
        kind, were = ("skipped task", "was") if len(tasks) == 1 else ("skipped tasks", "were")
        step(kind, f"{', '.join(tasks)} {were} skipped: {told}", f"{kind.split()[1]} {', '.join(tasks)}")
    grave = [one for one in model["findings"] if one["severity"] in ("critical", "high")]
    for one in grave[:_MOST_FINDINGS]:
        where = f" ({one['asset']})" if one.get("asset") else ""
        source = f"finding {one.get('id') or '-'} of {one['task']}"
        step("open finding", f"{one['severity']}: {one['title']}{where}", source)
    if len(grave) > _MOST_FINDINGS:
        more = len(grave) - _MOST_FINDINGS
        step("open finding", f"{more} more critical and high findings are in the final files.", "findings of the tasks")
    return steps
