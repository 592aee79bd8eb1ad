#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""TODO"""
EXAMPLES = r"""TODO"""
RETURN = r"""TODO"""

import os
import typing as t

from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import SettingsError
from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import LockService
from ansible_collections.cortex.larry.plugins.module_utils._estate.working_copy import prepare_working_copy
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context
from ansible_collections.cortex.larry.plugins.module_utils.plan_access import estate_directory, plan_of

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "state": {"type": "str", "choices": ["prepared"], "default": "prepared"},
    "plan_file": {"type": "path"},
    "directory": {"type": "path"},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Makes the working copy of the plan's estate, one controller at a time."""
    plan = plan_of(context)
    target = estate_directory(context, plan)
    if target is None:
        return {"changed": False, "path": None, "digest": None, "git": False}
    if not os.path.isdir(str(plan.estate_path)):
        raise SettingsError(f"The estate of the plan {plan.name} is not there: {plan.estate_path} is no directory.")
    try:
        if context.check_mode:
            return prepare_working_copy(str(plan.estate_path), target, probe=True)
        locks = LockService(context.session(member=True))
        locks.acquire("larry-estate", wait_s=120.0, reason="preparing the working copy of the estate")
        try:
            return prepare_working_copy(str(plan.estate_path), target)
        finally:
            locks.release("larry-estate")
    except OSError as error:
        raise SettingsError(f"The working copy {target} of the estate cannot be made: {error}.") from error


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
