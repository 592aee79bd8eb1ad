# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/python.md against reality: its scripts run as they are and print what it says, its tables name what there is."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.cortex.larry.plugins.module_utils import client as larry

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", TEXT, re.MULTILINE | re.DOTALL)


def test_every_example_says_what_it_prints() -> None:
    assert len(EXAMPLES) == TEXT.count("```python") > 5
    assert all(printed for _script, printed in EXAMPLES)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example(number: int, valkey: Any, tmp_path: Path) -> None:
    script, printed = EXAMPLES[number]
    path = tmp_path / "example.py"
    path.write_text(script, encoding="utf-8")
    runtime = valkey.directory / "r"
    runtime.mkdir(mode=0o700, exist_ok=True)
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("LARRY_", "ANSIBLE_"))}
    variables |= {
        "PYTHONPATH": str(ROOT / "playbooks" / "collections"), "LARRY_REDIS": valkey.socket_url, "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(runtime), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(path)], env=variables, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=100, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == (printed, 0), done.stderr


def table(heading: str, first: str) -> list[str]:
    """The first column of the table with this head in a section, without its head."""
    prose = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)  # comments in scripts look like headings
    section = re.split(r"^#+ ", prose.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    rows = section.partition(f"| {first} |")[2].partition("\n\n")[0]
    return [
        cell
        for line in re.findall(r"^\| (.*?) \|", rows, re.MULTILINE)
        for cell in re.findall(r"`(\w+)", cell_of(line))
    ]


def cell_of(text: str) -> str:
    """A cell without what stands in parentheses."""
    return re.sub(r"\([^)]*\)", "", text)


def options_of(kind: type) -> set[str]:
    return set(inspect.signature(kind).parameters) - {"redis", "name"}


def methods_of(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def test_the_tables_name_every_option_and_method() -> None:
    assert set(table("## Lock", "option")) == options_of(larry.Lock)
    assert set(table("## Lock", "method")) == methods_of(larry.Lock) - {"slots"}
    assert set(table("## Barrier", "option")) == options_of(larry.Barrier) - {"prefix"}
    assert set(table("## Events", "method")) == methods_of(larry.Events) | {"last"}


def test_the_table_of_errors_is_complete() -> None:
    errors = {name for name in larry.__all__ if isinstance(getattr(larry, name), type)}
    errors = {name for name in errors if issubclass(getattr(larry, name), Exception)}
    assert set(table("## Errors", "error")) == errors - {"CoordinationError"}


def test_defaults_are_those_of_the_code() -> None:
    for kind, heading in ((larry.Lock, "## Lock"), (larry.Barrier, "## Barrier")):
        section = TEXT.partition(f"\n{heading}\n")[2].partition("\n## ")[0]
        for name, parameter in inspect.signature(kind).parameters.items():
            written = re.search(rf"^\| `{name}`(?:, `\w+`)* \| (.*?) \|", section, re.MULTILINE)
            if written and parameter.default not in (None, inspect.Parameter.empty):
                assert float(eval(written[1].strip("`"))) == float(parameter.default) if not isinstance(
                    parameter.default, str
                ) else written[1].strip('`"') == parameter.default, name  # fmt: skip


def test_nothing_here_is_derived_from_another_package() -> None:
    for name in larry.__all__:
        kind = getattr(larry, name)
        if kind.__module__.startswith("ansible_collections."):
            bases = {base.__module__.partition(".")[0] for base in kind.__mro__}
            assert bases <= {"ansible_collections", "builtins"}, name
