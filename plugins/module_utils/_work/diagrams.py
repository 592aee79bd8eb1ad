# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mermaid diagrams. Every text that comes from an estate passes the one escaper here."""

from __future__ import annotations

import typing as t

from .._text import escape_mermaid

MAX_LABEL = 80
# Mermaid refuses diagrams with more edges or more text than this unless its configuration is changed.
MAX_EDGES = 480
MAX_TEXT = 48_000


def escape(text: str) -> str:
    """*text* for a quoted Mermaid label, never empty, because Mermaid knows no box without a label."""
    shortened = text if len(text) <= MAX_LABEL else f"{text[: MAX_LABEL - 3]}..."
    return escape_mermaid(shortened, None) or "-"


class Node(t.NamedTuple):
    """A box: its identity, what it is called, and the group it stands in (empty for none)."""

    id: str
    label: str
    group: str = ""
    shape: str = "box"


Edge = tuple[str, str, str]
_SHAPES = {"box": ('["', '"]'), "round": ('("', '")'), "cylinder": ('[("', '")]'), "hexagon": ('{{"', '"}}')}


def flowchart(nodes: t.Iterable[Node], edges: t.Iterable[Edge], direction: str = "LR") -> str:
    """A Mermaid flowchart. *edges* are (from, to, label) by node id; nodes get short names of their own.

    Sorted, so that the same input gives the same text. What is more than Mermaid draws is drawn by group, without the
    nodes, and a comment says so; if that is too much as well, the diagram says no more than how much there is.
    """
    known = {node.id: node for node in sorted(set(nodes))}
    drawn = sorted({edge for edge in edges if edge[0] in known and edge[1] in known})
    whole = _draw(known, drawn, direction)
    if _fits(whole, drawn):
        return whole
    of_group = {node.id: node.group or "none" for node in known.values()}
    between = sorted({(of_group[source], of_group[target], "") for source, target, _label in drawn})
    groups = {name: Node(name, name) for name in sorted({end for edge in between for end in edge[:2]})}
    grouped = _draw(groups, between, direction)
    if len(groups) > 1 and _fits(grouped, between):
        head, _newline, rest = grouped.partition("\n")
        return f"{head}\n  %% {len(drawn)} edges are too many to draw: groups stand for their members\n{rest}"
    said = f"{len(known)} nodes and {len(drawn)} edges are too many to draw"
    return _draw({"all": Node("all", said)}, [], direction)


def _fits(text: str, edges: list[Edge]) -> bool:
    return len(edges) <= MAX_EDGES and len(text) <= MAX_TEXT


def _draw(nodes: dict[str, Node], edges: list[Edge], direction: str) -> str:
    lines = [f"flowchart {direction}"]
    names = {node: f"n{number}" for number, node in enumerate(nodes)}
    for number, group in enumerate(sorted({node.group for node in nodes.values()})):
        inset = "  "
        if group:
            lines.append(f'  subgraph s{number}["{escape(group)}"]')
            inset = "    "
        for node in nodes.values():
            if node.group == group:
                start, stop = _SHAPES[node.shape]
                lines.append(f"{inset}{names[node.id]}{start}{escape(node.label)}{stop}")
        if group:
            lines.append("  end")
    for source, target, label in edges:
        arrow = f'-->|"{escape(label)}"|' if label else "-->"
        lines.append(f"  {names[source]} {arrow} {names[target]}")
    return "\n".join(lines) + "\n"
