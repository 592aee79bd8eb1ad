# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading YAML with line numbers, against PyYAML's own loader as the second route."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.cortex.larry.plugins.module_utils._plan.document import MAX_BYTES, Document, read_document

REPOSITORY = Path(__file__).resolve().parents[3]

KEYS = st.text(alphabet="abcxyz-_é", min_size=1, max_size=8)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(max_size=20).filter(str.isprintable),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=25,
)


def read(tmp_path: Path, text: str) -> Document:
    file = tmp_path / "some.larry.yml"
    file.write_text(text, encoding="utf-8")
    return read_document(file)


@pytest.mark.parametrize(
    "plan", sorted(REPOSITORY.glob("inventories/*/*.larry.yml")), ids=lambda plan: plan.parent.name
)
def test_shipped_plans_read_as_pyyaml_reads_them(plan: Path) -> None:
    def with_text_keys(value: object) -> object:
        if isinstance(value, dict):
            return {str(key): with_text_keys(inner) for key, inner in value.items()}
        return [with_text_keys(inner) for inner in value] if isinstance(value, list) else value

    document = read_document(plan)
    assert document.problems == []
    assert document.data == with_text_keys(yaml.safe_load(plan.read_text(encoding="utf-8")))


@settings(max_examples=200, deadline=None)
@given(TREES)
def test_what_pyyaml_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, tree: object) -> None:
    document = read(tmp_path_factory.getbasetemp(), yaml.safe_dump({"root": tree}, allow_unicode=True))
    assert document.problems == []
    assert document.data == {"root": tree}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet="ab:-[]{}&*!|>'\"#%@`, \n\t\\", max_size=60).map(str.encode))
def test_anything_at_all_is_read_or_told(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "anything.larry.yml"
    file.write_bytes(raw)
    document = read_document(file)
    lines = raw.count(b"\n") + raw.count(b"\r") + 2
    assert all(1 <= problem.line <= lines for problem in document.problems)
    assert document.problems or document.data is not None or raw.strip()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30_000", 30000),
        ("010", "010"),
        ("1:30", "1:30"),
        ("2026-11-21", "2026-11-21"),
        ("yes", True),
        ("Off", False),
        ("~", None),
        ("", None),
        ("-1.5e3", -1500.0),
        (".inf", ".inf"),
        ("0x10", "0x10"),
        ("'8'", "8"),
    ],
)
def test_scalars(tmp_path: Path, text: str, value: object) -> None:
    read_value = read(tmp_path, f"a: {text}\n").data["a"]
    assert read_value == value and type(read_value) is type(value)


def test_lines(tmp_path: Path) -> None:
    document = read(tmp_path, "a:\n  b: 1\n  c:\n    - x\n    - {d: 2,\n       e: 3}\n")
    assert document.line("a") == 1
    assert document.line("a", "b") == 2
    assert document.line("a", "c", 1) == 5
    assert document.line("a", "c", 1, "e") == 6
    assert document.line("a", "nothing", "here") == 1


def test_merge_keys_and_aliases(tmp_path: Path) -> None:
    text = (
        "base: &base {a: 1, b: {c: 2}}\nmore: &more {a: 3, d: 4}\nuse:\n  <<: [*base, *more]\n  b: 5\nlist: [*base]\n"
    )
    document = read(tmp_path, text)
    assert document.problems == []
    assert document.data == yaml.safe_load(text)


def test_size_is_bounded(tmp_path: Path) -> None:
    document = read(tmp_path, "a: " + "x" * MAX_BYTES)
    assert [problem.sentence for problem in document.problems] == [
        "The plan file is larger than 8 MiB. Split it into several plans."
    ]


def test_hostile_nesting_and_aliases_end_soon(tmp_path: Path) -> None:
    started = time.monotonic()
    for text in (
        "a: " + "[" * 200_000,
        "a: &a [x]\n" + "".join(f"b{i}: &b{i} [{'*a' if not i else f'*b{i - 1}'}]\n" for i in range(5000)),
        "a0: &a0 {k: v}\n"
        + "".join(f"a{i}: &a{i} {{x: *a{i - 1}, y: *a{i - 1}, <<: *a{i - 1}}}\n" for i in range(1, 40)),
    ):
        assert len(read(tmp_path, text).problems) == 1
    assert time.monotonic() - started < 30


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    [problem] = read_document(tmp_path / "none.larry.yml").problems
    assert problem.line == 1 and "cannot be read" in problem.sentence and "-i" in problem.sentence
