# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain YAML with line numbers: the file as JSON types, and the line on which each of them stands.

Built from parser events rather than with a loader, because a loader keeps no lines, lets a second key of the same name
win in silence, builds what tags ask for, and recurses as deep as the file says.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Union

from .errors import Problem

try:
    import yaml

    YAML_IMPORT_ERROR: ImportError | None = None
except ImportError as error:
    yaml = None  # type: ignore[assignment]
    YAML_IMPORT_ERROR = error

MAX_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 64
MAX_NODES = 1_000_000  # after aliases are written out; a plan of 10,000 tasks has about 250,000

PathKey = tuple[Union[str, int], ...]

# YAML 1.2's core schema, with the yes/no/on/off that Ansible users know and 30_000 for readable token numbers. Left
# out on purpose: base 60 (1:30 would be 90), leading zeros (010 would be 8), dates, infinities. They stay text, and
# the schema then names what was wanted.
_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLEANS = {
    spelling: truth
    for word, truth in (("true", True), ("yes", True), ("on", True), ("false", False), ("no", False), ("off", False))
    for spelling in (word, word.capitalize(), word.upper())
}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]{0,17})")
_FLOAT = re.compile(
    r"[-+]?(0|[1-9][0-9_]{0,17})?\.[0-9]{1,18}([eE][-+]?[0-9]{1,2})?|[-+]?[1-9][0-9]{0,17}\.?[eE][-+]?[0-9]{1,2}"
)


class Document:
    """A file that was read.

    Attributes:
        file: the path as given.
        data: JSON types alone; None if the file could not be read.
        problems: what was found on the way (syntax, tags, duplicate keys, sizes).
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.data: Any = None
        self.problems: list[Problem] = []
        self._lines: dict[PathKey, int] = {}

    def line(self, *path: str | int) -> int:
        """Return the line of the key (or the list element) at ``path``, or that of the nearest thing around it."""
        while path not in self._lines and path:
            path = path[:-1]
        return self._lines.get(path, 1)

    def add(self, line: int, sentence: str) -> None:
        self.problems.append(Problem(self.file, line, sentence))


class _Node:
    """``content`` is text and style for a scalar, [(key, line, node)] for a mapping, [node] for a list."""

    __slots__ = ("content", "kind", "line")

    def __init__(self, kind: str, content: Any, line: int) -> None:
        self.kind = kind
        self.content = content
        self.line = line


class _Stop(Exception):
    """Reading on makes no sense."""


def read_document(path: str | Path) -> Document:
    """Read one YAML file. Never raises for what the file holds; everything wrong is in ``problems``."""
    document = Document(str(path))
    try:
        text = _read_text(document, Path(path))
        root = _parse(document, text)
        counter = [0]
        document.data = _plain(document, root, (), counter, [])
    except _Stop:
        document.data = None
    return document


def _read_text(document: Document, path: Path) -> str:
    if yaml is None:
        document.add(
            1,
            "A plan cannot be read without the Python package PyYAML. Install it beside Ansible (pip install PyYAML).",
        )
        raise _Stop
    try:
        with open(path, "rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        document.add(1, f"The plan file cannot be read: {error.strerror or error}. Check the path given with -i.")
        raise _Stop from error
    if len(raw) > MAX_BYTES:
        document.add(1, f"The plan file is larger than {MAX_BYTES // 1024 // 1024} MiB. Split it into several plans.")
        raise _Stop
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        document.add(raw.count(b"\n", 0, error.start) + 1, "The plan file is not UTF-8 here. Save it as UTF-8.")
        raise _Stop from error


def _parse(document: Document, text: str) -> _Node:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _build(document, yaml.parse(text, Loader=loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" (column {mark.column + 1})" if mark else ""
        context = f", {error.context}" if error.context else ""
        document.add(mark.line + 1 if mark else 1, f"The YAML cannot be read: {error.problem}{context}{where}.")
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        document.add(line, "The YAML holds a control character here. Take it out.")
    raise _Stop


def _build(document: Document, events: Any) -> _Node:
    """Turn parser events into nodes, without recursion: the depth is bounded before anything is built on it."""
    root: _Node | None = None
    anchors: dict[str, _Node] = {}
    stack: list[_Node] = []
    pending: list[tuple[str, int] | None] = []  # for each open mapping the key that waits for its value
    seen: list[dict[str, int]] = []  # for each open mapping its keys and their lines

    def place(node: _Node) -> None:
        nonlocal root
        if not stack:
            if root is not None:
                document.add(
                    node.line,
                    "The file holds more than one YAML document. A plan is one document: take out the second '---'.",
                )
                raise _Stop
            root = node
            return
        parent = stack[-1]
        if parent.kind == "list":
            parent.content.append(node)
        elif pending[-1] is None:
            if node.kind != "scalar":
                document.add(node.line, "A key must be plain text, not a list or a mapping.")
                raise _Stop
            pending[-1] = (node.content[0], node.line)
        else:
            key, line = pending[-1]
            pending[-1] = None
            if key in seen[-1]:
                first = seen[-1][key]
                document.add(
                    line, f"The key {key!r} stands here a second time (first on line {first}). Keep one of them."
                )
            else:
                seen[-1][key] = line
                parent.content.append((key, line, node))

    for event in events:
        line = event.start_mark.line + 1 if event.start_mark else 1
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            document.add(
                line,
                f"The tag {tag!r} is not allowed: a plan is plain YAML. Keep secrets in the environment or in"
                " group_vars.",
            )
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                document.add(line, f"The alias *{event.anchor} refers to an anchor that is not defined before it.")
                raise _Stop
            place(anchors[event.anchor])
            continue
        if isinstance(event, yaml.ScalarEvent):
            node = _Node("scalar", (event.value, bool(event.implicit[0])), line)
            if event.anchor:
                anchors[event.anchor] = node
            place(node)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            if len(stack) >= MAX_DEPTH:
                document.add(line, f"The YAML is nested deeper than {MAX_DEPTH} levels here.")
                raise _Stop
            node = _Node("map" if isinstance(event, yaml.MappingStartEvent) else "list", [], line)
            if event.anchor:
                anchors[event.anchor] = node
            place(node)
            stack.append(node)
            pending.append(None)
            seen.append({})
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            stack.pop()
            pending.pop()
            seen.pop()
    if root is None:
        document.add(1, "The plan file is empty. Begin with 'plugin: cortex.larry.plan'.")
        raise _Stop
    return root


def _plain(document: Document, node: _Node, path: PathKey, counter: list[int], around: list[_Node]) -> Any:
    """Write a node out as JSON types and note the lines. Aliases are written out, so their number is bounded."""
    counter[0] += 1
    if counter[0] > MAX_NODES:
        document.add(
            node.line, f"With its aliases written out the plan has more than {MAX_NODES} parts. Use fewer aliases."
        )
        raise _Stop
    document._lines.setdefault(path, node.line)
    if node.kind == "scalar":
        return _scalar(*node.content)
    if len(around) >= MAX_DEPTH or any(node is outer for outer in around):
        document.add(node.line, "An alias here contains itself or nests too deep. Write the value out.")
        raise _Stop
    around.append(node)
    try:
        if node.kind == "list":
            return [
                _plain(document, child, (*path, index), counter, around) for index, child in enumerate(node.content)
            ]
        result = {}
        for key, line, child in _entries(document, node, around):
            document._lines.setdefault((*path, key), line)
            result[key] = _plain(document, child, (*path, key), counter, around)
        return result
    finally:
        around.pop()


def _entries(document: Document, node: _Node, around: list[_Node]) -> list[tuple[str, int, _Node]]:
    """Return the entries of a mapping with its merge keys (``<<``) applied: own keys win, then earlier merges."""
    if not any(key == "<<" for key, _line, _value in node.content):
        return node.content
    own = [entry for entry in node.content if entry[0] != "<<"]
    names = {key for key, _line, _value in own}
    for _key, line, source in (entry for entry in node.content if entry[0] == "<<"):
        for merged in source.content if source.kind == "list" else [source]:
            if merged.kind != "map":
                document.add(line, "A merge key (<<) wants a mapping or a list of mappings.")
                continue
            if any(merged is outer for outer in around):
                document.add(line, "A merge key (<<) here merges a mapping into itself.")
                raise _Stop
            for entry in _entries(document, merged, [*around, merged]):
                if entry[0] not in names:
                    names.add(entry[0])
                    own.append(entry)
    return own


def _scalar(text: str, plain: bool) -> Any:
    if not plain:
        return text
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    return text
