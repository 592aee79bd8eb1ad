# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The escapers: each format shows hostile text literally, and none grows without bound."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import pytest

from ansible_collections.cortex.larry.plugins.module_utils import _text as text

HOSTILE = (
    "<script>alert(1)</script>",
    "a | b \\| c \\\\| d",
    "`code` ``more`` ``` fence",
    "[link](javascript:alert(1)) ![x](http://evil.example/x.png)",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b31m \x00\x07\x7f",
    "line one\nline two\r\nline three\u2028four",
    "\u202eright to left\u202c zero\u200bwidth \ud800",
    "\"quoted\" 'single' & &amp;",
    "{{ lookup('pipe', 'id') }} {% raw %}",
    "# heading",
    "- item",
    "1. item",
    "=cmd|' /C calc'!A0",
    "%%{init: {}}%% end click t0 href",
    "<!-- comment --> ]]> </style>",
)
ESCAPERS = (
    text.escape_html,
    text.escape_markdown,
    text.escape_markdown_code,
    text.escape_mermaid,
    text.escape_dot,
    text.escape_csv,
    text.escape_terminal,
)


@pytest.mark.parametrize("escape", ESCAPERS)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_control_or_invisible_character_is_left(escape, hostile):
    escaped = escape(hostile)
    escaped.encode("utf-8")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2028\ud800-\udfff]", escaped)
    if escape not in (text.escape_html, text.escape_csv):
        assert "\n" not in escaped


@pytest.mark.parametrize("escape", ESCAPERS)
def test_a_megabyte_is_cut_and_said_so(escape):
    escaped = escape("A" * 1_000_000)
    assert len(escaped) < 40_000
    assert "more characters" in escaped.replace("#46;", ".")


@pytest.mark.parametrize("escape", ESCAPERS)
@pytest.mark.parametrize("value", [None, 0, 1.5, True, [1], {"a": "<b>"}])
def test_anything_can_be_escaped(escape, value):
    assert isinstance(escape(value), str)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.data = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.data += data


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("frame", ["<p>{}</p>", '<p title="{}"></p>', "<p title='{}'></p>"])
def test_html_stays_text_in_content_and_in_attributes(hostile, frame):
    reader = _Reader()
    reader.feed(frame.format(text.escape_html(hostile)))
    reader.close()
    assert reader.tags == ["p"]
    assert [name for name, _value in reader.attributes] in ([], ["title"])


def test_html_reads_back_as_what_was_written():
    reader = _Reader()
    reader.feed(f"<p>{text.escape_html(HOSTILE[0] + HOSTILE[7])}</p>")
    assert reader.data == HOSTILE[0] + HOSTILE[7]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_markdown_has_no_open_markup(hostile):
    escaped = text.escape_markdown(hostile)
    assert "<" not in escaped and ">" not in escaped and "\n" not in escaped
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]|{}~$]", escaped), escaped
    assert "http:" not in escaped
    assert not re.match(r"(#|-\s|\d+\.\s)", escaped)


@pytest.mark.parametrize(("hostile", "shown"), [("a`b", "``a`b``"), ("`", "`` ` ``"), ("a|b", "`a\\|b`"), ("", "")])
def test_markdown_code_has_a_fence_that_holds(hostile, shown):
    assert text.escape_markdown_code(hostile) == shown


def test_markdown_code_with_a_backslash_before_a_pipe_leaves_no_pipe_to_a_table():
    assert "|" not in text.escape_markdown_code("a\\|b")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_mermaid_has_only_harmless_characters(hostile):
    assert not re.search(r"[\"'`<>{}\[\]|:%\\\n]", text.escape_mermaid(hostile))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_dot_ends_its_string_only_at_its_end(hostile):
    assert re.fullmatch(r'"(?:[^"\\]|\\.)*"', f'"{text.escape_dot(hostile)}"')


@pytest.mark.parametrize("hostile", [*HOSTILE, "+1", "-1+1", "@x", "\t=1"])
def test_csv_is_one_field_and_no_formula(hostile):
    rows = list(csv.reader(io.StringIO(text.escape_csv(hostile) + ",end\r\n")))
    assert len(rows) == 1 and len(rows[0]) == 2
    assert rows[0][0].lstrip()[:1] not in ("=", "+", "-", "@")


def test_csv_leaves_numbers_numbers():
    assert text.escape_csv(-5) == '"-5"'


@pytest.mark.parametrize("escape", ESCAPERS)
def test_terminal_sequences_go_whole_not_in_part(escape):
    shown = escape("\x1b[31mred\x1b[0m\x1b]0;owned\x07 \x9b1mbold\x1b(B")
    assert "red" in shown and "bold" in shown
    assert not re.search(r"31m|owned|0m|1m|\(B", shown)
