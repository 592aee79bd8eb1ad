# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary of a run as a document: the model's figures in sections, each with what it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .._text import sentence
from .document import (
    Bar,
    Block,
    Bullets,
    Code,
    CodeBlock,
    Document,
    Figures,
    Gantt,
    Heading,
    Inline,
    Paragraph,
    Reason,
    Section,
    State,
    Strong,
    Table,
    measured,
    show,
    target_of,
)
from .events import event_ids, format_gaps
from .final_file import SEVERITIES
from .measures import LOCK_LOG, RESTS_ON, planned_minutes, settlements
from .plan_document import budget_table
from .summary import DEVELOPMENT, INFRASTRUCTURE, NOT_MEASURED, SECURITY, domains, larrys_of
from .times import clock_time, format_minutes, format_seconds, parse_time, seconds_between

Model = Mapping[str, Any]
_MOST_FINDINGS = 50


def summary_document(model: Model) -> Document:
    """The document of a summary model (`summary.build_summary`)."""
    plan, run = model["plan"], model["run"]
    subtitle = (
        f"{plan['cluster']}: plan ",
        Code(plan["name"]),
        ", run ",
        Code(run["id"]),
        ", ",
        State(run["state"] or "unknown"),
        f". Made from {len(model['sources'])} of {len(plan['larrys'])} final files, written at {model['written_at']}.",
    )
    sections = [
        Section("Check of the whole run", _check(model)),
        Section("Executive Summary", _executive(model)),
        Section("Phase Timelines", _timelines(model)),
        Section("Infrastructure Results", _domain(model, INFRASTRUCTURE)),
        Section("Security Findings", _security(model)),
        Section("Development Outcomes", _domain(model, DEVELOPMENT)),
    ]
    for domain in domains(model):  # type: ignore[arg-type]
        if domain not in (INFRASTRUCTURE, SECURITY, DEVELOPMENT):
            sections.append(Section(f"{domain.replace('-', ' ').title()} Results", _domain(model, domain)))
    sections += [
        Section("Cross-Phase Dependencies Resolved", _cross(model)),
        Section("Token Budget Utilization", _tokens(model)),
        Section("Lessons Learned", _lessons(model)),
        Section("Next Steps", _next_steps(model)),
        Section("Sources", _sources(model)),
    ]
    return Document(f"{model['title']} Execution Summary", subtitle, sections)


def _event_ids(ids: Sequence[str], most: int = 6) -> str:
    """``event 4``, ``events 4, 9 and 3 more``; empty for none."""
    if not ids:
        return ""
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return f"event{'s' if len(ids) > 1 else ''} {', '.join(ids[:most])}{more}"


def _time(text: object) -> str:
    """The time of day of a moment of the run, UTC; the dates are with the sources."""
    return clock_time(text, milliseconds=True) if text else "–"


def _digest(sha256: object) -> Inline:
    return Code(f"sha256:{str(sha256)[:12]}") if sha256 else "no digest"


def _check(model: Model) -> list[Block]:
    rows = []
    for one in model["check"]:
        state = (State(one["state"]), Reason(one["reason"] or ""))
        rows.append(
            (Strong(one["title"]), one["target"], one["measured"], state, Code(one["command"] or "–"), one["evidence"])
        )
    blocks: list[Block] = [
        Table(("Check", "Target", "Measured", "State", "Command that verifies it", "Evidence"), rows, limit=100),
        Paragraph(
            "The commands run in the directory of this file, those for the server with redis-cli or, in a checkout on"
            " the machine of the run, with make redis."
        ),
    ]
    if model["missing"]:
        names = ", ".join(model["missing"])
        blocks.insert(
            0, Paragraph((Strong("Missing: "), f"the final file of {names}. What rests on it is not measured."))
        )
    blocks.append(Heading("Lock log"))
    whole = model["measures"]["values"]["log_complete"] is True
    entries = [
        (name.replace("_", " ").capitalize(), str(model["lock_log"][name]), _event_ids(model["lock_log_events"][name]))
        for name in LOCK_LOG
    ]
    if not whole:
        blocks.append(Paragraph("The log is not whole, so these are the least that happened."))
    blocks.append(Figures(entries))
    if model["validation"]:
        blocks.append(Heading("Cross-validation"))
        blocks.append(
            Table(
                ("Larry", "Check", "State", "Detail"),
                [
                    (Code(one["larry"]), one["title"], (State(one["state"]),), one.get("detail") or "")
                    for one in model["validation"]
                ],
            )
        )
    return blocks


def _executive(model: Model) -> list[Block]:
    values, reasons = model["measures"]["values"], model["measures"]["reasons"]
    states = Counter(one["state"] for one in model["criteria"])
    settled = Counter(state["status"] for state in model["tasks"].values())
    total = len(model["plan"]["tasks"])

    def figure(label: str, name: str, form: Any = show) -> tuple[str, Inline, str]:
        value = values[name]
        if value is None:
            return label, (State(NOT_MEASURED),), reasons.get(name, "")
        return label, form(value), f"from {RESTS_ON[name]}"

    blocks: list[Block] = [
        Paragraph(_in_short(model)),
        Figures(
            [
                (
                    "Tasks completed",
                    f"{settled['completed']} of {total}",
                    f"{settled['failed']} failed, {settled['skipped']} skipped",
                ),
                (
                    "Criteria met",
                    f"{states['met']} of {len(model['criteria'])}",
                    f"{states['unmet']} unmet, {states[NOT_MEASURED]} not measured",
                ),
                figure("Wall time", "wall_seconds", format_seconds),
                figure("Longest Larry, in planned time", "longest_larry_minutes", format_minutes),
                figure("Coordination overhead", "coordination_overhead_percent", lambda value: f"{value:.1f} %"),
                figure("Tokens used", "tokens_used_percent", lambda value: f"{value:.1f} %"),
            ]
        ),
        Heading("Larrys"),
        Table(
            ("Larry", "Domain", "Status", "Progress", "Tasks settled", "Controllers"),
            [_larry_row(model, larry) for larry in model["plan"]["larrys"]],
            numeric=("Progress",),
        ),
        Heading("System criteria"),
    ]
    blocks += _criteria(model, ["system"])
    return blocks


_MOST_NAMED = 3


def _in_short(model: Model) -> str:
    """What somebody reads who reads no more: the figures of this section in sentences, and what is unmet by name."""
    larrys, tasks, criteria = model["plan"]["larrys"], model["tasks"], model["criteria"]
    settled = Counter(state["status"] for state in tasks.values())
    through = sum(1 for one in model["larrys"].values() if one["status"] == "completed")
    told = [
        f"{through} of {len(larrys)} Larrys completed their phase, with {settled['completed']} of"
        f" {len(model['plan']['tasks'])} tasks completed, {settled['failed']} failed and {settled['skipped']} skipped."
    ]
    unmet = [one["title"] for one in criteria if one["state"] == "unmet"]
    if unmet:
        more = f"; and {len(unmet) - _MOST_NAMED} more" if len(unmet) > _MOST_NAMED else ""
        told.append(sentence("Unmet:", "; ".join(unmet[:_MOST_NAMED]) + more))
    elif criteria:
        told.append("No criterion is unmet.")
    unknown = {one["id"] for one in criteria if one["state"] == NOT_MEASURED}
    if unknown:
        needing = [
            one["id"]
            for one in model["plan"]["criteria"]
            if one["id"] in unknown
            and any((tasks.get(task) or {}).get("status") != "completed" for task in one.get("needs") or [])
        ]
        why = f", {len(needing)} of them because a task that they need was not completed" if needing else ""
        told.append(f"Not measured: {len(unknown)} of {len(criteria)} criteria{why}.")
    return " ".join(told)


def _larry_row(model: Model, larry: str) -> Sequence[Inline]:
    spec, state = model["plan"]["larrys"][larry], model["larrys"].get(larry)
    if state is None:
        return Code(larry), spec["domain"], (State(NOT_MEASURED),), "–", "–", "its final file is not there"
    own = [task for task in model["tasks"] if model["plan"]["tasks"][task]["larry"] == larry]
    counts = Counter(model["tasks"][task]["status"] for task in own)
    told = ", ".join(f"{counts[name]} {name}" for name in ("completed", "failed", "skipped") if counts[name])
    settled = sum(counts[name] for name in ("completed", "failed", "skipped"))
    controllers = ", ".join(
        f"{one.get('host') or '-'} (pid {one.get('pid') or '-'})" for one in state["controllers"][:5]
    )
    return (
        Code(larry),
        spec["domain"],
        (State(state["status"]),),
        f"{show(state['progress'])} %",
        f"{settled} of {len(own)}" + (f" ({told})" if told else ""),
        controllers or "–",
    )


def _criteria(model: Model, scopes: Sequence[str]) -> list[Block]:
    own = [one for one in model["criteria"] if one["scope"] in scopes]
    if not own:
        return [Paragraph("The plan has none.")]
    rows = []
    for one in own:
        state = (State(one["state"]), Reason(one["reason"] or ""))
        value = measured(one["value"], one)
        rows.append((one["title"], target_of(one), value, state, _evidence(one["evidence"])))
    return [Table(("Criterion", "Target", "Measured", "State", "Evidence"), rows)]


def _evidence(files: Sequence[Mapping[str, Any]]) -> Inline:
    parts: list[str] = []
    for file in files[:3]:
        if parts:
            parts.append(", ")
        if file.get("path"):
            parts += [Code(file["path"]), " ", *_parts(_digest(file.get("sha256")))]
        elif file.get("figure"):
            parts.append(RESTS_ON.get(file["figure"], f"run.{file['figure']}"))
    if len(files) > 3:
        parts.append(f" and {len(files) - 3} more")
    return parts or "–"


def _parts(text: Inline) -> Sequence[str]:
    return (text,) if isinstance(text, str) else text


# --- timelines -------------------------------------------------------------------------------------------------------


def _timelines(model: Model) -> list[Block]:
    plan = model["plan"]
    scale, zero = plan["time_scale"], parse_time(model["run"].get("started_at") or model["run"].get("created_at"))
    rows, phase_groups = [], []
    for larry, spec in plan["larrys"].items():
        one, state = model["durations"][larry], model["larrys"].get(larry)
        planned, minutes = one["planned_minutes"], one["minutes"]
        difference = "–" if minutes is None else f"{minutes - planned:+.1f} min"
        rows.append(
            (
                Code(larry),
                format_minutes(planned),
                format_minutes(minutes),
                difference,
                format_seconds(one["seconds"]),
                _time((state or {}).get("started_at")),
                _time((state or {}).get("completed_at")),
                _event_ids(_phase_events(model, larry)) or "–",
            )
        )
        bars = [Bar("planned", 0.0, spec["phase_s"] / 60, "planned")]
        begin, end = parse_time((state or {}).get("started_at")), parse_time((state or {}).get("completed_at"))
        if zero is not None and begin is not None and end is not None:
            bars.append(Bar("actual", (begin - zero) * scale / 60, (end - zero) * scale / 60, state["status"]))  # type: ignore[index]
        phase_groups.append((larry, bars))
    blocks: list[Block] = [
        Paragraph(
            f"One real second stands for {show(scale)} planned seconds. Times are UTC, from the final files; actual"
            " minutes are real seconds times that scale, divided by 60."
        ),
        Table(
            (
                "Larry",
                "Planned",
                "Actual",
                "Difference",
                "Real time",
                "Started",
                "Completed",
                "Evidence",
            ),
            rows,
            numeric=("Planned", "Actual", "Difference", "Real time"),
        ),
        Gantt("Phases, actual against planned", "planned minutes", phase_groups),
    ]
    groups = _task_groups(model, zero)
    if groups:
        blocks.append(Gantt("Tasks as they ran", "real seconds", groups))
    chain = model["critical_path"]
    if chain:
        blocks.append(Heading("Critical path"))
        blocks.append(
            Table(
                ("Task", "Executed for", "Claimed", "Settled"),
                [
                    (
                        Code(one["task"]),
                        format_seconds(one["seconds"]),
                        _time(one["claimed_at"]),
                        _time(one["settled_at"]),
                    )
                    for one in chain
                ],
                numeric=("Executed for",),
            )
        )
    return blocks


def _phase_events(model: Model, larry: str) -> list[str]:
    names = ("phase_started", "phase_complete", "phase_failed")
    return event_ids(one for one in model["events"] if one["event"] in names and one.get("larry") == larry)


def _task_groups(model: Model, zero: float | None) -> list[tuple[str, list[Bar]]]:
    groups = []
    for larry in model["larrys"]:
        bars = []
        for task, state in model["tasks"].items():
            if model["plan"]["tasks"][task]["larry"] != larry or zero is None:
                continue
            claimed, settled = parse_time(state.get("claimed_at")), parse_time(state.get("settled_at"))
            if claimed is None or settled is None:
                continue
            since = (model["waits"].get(task) or {}).get("since")
            bars.append(
                Bar(task, claimed - zero, settled - zero, state["status"], None if since is None else since - zero)
            )
        if bars:
            groups.append((larry, sorted(bars, key=lambda bar: bar.start)))
    return groups


# --- results of the domains ------------------------------------------------------------------------------------------


def _domain(model: Model, domain: str) -> list[Block]:
    larrys = larrys_of(model, domain)  # type: ignore[arg-type]
    if not larrys:
        return [Paragraph(f"The plan has no Larry of the domain {domain}.")]
    blocks: list[Block] = []
    gone = [larry for larry in larrys if larry in model["missing"]]
    if gone:
        blocks.append(Paragraph((State(NOT_MEASURED), Reason(f"The final file of {', '.join(gone)} is not there."))))
    own = {task: one for task, one in model["tasks"].items() if model["plan"]["tasks"][task]["larry"] in larrys}
    if own:
        blocks += [*_tasks(model, own), *_figures(own), *_metrics(model, larrys)]
    blocks += [Heading("Criteria"), *_criteria(model, larrys)]
    if domain != SECURITY:
        blocks += _findings([one for one in model["findings"] if one["task"] in own])
    return [*blocks, *_changes(own), *_files(own)]


def _tasks(model: Model, own: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    rows = []
    settled = settlements(model["plan"], model["events"])
    for task, state in own.items():
        spec = model["plan"]["tasks"][task]
        seconds = seconds_between(state.get("claimed_at"), state.get("settled_at"))
        planned = planned_minutes(model["plan"], seconds) if seconds is not None else None
        status = (State(state["status"]), Reason(sentence(state.get("cause"))))
        rows.append(
            (
                Code(task),
                status,
                Code(state["worker"]) if state.get("worker") else "–",
                str(state["attempts"]),
                format_minutes(spec["planned_s"] / 60),
                format_minutes(planned),
                format_seconds(seconds),
                _event_ids(event_ids(settled[task])) or "–",
            )
        )
    numeric = ("Attempts", "Planned", "Actual", "Real time")
    return [Heading("Tasks"), Table(("Task", "Status", "Worker", *numeric, "Settled by"), rows, numeric=numeric)]


def _figures(own: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    rows = []
    for task, state in own.items():
        result = state.get("result") or {}
        for name, value in sorted((result.get("summary") or {}).items()):
            # The files stand below with their digests; here they would stand once for each figure.
            files = len(result.get("evidence") or [])
            rests_on = f"its {files} file{'s' if files > 1 else ''} below" if files else "–"
            rows.append((name.replace("_", " "), show(value), Code(task), rests_on))
    if not rows:
        return []
    return [
        Heading("Figures"),
        Table(("Figure", "Value", "Measured by", "Evidence"), rows, numeric=("Value",), limit=100),
    ]


def _metrics(model: Model, larrys: Sequence[str]) -> list[Block]:
    rows = [
        (
            name.replace("_", " "),
            show(value),
            Code(larry),
            Code(f"{model['run'].get('prefix') or ''}metrics:{larry}:{name}"),
        )
        for larry in larrys
        for name, value in sorted((model["metrics"].get(larry) or {}).items())
    ]
    if not rows:
        return []
    return [Heading("Metrics"), Table(("Metric", "Value", "Larry", "Key"), rows, numeric=("Value",), limit=100)]


def _security(model: Model) -> list[Block]:
    larrys = larrys_of(model, SECURITY)  # type: ignore[arg-type]
    own = [task for task in model["tasks"] if model["plan"]["tasks"][task]["larry"] in larrys]
    done = [task for task in own if model["tasks"][task]["status"] == "completed"]
    blocks: list[Block] = []
    findings = [one for one in model["findings"] if one["task"] in own]
    if larrys and not done:
        blocks.append(
            Paragraph((State(NOT_MEASURED), Reason("No task of the security Larrys is completed: no scan, no count.")))
        )
    elif larrys:
        blocks += _findings(findings) or [Paragraph("No finding.")]
    return [*blocks, *_domain(model, SECURITY)]


def _findings(findings: Sequence[Mapping[str, Any]]) -> list[Block]:
    if not findings:
        return []
    counts = Counter(one["severity"] for one in findings)
    return [
        Heading("Findings"),
        Figures([(severity.capitalize(), str(counts[severity]), "") for severity in SEVERITIES]),
        Table(
            ("Severity", "Finding", "Asset", "Id", "Found by"),
            [
                (
                    (State(one["severity"]),),
                    one["title"],
                    Code(one["asset"]) if one.get("asset") else "–",
                    Code(one.get("id") or "–"),
                    Code(one["task"]),
                )
                for one in findings
            ],
            limit=_MOST_FINDINGS,
        ),
    ]


def _changes(own: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    rows = [
        (show(change.get("what")), show(change.get("where")), show(change.get("undo")), Code(task))
        for task, state in own.items()
        for change in (state.get("result") or {}).get("changes") or []
    ]
    return [Heading("Changes"), Table(("What", "Where", "How to undo it", "Task"), rows, limit=100)] if rows else []


def _files(own: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    rows = [
        (
            Code(file["path"]),
            file.get("title") or "–",
            show(file.get("bytes")),
            Code(file.get("sha256") or "–"),
            Code(task),
        )
        for task, state in own.items()
        for file in (state.get("result") or {}).get("evidence") or []
    ]
    if not rows:
        return []
    columns = ("File", "Content", "Bytes", "SHA-256", "Task")
    return [Heading("Evidence"), Table(columns, rows, numeric=("Bytes",), limit=100)]


# --- the rest --------------------------------------------------------------------------------------------------------


def _cross(model: Model) -> list[Block]:
    if not model["cross_dependencies"]:
        return [Paragraph("No task of this plan waits for one of another Larry.")]
    rows = []
    for one in model["cross_dependencies"]:
        rows.append(
            (
                (Code(one["task"]), " of ", Code(one["larry"])),
                (Code(one["needs"]), " of ", Code(one["of"])),
                "completed" if one["kind"] == "depends_on" else "settled",
                (State(one["state"]),),
                _time(one["settled_at"]),
                _time(one["claimed_at"]),
                _event_ids(one["events"]) or "–",
            )
        )
    columns = ("Task", "Waits for", "To be", "State", "Settled at", "Task claimed at", "Evidence")
    return [Table(columns, rows)]


def _tokens(model: Model) -> list[Block]:
    plan = model["plan"]
    budgets = plan.get("budgets") or {}
    value, reasons = model["measures"]["values"]["tokens_used_percent"], model["measures"]["reasons"]
    blocks: list[Block] = []
    if value is None:
        blocks.append(Paragraph((State(NOT_MEASURED), Reason(reasons.get("tokens_used_percent", "")))))
    else:
        blocks.append(Paragraph(f"{value:.1f} % of the plan's {show(budgets.get('total'))} tokens were used."))
    rows = []
    for name, one in (*model["tokens"].items(), *model["shared_tokens"].items()):
        share = f"{100 * one['used'] / one['limit']:.1f} %" if one["metered_requests"] and one["limit"] else "–"
        figures = (one["limit"], one["used"], one["held"])
        rows.append((Code(name), *map(show, figures), share, show(one["metered_requests"]), show(one["reserve_drawn"])))
    numeric = ("Limit", "Used", "Held", "Share", "Metered requests", "Drawn from the pool")
    blocks.append(Table(("Account", *numeric), rows, numeric=numeric))
    accounts = [
        (Code(larry), Code(name), show(one["limit"]), show(one["used"]))
        for larry, state in model["tokens"].items()
        for name, one in sorted(state["accounts"].items())
    ]
    if any(one["used"] for state in model["tokens"].values() for one in state["accounts"].values()):
        blocks += [
            Heading("By worker and master agent"),
            Table(("Larry", "Account", "Limit", "Used"), accounts, ("Limit", "Used")),
        ]
    elif accounts:
        blocks.append(Paragraph(f"None of the {len(accounts)} accounts of workers and master agents was charged."))
    if budgets:
        blocks += [Heading("Budget of the plan"), budget_table(plan)]
    return blocks


def _lessons(model: Model) -> list[Block]:
    if not model["lessons"]:
        return [Paragraph("No retry, no conflict, no failure and no wait worth naming.")]
    blocks: list[Block] = []
    for kind in dict.fromkeys(one["kind"] for one in model["lessons"]):
        blocks.append(Heading(kind.capitalize()))
        blocks.append(
            Bullets([f"{one['text']} ({one['evidence']})" for one in model["lessons"] if one["kind"] == kind])
        )
    return blocks


def _next_steps(model: Model) -> list[Block]:
    if not model["next_steps"]:
        return [Paragraph("Nothing is left open: no unmet criterion, no skipped or failed task, no grave finding.")]
    return [
        Bullets(
            [
                (Strong(f"{one['kind'].capitalize()}:"), f" {one['text']} ({one['evidence']})")
                for one in model["next_steps"]
            ]
        )
    ]


def _sources(model: Model) -> list[Block]:
    run, log = model["run"], model["log"]
    facts = [
        ("Run", Code(run["id"])),
        ("Plan digest", Code(run["digest"])),
        ("Collection", run.get("collection_version") or "–"),
        ("Server", run.get("server") or "–"),
        ("Prefix", Code(run["prefix"]) if run.get("prefix") else "none"),
        (
            "Created, started, finished",
            ", ".join(run.get(f"{one}_at") or "–" for one in ("created", "started", "finished")),
        ),
        ("Epoch", show(run.get("epoch"))),
        ("Log entries", f"{log['entries']}, {_log_told(log)}"),
        ("Log head", Code(log["head"]) if log["head"] else "the log is not archived"),
    ]
    paths = [source["path"] for source in model["sources"].values()]
    return [
        Table(("What", "Value"), facts),
        Table(
            ("Larry", "Final file", "Bytes", "SHA-256"),
            [
                (Code(larry), Code(one["path"]), show(one["bytes"]), Code(one["sha256"] or "–"))
                for larry, one in model["sources"].items()
            ],
            numeric=("Bytes",),
        ),
        Paragraph(
            "Event ids are those of the run's log; each final file carries its Larry's and the run's own events."
        ),
        CodeBlock(f"sha256sum {' '.join(paths)}", "sh"),
    ]


def _log_told(log: Mapping[str, Any]) -> str:
    if log["conflicting"]:
        return f"{len(log['conflicting'])} of them not the same in all files"
    if log["gaps"]:
        return f"without {format_gaps([tuple(gap) for gap in log['gaps']])}"
    return "without a gap"
