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

from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context
from ansible_collections.cortex.larry.plugins.module_utils.plan_access import coordination_directory, plan_of
from ansible_collections.cortex.larry.plugins.module_utils.run_archive import write_archive
from ansible_collections.cortex.larry.plugins.module_utils._coordination.runs import RunService

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "plan_file": {"type": "path"},
    "directory": {"type": "path"},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Writes the archive of the run that is there."""
    plan = plan_of(context)
    directory = coordination_directory(context, plan)
    session = context.session(member=True)
    if context.check_mode:
        run = RunService(session).look().get("id")
        return {"changed": run is not None, "path": os.path.join(directory, "archive", f"{run}.tar.gz") if run else None}
    return {"changed": True, "path": write_archive(session, plan, directory)}


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
