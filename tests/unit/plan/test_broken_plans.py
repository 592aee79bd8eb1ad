# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each plan of tests/broken_plans is refused for what its second line says, on the line that it names."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._plan import PlanError, load_plan

DIRECTORY = Path(__file__).resolve().parents[2] / "broken_plans"
PLANS = sorted(DIRECTORY.glob("*.larry.yml"))


def expectation(plan: Path) -> tuple[int, str]:
    second = plan.read_bytes().split(b"\n")[1].decode()
    match = re.fullmatch(r"# expect (\d+): (.+)", second)
    assert match, f"the second line of {plan.name} should read '# expect LINE: FRAGMENT'"
    return int(match[1]), match[2]


@functools.cache
def refused(plan: Path) -> PlanError:
    with pytest.raises(PlanError) as caught:
        load_plan(plan)
    return caught.value


def test_there_are_enough() -> None:
    assert len(PLANS) >= 25


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name.removesuffix(".larry.yml"))
def test_refused_with_line_and_sentence(plan: Path) -> None:
    line, fragment = expectation(plan)
    error = refused(plan)
    told = [problem.line for problem in error.problems if fragment in problem.sentence]
    assert told == [line], f"expected on line {line}: {fragment}\n{error}"
    assert f"{plan}:{line}: " in str(error)
    for problem in error.problems:
        assert problem.sentence[-1] in ".?", "a sentence ends"
        assert "hunter2" not in problem.sentence, "a password was printed"
        assert problem.sentence.isprintable(), "a control character was printed"


def test_only_what_follows_from_the_one_mistake_is_told() -> None:
    """A mistake may have consequences (a renamed task is missing elsewhere), but few."""
    counts = {plan.name: len(refused(plan).problems) for plan in PLANS}
    assert {name: count for name, count in counts.items() if count > 4} == {}
