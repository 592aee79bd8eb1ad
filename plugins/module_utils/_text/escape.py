# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One escaper for each output format.

Everything that comes from Redis, an estate or a tool is hostile text. Each function takes any value (``None`` is the
empty string), removes what no reader can see, bounds the length and returns text that its format shows literally.
The bound keeps one hostile string from swallowing a report; what was cut is said in the text itself.
"""

from __future__ import annotations

import re
import unicodedata

DEFAULT_LIMIT = 2000
"""Characters that an escaped text keeps of its input unless the caller says otherwise."""

# Cc control, Cf format (bidirectional overrides, zero width), Cs lone surrogates (cannot be encoded), Co private use.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co"})
_ANSI = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movement
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC and other strings: titles, clipboard, links
    r"|\x1b[ -/]*[0-~]"  # other escapes
    r"|\x9b[0-?]*[ -/]*[@-~]"  # CSI in its one-byte form
)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]|~$])")
# An address that Markdown renderers turn into a link by themselves; the report links only to what it wrote itself.
_AUTOLINK = re.compile(r"(?i)\b(https?|ftp|mailto|www)(?=[:.])")
# What opens a block only at the start of a line: headings, lists, rules, underlines of headings.
_BLOCK_START = re.compile(r"^(#{1,6}|[-+=]+)(?=\s|$)")
_NUMBERED_START = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
# Mermaid takes a line with this for its direction wherever it stands, in quotes too, and drops the rest of the line.
_MERMAID_DIRECTION = re.compile(r"direction(?= )")
_MERMAID_LIST_START = re.compile(r"^(\d+)?([.)+-])(?=\s)")


def _clean(value: object, limit: int | None, newlines: str = " ") -> str:
    """Visible text of `value`: no escape sequences, no control or direction characters, at most `limit` characters."""
    text = "" if value is None else value if isinstance(value, str) else str(value)
    cut = 0
    if limit is not None and len(text) > limit:
        cut = len(text) - limit
        text = text[:limit]
    text = _ANSI.sub("", text)
    out = []
    for char in text.replace("\r\n", "\n"):
        if char in "\n\r\t\v\f\x85\u2028\u2029":
            out.append(newlines if char != "\t" else " ")
        elif char.isascii():
            if char.isprintable():
                out.append(char)
        elif unicodedata.category(char) not in _INVISIBLE:
            out.append(char)
    text = "".join(out)
    if cut:
        text += f"... ({cut} more characters)"
    return text


def escape_html(value: object, limit: int | None = DEFAULT_LIMIT) -> str:
    """Text for HTML element content and for attribute values in single or double quotes.

    Args:
        value: Anything; ``None`` gives the empty string.
        limit: Characters kept of the input; ``None`` for all.
    """
    text = _clean(value, limit, "\n")
    return (
        text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace('"', "&quot;")
        .replace("'", "&#39;")
        .replace("`", "&#96;")
    )


def escape_markdown(value: object, limit: int | None = DEFAULT_LIMIT) -> str:
    """Inline Markdown text on one line, safe in a table cell, a heading and a list item: no markup, HTML or links.

    Args:
        value: Anything; ``None`` gives the empty string.
        limit: Characters kept of the input; ``None`` for all.
    """
    text = " ".join(_clean(value, limit).split(" ")).strip()
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")
    text = _MARKDOWN.sub(r"\\\1", text)
    text = _AUTOLINK.sub(r"\1&#8203;", text)
    return _NUMBERED_START.sub(r"\1\\\2", _BLOCK_START.sub(r"\\\1", text))


def escape_markdown_code(value: object, limit: int | None = DEFAULT_LIMIT) -> str:
    """An inline Markdown code span, fences included, that shows `value` literally; safe in a table cell.

    Args:
        value: Anything; ``None`` and the empty string give the empty string (Markdown has no empty span).
        limit: Characters kept of the input; ``None`` for all.
    """
    text = _clean(value, limit).strip()
    if not text:
        return ""
    if "\\|" in text:
        # Renderers disagree on a backslash before a pipe in a table: entities leave them nothing to disagree on.
        return "<code>" + "".join(c if c.isalnum() or c in " -.,/" else f"&#{ord(c)};" for c in text) + "</code>"
    fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    pad = " " if text[0] == "`" or text[-1] == "`" else ""
    # In a table GitHub reads a backslash before a pipe as part of the table, not of the code.
    return fence + pad + text.replace("|", "\\|") + pad + fence


def escape_mermaid(value: object, limit: int | None = 200) -> str:
    """A label for Mermaid inside double quotes (``node["label"]``), and the text of a gantt's title or section.

    Mermaid has no backslash escapes: it reads ``#name;`` and ``#number;`` entities. So everything that its grammar or
    its HTML labels could take for syntax becomes a numbered entity.

    Args:
        value: Anything; ``None`` gives the empty string.
        limit: Characters kept of the input; ``None`` for all.
    """
    text = "".join(
        char if char.isalnum() or char in " -_./,()+=" else f"#{ord(char)};" for char in _clean(value, limit).strip()
    )
    text = _MERMAID_DIRECTION.sub(f"directio#{ord('n')};", text)
    # Mermaid refuses a label that reads like a Markdown list.
    return _MERMAID_LIST_START.sub(lambda m: f"{m.group(1) or ''}#{ord(m.group(2))};", text)


def escape_dot(value: object, limit: int | None = 200) -> str:
    """The inside of a double-quoted DOT string (a label or an id); backslashes never start one of DOT's escapes.

    Args:
        value: Anything; ``None`` gives the empty string.
        limit: Characters kept of the input; ``None`` for all.
    """
    return _clean(value, limit).replace("\\", "\\\\").replace('"', '\\"')


def escape_csv(value: object, limit: int | None = 32000) -> str:
    """One CSV field (RFC 4180), always quoted, that no spreadsheet takes for a formula.

    A number stays a number; any other text that begins with ``= + - @`` gets an apostrophe before it.

    Args:
        value: Anything; ``None`` gives an empty quoted field.
        limit: Characters kept of the input; ``None`` for all.
    """
    text = _clean(value, limit, "\n")
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number and text.lstrip()[:1] in ("=", "+", "-", "@"):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"'


def escape_terminal(value: object, limit: int | None = 200) -> str:
    """One line for a terminal or a log line: no control characters, no escape sequences, bounded.

    Args:
        value: Anything; ``None`` gives the empty string.
        limit: Characters kept of the input; ``None`` for all.
    """
    return _clean(value, limit)
