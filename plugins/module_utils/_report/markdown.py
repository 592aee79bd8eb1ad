# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A document as Markdown (GitHub's flavour)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .._text import escape_markdown, escape_markdown_code
from .document import (
    Block,
    Bullets,
    Code,
    CodeBlock,
    Document,
    Figures,
    Gantt,
    Heading,
    Inline,
    Mermaid,
    Paragraph,
    Reason,
    State,
    Strong,
    Table,
    inline_parts,
)
from .gantt import gantt_mermaid

# A shape beside the word, so that a state is seen at a glance also without colour.
_MARKS = {
    "met": "✅ ", "completed": "✅ ", "resolved": "✅ ", "unmet": "❌ ", "failed": "❌ ", "blocked": "❌ ",
    "not measured": "⬜ ", "skipped": "⬜ ", "open": "⬜ ",
}  # fmt: skip


def render_markdown(document: Document) -> str:
    """The document as Markdown text, with a newline at its end."""
    out = [f"# {escape_markdown(document.title)}", _inline(document.subtitle)]
    for section in document.sections:
        out.append(f"## {escape_markdown(section.title)}")
        out.extend(_block(block) for block in section.blocks)
    return "\n\n".join(one for one in out if one) + "\n"


def _inline(text: Inline) -> str:
    return "".join(_part(part) for part in inline_parts(text))


def _part(part: str) -> str:
    if isinstance(part, Code):
        return escape_markdown_code(part)
    if isinstance(part, State):
        return _MARKS.get(part, "") + escape_markdown(part)
    if isinstance(part, Strong):
        return _keep_blanks(part, f"**{escape_markdown(part)}**") if part.strip() else ""
    if isinstance(part, Reason):
        return f": {escape_markdown(part)}" if part.strip() else ""
    return _keep_blanks(part, escape_markdown(part))


def _keep_blanks(part: str, rendered: str) -> str:
    """The blanks at the ends of a part, which escaping takes off, join it to its neighbours."""
    if not rendered:
        return " " if part else ""
    return (" " if part[:1].isspace() else "") + rendered + (" " if part[-1:].isspace() else "")


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"### {escape_markdown(block.text)}"
    if isinstance(block, Paragraph):
        return _inline(block.text).strip()
    if isinstance(block, Bullets):
        return "\n".join(f"- {_inline(entry).strip()}" for entry in block.entries)
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Figures):
        columns = ("Figure", "Value", "Note") if any(note for *_rest, note in block.entries) else ("Figure", "Value")
        rows = [(Strong(label), figure, note)[: len(columns)] for label, figure, note in block.entries]
        return _table(Table(columns, rows))
    if isinstance(block, CodeBlock):
        return _fenced(block.text, block.language)
    if isinstance(block, Mermaid):
        return _fenced(block.text, "mermaid")
    if isinstance(block, Gantt):
        return _fenced(gantt_mermaid(block), "mermaid")
    raise TypeError(f"no block of a document: {type(block).__name__}")


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _table(table: Table) -> str:
    rules = ["---:" if column in table.numeric else "---" for column in table.columns]
    lines = [_row([escape_markdown(column) for column in table.columns]), _row(rules)]
    lines.extend(_row([_inline(cell).strip() for cell in row]) for row in table.rows[: table.limit])
    if len(table.rows) > table.limit:
        lines += ["", f"{len(table.rows) - table.limit} more rows are in {escape_markdown(table.where)}."]
    return "\n".join(lines)
