# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every diagram that we write, read by Mermaid's own parser: it accepts them and finds in them what we put in."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import mermaid_parser
import pytest

from ansible_collections.cortex.larry.plugins.module_utils import _report as report
from ansible_collections.cortex.larry.plugins.module_utils._plan import load_plan
from ansible_collections.cortex.larry.plugins.module_utils._report.document import Bar, Gantt
from ansible_collections.cortex.larry.plugins.module_utils._report.gantt import gantt_mermaid
from ansible_collections.cortex.larry.plugins.module_utils._work import capabilities
from ansible_collections.cortex.larry.plugins.module_utils._work.diagrams import MAX_EDGES, MAX_LABEL, Node, flowchart

pytestmark = pytest.mark.main_core

ROOT = Path(__file__).resolve().parents[3]
PLANS = sorted([*(ROOT / "inventories").glob("*/*.larry.yml"), *(ROOT / "tests" / "plans").glob("*.larry.yml")])

# Names that begin with a word of a grammar, and such as hold its signs.
WORDS = [
    "gantt", "gantt-charts", "title", "title x", "Section", "section x", "click", "click x", "call", "call x()", "href",
    "dateFormat x", "axisFormat", "tickInterval 1day", "todayMarker off", "topAxis", "includes", "excludes weekends",
    "inclusiveEndDates", "weekday monday", "weekend friday", "accTitle", "accDescr", "accTitle: x", "2026-11-21",
    "2026-11-21-clean-up", "done", "crit", "milestone", "vert", "end", "subgraph", "graph", "flowchart", "style x",
    "style x fill:#fff;", "classDef x", "linkStyle 0", "default", "interpolate", "direction LR", "redirection  TB",
    "1. one", "2) two", "- dash", "* star", "+ plus", "# head", "#35;", "#quot;", "&amp;", "<b>x</b>", '"x"', "`x`",
    "%% x", "%%{init: {}}%%", "---", "a --> b", "a;b", "a:b", ":t9, 0, 5", "{{x}}", "[x]", "(x)", "a|b", "@{shape: x}",
    "\\n", "_x_", "__b__", "~~s~~", "http://x.y", "fa:fa-user", "$$x^2$$", "constructor", "__proto__", "ä€日本🙂",
    "-", ".",
]  # fmt: skip
SIGNS = "\"'`#;:&<>{}[]()|%@$*_~-.,/+=\\ aé日🙂19"


def hostile() -> list[str]:
    """The words above and random mixtures of signs, without white space at the ends and without repetitions."""
    dice = random.Random(20261121)
    mixed = ["".join(dice.choices(SIGNS, k=dice.randint(1, 30))).strip() for _number in range(150)]
    return [name for name in dict.fromkeys([*WORDS, *mixed]) if name]


@pytest.fixture(scope="module")
def parse() -> Callable[[list[str]], list[dict]]:
    """The parser; it refuses nothing of what it is given."""
    try:
        mermaid_parser.install()
    except mermaid_parser.Unavailable as reason:
        pytest.skip(str(reason))

    def accepted(diagrams: list[str]) -> list[dict]:
        assert diagrams
        answers = mermaid_parser.parse(diagrams)
        refused = [(one["error"], diagram) for one, diagram in zip(answers, diagrams, strict=True) if "error" in one]
        assert not refused, f"{len(refused)} of {len(diagrams)} refused, the first with {refused[0]}"
        return answers

    return accepted


def test_the_parser_refuses_what_is_wrong(parse) -> None:
    wrong = ["flowchart LR\n  n0[", "gantt\n    gantt :t1, 0, 5", "no diagram", "flowchart LR\n" + "  a --> b\n" * 501]
    assert all("error" in answer for answer in mermaid_parser.parse(wrong))


def test_a_summary_and_the_plans(parse, fixture, tmp_path) -> None:
    record = fixture.record()
    written = report.write_summary(fixture.write(tmp_path / "reports", record), str(tmp_path))
    diagrams = mermaid_parser.diagrams_in(Path(written["markdown"]["path"]).read_text(encoding="utf-8"))
    phases, tasks = parse(diagrams)
    assert [task["section"] for task in phases["tasks"]] == [larry for larry in record["larrys"] for _twice in "12"]
    assert Counter(task["name"] for task in tasks["tasks"]) == Counter(record["tasks"].keys())
    took = {task["name"]: task["end"] - task["start"] for task in tasks["tasks"]}
    assert set(took.values()) == {9500}, "what ran for 9.5 s is drawn with 9.5 s"
    assert len(PLANS) >= 4
    for path in PLANS:
        plan = load_plan(str(path)).canonical()
        graph, timeline = parse(mermaid_parser.diagrams_in(report.render_markdown(report.plan_document(plan))))
        assert sorted(graph["nodes"].values()) == sorted(task["name"] for task in timeline["tasks"])
        assert sorted(graph["nodes"].values()) == sorted(plan["tasks"])
        drawn = {(graph["nodes"][one], graph["nodes"][two], kind) for one, two, kind, _label in graph["edges"]}
        assert drawn == {
            (needed, task, kind)
            for task, spec in plan["tasks"].items()
            for field, kind in (("depends_on", "normal"), ("after", "dotted"))
            for needed in spec[field]
        }
        assert {title: len(nodes) for title, nodes in graph["groups"]} == Counter(
            spec["larry"] for spec in plan["tasks"].values()
        )


def test_the_diagrams_of_the_bundled_estate(parse, tmp_path) -> None:
    given = {"coordination_dir": str(tmp_path), "estate_path": str(ROOT / "examples" / "estate"), "source": "gitops"}
    capabilities.catalog_deployments({**given, "namespaces": None, "task_id": "objects"})
    capabilities.catalog_helm_releases({**given, "namespaces": None, "task_id": "helm"})
    found = sorted(tmp_path.rglob("*.mmd"))
    assert [path.name for path in found] == ["lineage.mmd", "dependency-map.mmd"]
    for answer in parse([path.read_text(encoding="utf-8") for path in found]):
        assert len(answer["nodes"]) > 20 and len(answer["edges"]) > 20
        assert {end for edge in answer["edges"] for end in edge[:2]} <= answer["nodes"].keys()


def test_no_name_becomes_syntax(parse) -> None:
    names = hostile()
    charts = [gantt_mermaid(Gantt(name, "s", [(name, [Bar(name, 0, 5, "completed")])])) for name in names]
    boxes = [flowchart([Node("a", name, name), Node("b", "B")], [("a", "b", name)]) for name in names]
    for name, chart in zip(names, parse(charts), strict=True):
        assert chart["title"] == f"{name} (s)"
        assert chart["tasks"] == [{"section": name, "name": name, "start": 0, "end": 5000, "tags": ["done"]}]
    for name, drawn in zip(names, parse(boxes), strict=True):
        assert sorted(drawn["nodes"].values()) == sorted([name, "B"])
        assert drawn["edges"][0][2:] == ["normal", name] and drawn["groups"][0][0] == name


def test_a_task_may_be_called_like_a_word_of_mermaid(parse, fixture) -> None:
    names = [name for name in WORDS if name.replace("-", "").isalnum() and name.isascii() and name == name.lower()]
    assert {"gantt", "title", "click", "2026-11-21"} <= set(names)
    plan = fixture.plan()
    pattern = next(iter(plan["tasks"].values()))
    plan["tasks"] = {name: {**pattern, "id": name, "depends_on": [], "after": []} for name in names}
    graph, timeline = parse(mermaid_parser.diagrams_in(report.render_markdown(report.plan_document(plan))))
    assert sorted(task["name"] for task in timeline["tasks"]) == sorted(graph["nodes"].values()) == sorted(names)


@pytest.mark.parametrize(("groups", "edges", "nodes"), [(7, MAX_EDGES + 1, 7), (0, MAX_EDGES + 1, 1), (3, 300, 3)])
def test_what_mermaid_would_not_draw_is_drawn_by_group(parse, groups, edges, nodes) -> None:
    """Too many edges, too many without groups to stand for them, and too much text in 600 long labels."""
    label = "<" * MAX_LABEL if edges == 300 else "box"
    boxes = [Node(f"{one:04}", f"{label}{one}", f"group {one % groups}" if groups else "") for one in range(edges * 2)]
    lines = [(boxes[2 * one].id, boxes[2 * one + 1].id, "") for one in range(edges)]
    (drawn,) = parse([flowchart(boxes, lines)])
    assert len(drawn["nodes"]) == nodes
