# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Gantt chart as Mermaid (for Markdown) and as SVG (for HTML)."""

from __future__ import annotations

import math
import re

from .._text import escape_html, escape_mermaid
from .document import Gantt

_MERMAID_TAGS = {"completed": "done, ", "failed": "crit, ", "in_progress": "active, "}
_MOST_BARS = 200
_MOST_LETTERS = 80
# What Mermaid does not take for the name of a task where a line of a gantt begins with it.
_MERMAID_KEYWORD = re.compile(
    r"(?i)(?:gantt|title|section|click|call|href|(?:date|axis)Format|tickInterval|todayMarker|topAxis|includes|excludes"
    r"|inclusiveEndDates|weekday|weekend|accTitle|accDescr|accDescription)\b|\d{4}-\d\d-\d\d"
)


def gantt_mermaid(chart: Gantt) -> str:
    """The chart as Mermaid.

    Mermaid knows dates alone: one unit of the chart is written as one second after the epoch and the axis as seconds,
    which reads as a plain number and does not depend on the reader's time zone.
    """
    lines = [
        "gantt",
        f"    title {escape_mermaid(chart.title)} ({escape_mermaid(chart.unit)})",
        "    dateFormat x",
        "    axisFormat %s",
    ]
    left = _MOST_BARS
    number = 0
    for label, bars in chart.groups:
        if not bars or left <= 0:
            continue
        lines.append(f"    section {escape_mermaid(label) or '-'}")
        for one in bars[:left]:
            number += 1
            start = max(0, round(one.start * 1000))
            end = max(start + 1, round(one.end * 1000))
            lines.append(f"    {_row_name(one.label)} :{_MERMAID_TAGS.get(one.state, '')}t{number}, {start}, {end}")
        left -= len(bars)
    return "\n".join(lines)


def _row_name(label: str) -> str:
    """The name of a row, which is no word of Mermaid's own."""
    name = escape_mermaid(label, _MOST_LETTERS) or "-"
    return f"#{ord(name[0])};{name[1:]}" if _MERMAID_KEYWORD.match(name) else name


def nice_step(span: float, most: int = 8) -> float:
    """A step of 1, 2 or 5 times a power of ten that divides `span` into at most `most` parts."""
    if span <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    return next(step * power for step in (1, 2, 5, 10) if step * power * most >= span * 0.999999)


_LABEL, _RIGHT, _ROW, _HEAD, _GROUP = 230, 24, 24, 30, 30
_WIDTH = 960


def gantt_svg(chart: Gantt) -> str:
    """The chart as one SVG element, coloured by the style sheet of the page (classes ``bar-<state>``)."""
    groups = [(label, list(bars)) for label, bars in chart.groups if bars]
    left = _MOST_BARS
    for index, (label, bars) in enumerate(groups):
        groups[index] = (label, bars[:left])
        left = max(0, left - len(bars))
    groups = [(label, bars) for label, bars in groups if bars]
    end = max((one.end for _label, bars in groups for one in bars), default=0.0)
    step = nice_step(end)
    top = max(step, math.ceil(end / step - 1e-9) * step)
    plot = _WIDTH - _LABEL - _RIGHT
    height = _HEAD + sum(_GROUP + _ROW * len(bars) for _label, bars in groups) + 12

    def x(value: float) -> float:
        return round(_LABEL + plot * min(max(value, 0.0), top) / top, 2)

    out = [
        f'<svg class="gantt" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape_html(chart.title, 200)} ({escape_html(chart.unit, 60)})">'
    ]
    for tick in range(round(top / step) + 1):
        value = tick * step
        out.append(f'<line class="grid" x1="{x(value)}" y1="{_HEAD - 6}" x2="{x(value)}" y2="{height - 6}"/>')
        out.append(f'<text class="tick" x="{x(value)}" y="{_HEAD - 12}" text-anchor="middle">{value:g}</text>')
    out.append(f'<text class="tick" x="0" y="{_HEAD - 12}">{escape_html(chart.unit, 60)}</text>')
    y = _HEAD
    for label, bars in groups:
        out.append(f'<text class="group" x="0" y="{y + 20}">{escape_html(label, 48)}</text>')
        y += _GROUP
        for one in bars:
            name, width = escape_html(one.label, 34), max(3.0, x(one.end) - x(one.start))
            span = f"{one.start:.2f} to {one.end:.2f} {escape_html(chart.unit, 60)}"
            out.append(f"<g><title>{escape_html(one.label, 120)}: {escape_html(one.state, 40)}, {span}</title>")
            out.append(f'<text class="row" x="10" y="{y + 15}">{name}</text>')
            if one.waiting_from is not None and one.waiting_from < one.start:
                waiting = max(0.0, x(one.start) - x(one.waiting_from))
                out.append(
                    f'<rect class="waiting" x="{x(one.waiting_from)}" y="{y + 9}" width="{waiting:.2f}" height="4"/>'
                )
            state = "".join(char if char.isalnum() else "-" for char in one.state)[:30]
            begin = min(x(one.start), _WIDTH - _RIGHT - width)
            out.append(
                f'<rect class="bar bar-{escape_html(state)}" x="{begin:.2f}" y="{y + 4}" width="{width:.2f}" '
                'height="14" rx="3"/></g>'
            )
            y += _ROW
    out.append("</svg>")
    return "".join(out)
