#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""TODO"""
EXAMPLES = r"""TODO"""
RETURN = r"""TODO"""

import typing as t

from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context, with_fact
from ansible_collections.cortex.larry.plugins.module_utils.publishing import publish_turn, regenerate, validate_neighbour

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "state": {"type": "str", "choices": ["validated", "published", "written", "regenerated"], "required": True},
    "larry": {"type": "str"},
    "plan_file": {"type": "path"},
    "directory": {"type": "path"},
    "wait": {"type": "float", "default": 0.0},
    "files": {"type": "list", "elements": "path"},
    "output": {"type": "path"},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Validates a neighbour, publishes the report of the run, or makes it again from files."""
    state = context.parameters["state"]
    if state == "regenerated":
        files, output = context.required("files", "output")
        return regenerate(files, output, context.check_mode)
    (larry,) = context.required("larry")
    if state == "validated":
        return validate_neighbour(context, larry)
    return with_fact("larry_report", publish_turn(context, larry, finish=state == "published"))


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
