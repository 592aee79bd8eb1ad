# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mermaid diagrams. Every text that comes from an estate passes the one escaper here."""

from __future__ import annotations

import typing as t

MAX_LABEL = 80
# Mermaid refuses diagrams with more edges than this unless its configuration is changed.
MAX_EDGES = 480
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._-/,+=")


def escape(text: str, limit: int = MAX_LABEL) -> str:
    """*text* for a quoted Mermaid label: whatever could mean something to Mermaid, HTML or Markdown is a code point."""
    if len(text) > limit:
        text = text[: limit - 3] + "..."
    return "".join(
        char if char in _SAFE else f"#{ord(char)};" if char.isprintable() and ord(char) < 0x10000 else " "
        for char in text
    )


class Node(t.NamedTuple):
    """A box: its identity, what it is called, and the group it stands in (empty for none)."""

    id: str
    label: str
    group: str = ""
    shape: str = "box"


_SHAPES = {"box": ('["', '"]'), "round": ('("', '")'), "cylinder": ('[("', '")]'), "hexagon": ('{{"', '"}}')}


def flowchart(nodes: t.Iterable[Node], edges: t.Iterable[tuple[str, str, str]], direction: str = "LR") -> str:
    """A Mermaid flowchart. *edges* are (from, to, label) by node id; nodes get short names of their own.

    Sorted, so that the same input gives the same text. Above MAX_EDGES edges the groups are drawn instead of the
    nodes, and a comment says so.
    """
    known = {node.id: node for node in sorted(set(nodes))}
    drawn = sorted({edge for edge in edges if edge[0] in known and edge[1] in known})
    lines = [f"flowchart {direction}"]
    if len(drawn) > MAX_EDGES:
        lines.append(f"  %% {len(drawn)} edges are too many to draw: groups stand for their members")
        grouped = {(known[a].group or "none", known[b].group or "none") for a, b, _label in drawn}
        names = {group: f"g{number}" for number, group in enumerate(sorted({end for pair in grouped for end in pair}))}
        lines.extend(f'  {names[group]}["{escape(group)}"]' for group in sorted(names))
        lines.extend(f"  {names[a]} --> {names[b]}" for a, b in sorted(grouped)[:MAX_EDGES])
        return "\n".join(lines) + "\n"
    names = {node: f"n{number}" for number, node in enumerate(known)}
    for number, group in enumerate(sorted({node.group for node in known.values()})):
        members = [node for node in known.values() if node.group == group]
        inset = "  "
        if group:
            lines.append(f'  subgraph s{number}["{escape(group)}"]')
            inset = "    "
        for node in members:
            start, stop = _SHAPES[node.shape]
            lines.append(f"{inset}{names[node.id]}{start}{escape(node.label)}{stop}")
        if group:
            lines.append("  end")
    for source, target, label in drawn:
        arrow = f'-->|"{escape(label)}"|' if label else "-->"
        lines.append(f"  {names[source]} {arrow} {names[target]}")
    return "\n".join(lines) + "\n"
