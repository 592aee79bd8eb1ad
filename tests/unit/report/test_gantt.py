# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gantt charts as Mermaid and as SVG."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._report.document import Bar, Gantt
from ansible_collections.cortex.larry.plugins.module_utils._report.gantt import gantt_mermaid, gantt_svg, nice_step

HOSTILE = "</text><script>x</script>\"' : , ; # %% \n\x1b[2J"


def chart(label: str = "larry-01", name: str = "catalog", state: str = "completed", count: int = 1) -> Gantt:
    return Gantt(label, label, [(label, [Bar(name, 1.5, 4.0, state, 1.0)] * count), ("empty", [])])


def test_mermaid_writes_one_unit_as_one_second():
    assert gantt_mermaid(chart()).split("\n") == [
        "gantt",
        "    title larry-01 (larry-01)",
        "    dateFormat x",
        "    axisFormat %s",
        "    section larry-01",
        "    catalog :done, t1, 1500, 4000",
    ]


def test_svg_bars_are_where_their_times_are():
    root = ElementTree.fromstring(gantt_svg(Gantt("t", "s", [("l", [Bar("a", 0, 5, "failed"), Bar("b", 5, 10, "x")])])))
    first, second = (one for one in root.iter("rect"))
    assert float(first.get("x")) + float(first.get("width")) == pytest.approx(float(second.get("x")))
    assert first.get("width") == second.get("width")
    assert first.get("class") == "bar bar-failed"


def test_hostile_names_stay_text():
    svg = gantt_svg(chart(HOSTILE, HOSTILE, HOSTILE))
    root = ElementTree.fromstring(svg)
    assert {one.tag for one in root.iter()} <= {"svg", "g", "title", "text", "rect", "line"}
    mermaid = gantt_mermaid(chart(HOSTILE, HOSTILE, HOSTILE)).split("\n")
    assert len(mermaid) == 6
    assert re.fullmatch(r"    [^:]+ :t1, 1500, 4000", mermaid[5])


def test_times_out_of_range_and_no_times_at_all():
    bars = [Bar("a", -5, -1, "completed"), Bar("b", 0, 0, "completed"), Bar("c", 3, 1, "completed", -9)]
    for one in (Gantt("t", "s", [("l", bars)]), Gantt("t", "s", [])):
        ElementTree.fromstring(gantt_svg(one))
    for start, end in re.findall(r", (-?\d+), (-?\d+)$", gantt_mermaid(Gantt("t", "s", [("l", bars)])), re.MULTILINE):
        assert 0 <= int(start) < int(end)


def test_a_chart_is_bounded():
    assert gantt_svg(chart(count=5000)).count("<g>") == 200
    assert gantt_mermaid(chart(count=5000)).count(" :done") == 200


@pytest.mark.parametrize(("span", "step"), [(0, 1), (7, 1), (30, 5), (35, 5), (41, 10), (2400, 500), (0.5, 0.1)])
def test_steps_are_round(span, step):
    assert nice_step(span) == pytest.approx(step)
