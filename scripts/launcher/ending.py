# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last lines of the launcher: where the report is, how to ask the server, how the criteria stand."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings
from ansible_collections.cortex.larry.plugins.module_utils._plan import Plan
from ansible_collections.cortex.larry.plugins.module_utils._report import (
    ReportError,
    final_file_name,
    read_summary,
    summary_file_stem,
)
from ansible_collections.cortex.larry.plugins.module_utils._text import escape_terminal

ROOT = Path(__file__).resolve().parents[2]
FAILURES_SHOWN = 5
LINES_SHOWN = 10
CRITERION_STATES = ("met", "unmet", "not measured")


def read_result(plan: Plan, directory: Path, run: str | None) -> dict[str, Any] | None:
    """The model of the summary of this run's final files; None when this run has written none."""
    reports = directory / "reports"
    try:
        model = read_summary([str(reports / final_file_name(larry)) for larry in plan.larrys])
    except ReportError:
        return None
    return model if model["run"]["id"] == run else None


def closing_lines(
    plan: Plan, settings: Settings, directory: Path, run: str | None, model: dict[str, Any] | None
) -> list[str]:
    """What is said when the controllers have ended; `settings` are those of the server that they used."""
    lines = []
    if model is not None:
        counts = Counter(task["status"] for task in model["tasks"].values())
        told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        lines += [f"Run        {run}: {len(model['tasks'])} tasks, {told}", *_report_lines(plan, directory)]
    elif run is not None:
        lines.append(f"Report     none was written for the run {run}")
    if run is not None:
        lines.append(f"Server     {ask_server(plan, settings)}")
    if run is not None and (model is None or model["run"]["state"] != "finished"):
        lines.append(f"Resume     the run {run} is not finished; the same command goes on with it")
    if model is not None:
        lines += criteria_lines(model["criteria"])
    return lines


def _report_lines(plan: Plan, directory: Path) -> list[str]:
    stem = directory / "reports" / summary_file_stem(plan.title)
    return [f"Report     {shown(stem)}.md", f"           {shown(stem)}.html"]


def criteria_lines(criteria: list[dict[str, Any]]) -> list[str]:
    """How many are met, and which are not."""
    counts = Counter(one["state"] for one in criteria)
    lines = ["Criteria   " + ", ".join(f"{counts[state]} {state}" for state in CRITERION_STATES)]
    for one in criteria:
        if one["state"] == "unmet":
            unit = f" {one['unit']}" if one.get("unit") else ""
            value = f"{one['value']:.4g}" if isinstance(one["value"], float) else one["value"]
            title = one["title"] if one["scope"] == "system" else f"{one['scope']}: {one['title']}"
            lines.append(f"  unmet    {escape_terminal(f'{title} ({value}{unit})', 300)}")
    return lines


def ask_server(plan: Plan, settings: Settings) -> str:
    """The command that asks the server of this plan; it holds no password."""
    key = f"{settings.prefix}phase:{next(iter(plan.larrys))}:status"
    make = "make" if Path.cwd() == ROOT else f"make -C {shlex.quote(shown(ROOT))}"
    where = "" if settings.server == "embedded" else "LARRY_REDIS=<URL of the plan's server> "
    return f'{where}{make} redis ARGS="GET {key}"'


def shown(path: Path) -> str:
    """A path relative to the current directory where it lies below it."""
    absolute = os.path.abspath(path)
    relative = os.path.relpath(absolute)
    return absolute if relative.startswith("..") else relative


def print_failures(controllers: list[Any]) -> None:
    """The failing part of controllers that did not end well: what failed, else the end of the output."""
    for one in controllers:
        code = one.runner.rc
        how = "was killed by a signal" if code is None else f"ended with {code}"
        print(f"\nThe controller {one.name} {how}; its output is in {shown(one.log)}", file=sys.stderr)
        told: dict[str, dict[str, str]] = {}  # one sentence -> the hosts that failed with it -> their first task
        for host, task, said in one.failures[-FAILURES_SHOWN:]:
            told.setdefault(said, {}).setdefault(host, task)
        tail = one.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES_SHOWN:]
        for line in [f"{', '.join(hosts)}, {min(hosts.values())}: {said}" for said, hosts in told.items()] or tail:
            print(f"  {escape_terminal(line, 2000)}", file=sys.stderr)
