# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of plans share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._plan import Plan, PlanError, load_plan

SMALL = """\
plugin: cortex.larry.plan
name: small
run:
  window: 20m
nodes:
  node-01: {address: 127.0.0.1}
larrys:
  larry-01:
    domain: development
    node: node-01
    phase: 15m
    workers:
      worker-a: {node: node-01, tokens: 100, duration: 10m}
      worker-b: {node: node-01, tokens: 300, duration: 12m, capabilities: [one, two]}
tasks:
  one: {larry: larry-01, worker: worker-a}
  two: {larry: larry-01, depends_on: [one]}
estate: {source: gitops, path: estate}
"""


@pytest.fixture
def small() -> str:
    """The text of a small sound plan."""
    return SMALL


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Plan]:
    """Write a plan's text to a file of its own and load it."""
    count = 0

    def write_and_load(text: str) -> Plan:
        nonlocal count
        count += 1
        file = tmp_path / f"plan-{count}.larry.yml"
        file.write_text(text, encoding="utf-8")
        return load_plan(file)

    return write_and_load


@pytest.fixture
def problems(load: Callable[[str], Plan]) -> Callable[[str], list[tuple[int, str]]]:
    """Load a plan that is wrong and return (line, sentence) of each problem."""

    def refused(text: str) -> list[tuple[int, str]]:
        with pytest.raises(PlanError) as caught:
            load(text)
        return [(problem.line, problem.sentence) for problem in caught.value.problems]

    return refused
