# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mermaid diagrams: nothing from an estate can become syntax."""

from __future__ import annotations

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._work.diagrams import MAX_EDGES, Node, escape, flowchart

HOSTILE = ['"]; click a "x"', "<b>", "a\nend\n", "`**x**`", "%% c", "#quot;", "|a|", "{{x}}", "\u202e", "\x1b[31m", "é"]


@pytest.mark.parametrize("text", HOSTILE)
def test_the_escaper_leaves_nothing_that_means_something(text: str) -> None:
    escaped = escape(text)
    assert not set(escaped) & set("\"<>`\n|{}[]()%\u202e\x1b&'*\\")
    assert all(part.split(";")[0].isdigit() for part in escaped.split("#")[1:])


def test_long_labels_are_cut_before_they_are_escaped() -> None:
    assert escape("<" * 500).count("#60;") == 77


def test_hostile_names_stay_in_their_quotes() -> None:
    nodes = [Node(text, text, text) for text in HOSTILE]
    drawn = flowchart(nodes, [(HOSTILE[0], HOSTILE[1], HOSTILE[2])])
    for line in drawn.splitlines():
        assert line.count('"') in (0, 2)
    assert len(drawn.splitlines()) == 1 + 3 * len(HOSTILE) + 1


def test_sorted_and_without_edges_to_nowhere() -> None:
    nodes = [Node("b", "B"), Node("a", "A")]
    drawn = flowchart(nodes, [("b", "a", ""), ("a", "gone", "")])
    assert drawn == flowchart(reversed(nodes), [("a", "gone", ""), ("b", "a", "")])
    assert drawn == 'flowchart LR\n  n0["A"]\n  n1["B"]\n  n1 --> n0\n'


def test_too_many_edges_are_drawn_by_group() -> None:
    nodes = [Node(f"{number:04}", "x", f"g{number % 3}") for number in range(MAX_EDGES + 2)]
    drawn = flowchart(nodes, [(a.id, b.id, "") for a, b in zip(nodes, nodes[1:], strict=False)])
    assert "too many to draw" in drawn and drawn.count("-->") == 3
