# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong with a plan, told in sentences that name the place."""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong with a plan.

    Attributes:
        file: the plan file, as its path was given.
        line: line in that file, counted from 1.
        sentence: what is wrong and what to do about it; never holds a password.
    """

    file: str
    line: int
    sentence: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.sentence}"


class PlanError(Exception):
    """A plan cannot be used. ``problems`` holds all that was found, in the order of the file."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: problem.line)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple:
        # Exceptions cross process boundaries by their arguments; ours is the list, not the text made from it.
        return (PlanError, (self.problems,))
