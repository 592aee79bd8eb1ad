# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as a document."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.cortex.larry.plugins.module_utils import _report as report
from ansible_collections.cortex.larry.plugins.module_utils._plan.schema import RUN_MEASURES

INVENTORIES = Path(__file__).resolve().parents[3] / "inventories"


def test_the_document_has_its_name_its_sections_and_both_totals(fixture, tmp_path):
    written = report.write_plan_document(fixture.plan(), str(tmp_path), "d" * 64)
    assert written["path"] == str(tmp_path / "3-LARRY-ORCHESTRATION-PLAN.md")
    text = Path(written["path"]).read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        "Overview", "Nodes", "Larrys", "Workers", "Tasks", "Timeline", "Budgets", "Criteria",
    ]  # fmt: skip
    assert "| In all, with the pools of the master agents | 234000 |" in text
    assert "| In all, without the pools | 189000 |" in text
    assert "d" * 64 in text


def test_the_graph_has_every_dependency_once(fixture):
    plan = fixture.plan()
    plan["tasks"]["second-03"]["after"] = ["second-01"]
    text = report.render_markdown(report.plan_document(plan))
    names = dict(re.findall(r'(t\d+)\["([^"]*)"\]', text))
    assert sorted(names.values()) == sorted(plan["tasks"])
    arrows = {(names[one], kind, names[two]) for one, kind, two in re.findall(r"(t\d+) (-->|-\.->) (t\d+)", text)}
    wanted = {(one, "-->", task) for task, spec in plan["tasks"].items() for one in spec["depends_on"]}
    assert arrows == {*wanted, ("second-01", "-.->", "second-03")}


def test_hostile_names_stay_in_their_labels(fixture):
    plan = fixture.plan(1)
    plan["tasks"]['"] --> t0; click t0 "javascript:x'] = plan["tasks"].pop("second-01")
    plan["nodes"]["node-01"]["address"] = "|x|\n<b>"
    text = report.render_markdown(report.plan_document(plan))
    diagram = text[text.index("flowchart") : text.index("```", text.index("flowchart"))]
    assert re.search(r"^\s*click", diagram, re.MULTILINE) is None
    assert diagram.count('"') % 2 == 0 and "javascript:" not in diagram
    assert "<b>" not in text


def test_a_graph_of_too_many_tasks_is_not_drawn(fixture):
    text = report.render_markdown(report.plan_document(fixture.plan(100)))
    assert "flowchart" not in text and "200 tasks" in text


@pytest.mark.parametrize("inventory", ["embedded", "k3s"])
def test_the_shipped_plans_fit_the_reports(inventory, tmp_path):
    """The canonical plan is what the reports take: its document is written, its final file is valid."""
    plans = pytest.importorskip("ansible_collections.cortex.larry.plugins.module_utils._plan")
    plan = plans.load_plan(str(INVENTORIES / inventory / "three-larrys.larry.yml")).canonical()
    text = Path(report.write_plan_document(plan, str(tmp_path))["path"]).read_text(encoding="utf-8")
    assert "478000" in text and "393000" in text
    record = {"run": {"id": "r", "digest": "d", "state": "created"}, "plan": plan}
    finals = [report.build_final(record, larry, [], "2026-11-21T07:40:00Z") for larry in plan["larrys"]]
    assert [report.validate_final(final) for final in finals] == [[], [], []]
    model = report.build_summary(finals)
    assert {one["state"] for one in model["criteria"]} == {"not measured"}
    used = {name for one in plan["criteria"] for name in re.findall(r"\brun\.(\w+)", one["measure"] or "")}
    assert used <= set(RUN_MEASURES)
