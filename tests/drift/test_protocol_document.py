# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/protocol.md names every event that the code emits, with exactly its fields and its channel, and no other."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "plugins" / "module_utils"
SCRIPTS = sorted((LIBRARY / "_coordination" / "lua").glob("*.py"))
DOCUMENT = ROOT / "docs" / "protocol.md"

CALL = re.compile(r"\b(?:emit|tell)\(")
STRING = re.compile(r"'([^']*)'")
ROW = re.compile(r"^\| `(\w+)` \| ([ac]) \| ([^|]*) \|", re.MULTILINE)
OUTCOMES = ("completed", "failed", "skipped")
# Lua functions of their own, and the one event that a user names.
NO_EVENTS = {"event", "args.event"}

Events = dict[str, set[str]]


def balanced(text: str, start: int) -> str:
    """Return what stands between the bracket before `start` and the one that closes it; strings are skipped."""
    depth, quoted = 1, False
    for place in range(start, len(text)):
        character = text[place]
        if character == "'":
            quoted = not quoted
        elif not quoted and character in "({[":
            depth += 1
        elif not quoted and character in ")}]":
            depth -= 1
            if depth == 0:
                return text[start:place]
    raise AssertionError(f"a bracket is not closed: {text[start : start + 80]}")


def parts(text: str) -> list[str]:
    """Return the parts of a list of arguments or fields, split at the commas outside of brackets."""
    found, depth, quoted, current = [], 0, False, ""
    for character in text:
        if character == "'":
            quoted = not quoted
        elif not quoted:
            depth += (character in "({[") - (character in ")}]")
        if character == "," and depth == 0 and not quoted:
            found.append(current.strip())
            current = ""
        else:
            current += character
    return [part for part in (*found, current.strip()) if part]


def names(expression: str) -> list[str]:
    """Return the events that the first argument of a call can name."""
    if expression in NO_EVENTS:
        return []
    if expression == "'task_' .. args.outcome":
        return [f"task_{outcome}" for outcome in OUTCOMES]
    found = STRING.findall(re.sub(r"==\s*'[^']*'", "", expression))
    assert found, f"which event is that: {expression}"
    return found


def fields(table: str, event: str) -> set[str]:
    """Return the fields of a Lua table that this event can carry."""
    assert table.startswith("{"), f"the fields of {event} are not written out: {table}"
    found = set()
    for part in parts(balanced(table, 1)):
        name, _sign, value = part.partition("=")
        only = re.search(r"args\.outcome == '(\w+)' and", value)
        if not (only and event.startswith("task_") and event != f"task_{only.group(1)}"):
            found.add(name.strip())
    return found


def emitted_by(text: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each event with the fields of one place that emits it."""
    for call in CALL.finditer(text):
        expression, *rest = parts(balanced(text, call.end()))
        for event in names(expression):
            yield event, fields(rest[0], event)


def published_by_python() -> Iterator[tuple[str, set[str]]]:
    """Yield the events that Python publishes by name: `service.publish("name", {"field": ...})`."""
    for path in sorted(LIBRARY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr != "publish" or not node.args or not isinstance(node.args[0], ast.Constant):
                continue
            assert len(node.args) > 1 and isinstance(node.args[1], ast.Dict), f"{path}: fields are not written out"
            yield str(node.args[0].value), {str(ast.literal_eval(key)) for key in node.args[1].keys if key}


@pytest.fixture(scope="module")
def in_code() -> Events:
    """Every event of the code with all fields that it can carry."""
    found: Events = defaultdict(set)
    for script in SCRIPTS:
        for event, carried in emitted_by(script.read_text(encoding="utf-8")):
            found[event] |= carried
    for event, carried in published_by_python():
        found[event] |= carried
    return found


@pytest.fixture(scope="module")
def in_document() -> dict[str, tuple[str, set[str]]]:
    """Every event of the document with its channel and fields."""
    section = DOCUMENT.read_text(encoding="utf-8").split("\n## Events\n")[1].split("\n## ")[0]
    return {event: (channel, set(re.findall(r"`(\w+)`", cell))) for event, channel, cell in ROW.findall(section)}


def test_the_code_emits_events(in_code: Events) -> None:
    assert len(in_code) > 20


def test_the_document_has_the_events_of_the_code(in_code: Events, in_document: dict[str, tuple[str, set[str]]]) -> None:
    assert set(in_document) == set(in_code)


def test_the_document_has_the_fields_of_the_code(in_code: Events, in_document: dict[str, tuple[str, set[str]]]) -> None:
    wrong = [
        f"{event}: the code has {sorted(in_code[event])}, the document {sorted(said)}"
        for event, (_channel, said) in in_document.items()
        if said != in_code[event]
    ]
    assert not wrong, "\n".join(wrong)


def test_the_document_has_the_channels_of_the_code(in_document: dict[str, tuple[str, set[str]]]) -> None:
    core = (LIBRARY / "_coordination" / "lua" / "core.py").read_text(encoding="utf-8")
    table = re.search(r"local ALERTS = \{", core)
    assert table
    alerts = {part.partition("=")[0].strip() for part in parts(balanced(core, table.end()))}
    assert {event for event, (channel, _fields) in in_document.items() if channel == "a"} == alerts & set(in_document)


@pytest.mark.parametrize(
    ("lua", "expected"),
    [
        ("emit('a', {x = 1, y = F(2)})", {"a": {"x", "y"}}),
        ("emit(s == 'r' and 'a' or 'b', {x = {y = 1}})", {"a": {"x"}, "b": {"x"}}),
        ("emit(({on = 'a', off = 'b'})[v], {x = 'it, (is)'})", {"a": {"x"}, "b": {"x"}}),
        (
            "emit('task_' .. args.outcome, {x = 1, y = args.outcome == 'failed' and true or nil})",
            {"task_completed": {"x"}, "task_failed": {"x", "y"}, "task_skipped": {"x"}},
        ),
        ("emit(args.event, data)", {}),
    ],
)
def test_the_reading_itself(lua: str, expected: Events) -> None:
    assert dict(emitted_by(lua)) == expected
