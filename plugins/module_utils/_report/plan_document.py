# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as a document: what will run where, after what, for how long and for how many tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._text import escape_mermaid
from .document import (
    Bar,
    Block,
    Code,
    Document,
    Gantt,
    Heading,
    Inline,
    Mermaid,
    Paragraph,
    Section,
    Table,
    show,
    target_of,
)
from .measures import planned_schedule, topological
from .summary import file_name_part
from .times import format_minutes

Plan = Mapping[str, Any]
_MOST_IN_GRAPH = 150


def plan_file_name(title: str) -> str:
    """``3-LARRY-ORCHESTRATION-PLAN.md`` for ``3-LARRY``."""
    return f"{file_name_part(title)}-ORCHESTRATION-PLAN.md"


def plan_document(plan: Plan, digest: str | None = None) -> Document:
    """The document of a canonical plan; `digest` is its digest with the collection's version, if known."""
    larrys, workers, tasks = len(plan["larrys"]), len(plan["workers"]), len(plan["tasks"])
    subtitle: list[str] = [f"{plan['cluster']}: plan ", Code(plan["name"])]
    if digest:
        subtitle += [", digest ", Code(digest)]
    sections = [
        Section("Overview", _overview(plan, larrys, workers, tasks)),
        Section("Nodes", _nodes(plan)),
        Section("Larrys", _larrys(plan)),
        Section("Workers", _workers(plan)),
        Section("Tasks", _tasks(plan)),
        Section("Timeline", _timeline(plan)),
        Section("Budgets", [budget_table(plan)]),
        Section("Criteria", _criteria(plan)),
    ]
    return Document(f"{plan['title']} Orchestration Plan", subtitle, sections)


def _minutes(seconds: float | None) -> str:
    return "–" if seconds is None else format_minutes(seconds / 60)


def _names(names: object) -> Inline:
    parts: list[str] = []
    for name in names or []:  # type: ignore[attr-defined]
        parts += [", ", Code(str(name))] if parts else [Code(str(name))]
    return parts or "–"


def _overview(plan: Plan, larrys: int, workers: int, tasks: int) -> list[Block]:
    barrier = plan.get("barrier") or {}
    estate = plan.get("estate") or {}
    scale = plan["time_scale"]
    rows = [
        ("Cluster", plan["cluster"]),
        ("Larrys, workers, tasks, nodes", f"{larrys}, {workers}, {tasks}, {len(plan['nodes'])}"),
        ("Controllers", show(plan.get("controllers"))),
        ("Window", _minutes(plan["window_s"])),
        ("Time scale", f"{show(scale)}: the window takes {show(plan['window_s'] / scale)} real seconds"),
        ("Convergence from", _minutes(plan.get("convergence_s"))),
        ("Barrier", f"policy {barrier.get('policy', '–')}, timeout {show(barrier.get('timeout_s'))} s"),
        ("The run fails on", f"{plan.get('fail_on', '–')}"),
        ("Clean-up", f"{plan.get('cleanup', '–')}".replace("_", " ")),
        ("Estate", f"{estate.get('source', '–')}"),
    ]
    return [Table(("What", "Value"), rows)]


def _nodes(plan: Plan) -> list[Block]:
    rows = []
    for name, node in plan["nodes"].items():
        bound = [larry for larry, spec in plan["larrys"].items() if spec["node"] == name]
        bound += [worker for worker, spec in plan["workers"].items() if spec["node"] == name]
        rows.append((Code(name), node.get("address") or "–", node.get("role") or "–", _names(bound)))
    return [Table(("Node", "Address", "Role", "Bound to it"), rows)]


def _larrys(plan: Plan) -> list[Block]:
    rows, masters = [], []
    for larry, spec in plan["larrys"].items():
        checks = ", ".join(
            f"T+{show(one['at_s'] / 60)}: {show(one['progress'])} %" for one in spec.get("checkpoints") or []
        )
        rows.append(
            (
                Code(larry),
                spec["domain"],
                Code(spec["node"]),
                _minutes(spec["phase_s"]),
                checks or "–",
                str(len(spec["workers"])),
                show(spec.get("tokens")),
            )
        )
        masters += [
            (Code(name), Code(larry), show(one.get("tokens")), show(one.get("pool")))
            for name, one in (spec.get("masters") or {}).items()
        ]
    columns = ("Larry", "Domain", "Node", "Phase", "Checkpoints", "Workers", "Tokens")
    blocks: list[Block] = [Table(columns, rows, ("Phase", "Workers", "Tokens"))]
    if masters:
        blocks.append(Heading("Master agents"))
        blocks.append(Table(("Master agent", "Larry", "Tokens", "Pool"), masters, ("Tokens", "Pool")))
    return blocks


def _workers(plan: Plan) -> list[Block]:
    rows = [
        (
            Code(worker),
            Code(spec["larry"]),
            Code(spec["node"]),
            _minutes(spec.get("duration_s")),
            show(spec.get("tokens")),
            _names(spec.get("capabilities")),
        )
        for worker, spec in plan["workers"].items()
    ]
    return [Table(("Worker", "Larry", "Node", "Duration", "Tokens", "Capabilities"), rows, ("Duration", "Tokens"))]


def _tasks(plan: Plan) -> list[Block]:
    in_order = sorted(plan["tasks"].items(), key=lambda one: one[1]["index"])
    rows = [
        (
            Code(task),
            Code(spec["larry"]),
            Code(spec["worker"]) if spec.get("worker") else "any capable",
            Code(spec["capability"]),
            _minutes(spec["planned_s"]),
            _names(spec["depends_on"]),
            _names(spec["after"]),
            _names(spec.get("touches")),
        )
        for task, spec in in_order
    ]
    columns = ("Task", "Larry", "Worker", "Capability", "Planned", "Depends on", "After", "Touches")
    return [
        Paragraph("A task waits for those it depends on to be completed, and for those it is after to be settled."),
        Table(columns, rows, ("Planned",), where="the plan file"),
        Heading("Dependencies"),
        *_graph(plan),
    ]


def _graph(plan: Plan) -> list[Block]:
    order = [task for task in topological(plan) if task in plan["tasks"]]
    if len(order) > _MOST_IN_GRAPH:
        return [Paragraph(f"A graph of {len(order)} tasks would not be readable; the table above has them all.")]
    number = {task: f"t{index}" for index, task in enumerate(order)}
    lines = ["flowchart LR"]
    for index, larry in enumerate(plan["larrys"]):
        own = [task for task in order if plan["tasks"][task]["larry"] == larry]
        if own:
            lines.append(f'    subgraph l{index}["{escape_mermaid(larry)}"]')
            lines += [f'        {number[task]}["{escape_mermaid(task)}"]' for task in own]
            lines.append("    end")
    for task in order:
        spec = plan["tasks"][task]
        lines += [f"    {number[needed]} --> {number[task]}" for needed in spec["depends_on"] if needed in number]
        lines += [f"    {number[needed]} -.-> {number[task]}" for needed in spec["after"] if needed in number]
    return [Paragraph("A whole arrow is a dependency, a dotted one an order."), Mermaid("\n".join(lines))]


def _timeline(plan: Plan) -> list[Block]:
    schedule = planned_schedule(plan)
    groups = []
    for larry in plan["larrys"]:
        bars = [
            Bar(task, start / 60, end / 60, "planned")
            for task, (start, end) in schedule.items()
            if plan["tasks"][task]["larry"] == larry
        ]
        if bars:
            groups.append((larry, bars))
    blocks: list[Block] = [
        Paragraph("Each task as early as what it waits for and its worker allow, if all take their planned time.")
    ]
    if groups:
        blocks.append(Gantt("Planned tasks", "planned minutes", groups))
    milestones = plan.get("milestones") or []
    if milestones:
        rows = [(f"T+{show(one['at_s'] / 60)} min", one["name"]) for one in milestones]
        blocks += [Heading("Milestones"), Table(("When", "What"), rows)]
    return blocks


def budget_table(plan: Plan) -> Table:
    """The token budgets of a plan, Larry by Larry, and their sums."""
    budgets = plan.get("budgets") or {}
    rows: list[tuple[Inline, str]] = [(Code(larry), show(spec.get("tokens"))) for larry, spec in plan["larrys"].items()]
    rows += [
        (name.replace("_", " ").capitalize(), show(amount))
        for name, amount in budgets.items()
        if name not in ("total", "total_without_pools")
    ]
    rows.append(("In all, with the pools of the master agents", show(budgets.get("total"))))
    rows.append(("In all, without the pools", show(budgets.get("total_without_pools"))))
    return Table(("Budget", "Tokens"), rows, ("Tokens",))


def _criteria(plan: Plan) -> list[Block]:
    if not plan["criteria"]:
        return [Paragraph("The plan has none.")]
    rows = []
    for one in plan["criteria"]:
        measure: Inline = Code(one["measure"]) if one.get("measure") else "–"
        rows.append((one["title"], Code(one["scope"]), target_of(one), measure, _names(one.get("needs"))))
    return [Table(("Criterion", "Of", "Target", "Measure", "Needs"), rows)]
