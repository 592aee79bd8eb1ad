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
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context
from ansible_collections.cortex.larry.plugins.module_utils._coordination.locks import LockService

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {"name": {"type": "str", "required": True}, **CONNECTION_SPEC}


def execute(context: Context) -> dict[str, t.Any]:
    """Reads who holds the lock."""
    view = LockService(context.session(member=False)).look(context.parameters["name"])
    return {
        "changed": False,
        "name": context.parameters["name"],
        "held": bool(view["holders"]),
        "held_by_me": view.get("mine") is not None,
        "holders": view["holders"],
        "slots": view["slots"],
        "fence": view.get("fence"),
        "acquisitions": view["acquisitions"],
        "refusals": view["refusals"],
    }


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
