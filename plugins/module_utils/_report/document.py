# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a document is made of, independent of its format. Content here is raw text; only the renderers escape."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Union


class Code(str):
    """Text to show as code: an id, a path, a command."""

    __slots__ = ()


class State(str):
    """Text to show as a state: met, unmet, not measured, completed, failed, ..."""

    __slots__ = ()


class Strong(str):
    """Text to show with weight."""

    __slots__ = ()


class Reason(str):
    """Why a state is what it is; follows a `State`."""

    __slots__ = ()


Inline = Union[str, Sequence[str]]
"""A text, or several in a row."""


class Heading(NamedTuple):
    """A heading below the one of its section."""

    text: str


class Paragraph(NamedTuple):
    """A paragraph."""

    text: Inline


class Bullets(NamedTuple):
    """A list."""

    entries: Sequence[Inline]


class Table(NamedTuple):
    """A table; `numeric` names the columns that hold figures. Renderers show `limit` rows and say what is left out."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Inline]]
    numeric: Sequence[str] = ()
    limit: int = 200
    where: str = "the final JSON files"


class Figures(NamedTuple):
    """Key figures: (label, figure, note) each."""

    entries: Sequence[tuple[str, Inline, str]]


class CodeBlock(NamedTuple):
    """Lines of code; `language` as Markdown names it."""

    text: str
    language: str = ""


class Mermaid(NamedTuple):
    """A Mermaid diagram whose labels are escaped already."""

    text: str


class Bar(NamedTuple):
    """A row of a Gantt chart; times in the unit of the chart, from its zero."""

    label: str
    start: float
    end: float
    state: str
    waiting_from: float | None = None


class Gantt(NamedTuple):
    """A Gantt chart: groups of bars."""

    title: str
    unit: str
    groups: Sequence[tuple[str, Sequence[Bar]]]


Block = Union[Heading, Paragraph, Bullets, Table, Figures, CodeBlock, Mermaid, Gantt]


class Section(NamedTuple):
    """A section of a document."""

    title: str
    blocks: Sequence[Block]


class Document(NamedTuple):
    """A whole document."""

    title: str
    subtitle: Inline
    sections: Sequence[Section]


def inline_parts(text: Inline) -> Sequence[str]:
    """The parts of an inline text."""
    return (text,) if isinstance(text, str) else text


_IN_WORDS = {"==": "", "!=": "not ", "<": "below ", "<=": "at most ", ">": "above ", ">=": "at least "}


def target_of(criterion: Mapping[str, Any]) -> str:
    """What a criterion asks for, in words: ``at most 30 minutes``, ``0 tasks``, ``yes``; ``completed`` without one."""
    if not criterion.get("op"):
        return "completed"
    return _IN_WORDS.get(criterion["op"], f"{criterion['op']} ") + measured(criterion["threshold"], criterion)


def measured(value: object, criterion: Mapping[str, Any]) -> str:
    """A value of a criterion with its unit."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return show(value) + (f" {criterion['unit']}" if criterion.get("unit") and value is not None else "")


def show(value: object) -> str:
    """A figure or a plain value as a reader wants it: no needless decimals, JSON for what is nested."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    if isinstance(value, (dict, list)):
        return json.dumps(value, sort_keys=True)
    return str(value)
