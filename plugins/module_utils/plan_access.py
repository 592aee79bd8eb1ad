# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a task: from its option or from the inventory."""

from __future__ import annotations

import os

from ._coordination.errors import SettingsError
from ._plan import Plan, PlanError, load_plan
from .options import Context


def plan_of(context: Context) -> Plan:
    """The plan that the option plan_file or the variable larry_plan_file names.

    Raises:
        SettingsError: no plan is named, or it is wrong (every problem with its line).
    """
    path = context.parameters.get("plan_file") or context.plan_file
    if not path:
        raise SettingsError("No plan is named: use a plan as inventory (-i my.larry.yml), or set the option plan_file.")
    try:
        return load_plan(path)
    except PlanError as error:
        raise SettingsError(f"The plan cannot be used:\n{error}") from error


def coordination_directory(context: Context, plan: Plan) -> str:
    """Absolute path of the coordination directory: the option `directory`, else the plan's, below the current one."""
    return os.path.abspath(context.parameters.get("directory") or plan.run_directory)


def estate_directory(context: Context, plan: Plan) -> str | None:
    """Where the working copy of the estate is; None for a plan whose estate has no files."""
    if plan.estate_path is None:
        return None
    return os.path.join(coordination_directory(context, plan), "work", "estate")
